"""Events as followers read them: every one has ``event`` (its kind), ``sequence`` and ``time``, and its kind's members.

What a kind's members are is said by its value in :mod:`controller.model.events`; the schemas here describe the same.
"""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from typing import Any

from controller.model import events
from controller.model.connection import Reroute
from controller.model.dark_channel import SpareState
from controller.model.moment import moment
from controller.model.reason import ReasonCode
from controller.model.states import ConnectionState, SliceState
from controller.northbound.views.moments import MOMENT, moment_or_none
from controller.northbound.views.paths import reroute_view
from controller.northbound.views.schema_terms import (
    AMOUNT,
    COUNT,
    LEVEL,
    TEXT,
    TEXTS,
    object_of,
    or_null,
    ref,
)
from controller.operations.event_log import Event

_CONNECTION: dict[str, Any] = {"connection": TEXT, "slice": TEXT}
_FALLBACK: dict[str, Any] = {**_CONNECTION, "required": LEVEL, "level": LEVEL, "key_source": TEXT}
_PACE: dict[str, Any] = {**_CONNECTION, "rekey_s": AMOUNT, "asked_s": AMOUNT}


def _one_of(states: type[Enum]) -> dict[str, Any]:
    return {"enum": [state.value for state in states]}


# The members of every kind beside `event`, `sequence` and `time`.
MEMBERS: dict[type[events.Happening], dict[str, Any]] = {
    events.SliceChanged: {
        "slice": TEXT, "state": _one_of(SliceState), "reason": or_null(TEXT), "expires_at": or_null(MOMENT),
    },
    events.SliceWarned: {"slice": TEXT, "section": TEXT, "connections": TEXTS, "reason": TEXT},
    events.ConnectionChanged: {
        **_CONNECTION, "state": _one_of(ConnectionState), "reason": or_null(TEXT),
        "reason_code": or_null(_one_of(ReasonCode)),
    },
    events.ConditionsChanged: {**_CONNECTION, "conditions": TEXTS},
    events.SwitchRepaired: {"site": TEXT, "missing": COUNT, "excess": COUNT, "misconfigured": COUNT},
    events.Rerouted: {**_CONNECTION, "reroute": ref("Reroute")},
    events.KeysRerouted: {**_CONNECTION, "reroute": ref("Reroute")},
    events.FallbackUsed: _FALLBACK,
    events.FallbackUndone: _FALLBACK,
    events.RekeySlowed: {**_PACE, "reason": TEXT},
    events.RekeyRestored: _PACE,
    events.Violation: {**_CONNECTION, "reason": TEXT},
    events.LinkChanged: {"channel": TEXT, "state": _one_of(events.LinkState)},
    events.SpareChanged: {
        "channel": TEXT, "state": _one_of(SpareState), "reason": or_null(TEXT), "connections": TEXTS,
    },
    events.SectionChanged: {
        "section": TEXT, "state": _one_of(events.SectionState), "qber": or_null(AMOUNT), "connections": TEXTS,
    },
    events.BookingShort: {"a": TEXT, "b": TEXT, "key_source": TEXT, "wanted_bps": COUNT, "promised_bps": COUNT},
    events.ExtensionRefused: {
        "extension": TEXT, "about": TEXT, "code": TEXT, "reason": TEXT, "used": {"enum": ["builtin", "nothing"]},
    },
    events.StreamReset: {"reason": TEXT},
}  # fmt: skip
EVENT_SCHEMAS: dict[str, Any] = {
    "Event": {
        "oneOf": [ref(kind.__name__) for kind in MEMBERS],
        "discriminator": {
            "propertyName": "event",
            "mapping": {kind.kind: ref(kind.__name__)["$ref"] for kind in MEMBERS},
        },
    },
    **{
        kind.__name__: object_of({"event": {"const": kind.kind}, "sequence": COUNT, "time": MOMENT, **members})
        for kind, members in MEMBERS.items()
    },
}


def event_view(event: Event) -> dict[str, Any]:
    """The event with the members of its kind."""
    what = event.what
    members = {field.name: _plain(getattr(what, field.name)) for field in fields(what)}
    if isinstance(what, events.SliceChanged):
        members["expires_at"] = moment_or_none(what.expires_at)
    return {"event": what.kind, "sequence": event.sequence, "time": moment(event.time), **members}


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case Reroute():
            return reroute_view(value)
        case tuple():
            return list(value)
    return value
