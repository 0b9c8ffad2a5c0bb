"""What tunnel agents answer, parsed once: everything behind this is of the type that it says and within its bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from controller.model.connectivity import UNREADABLE, TunnelReport
from topologies.spec import SecurityClass

_MAX_TEXT = 500
_LEVELS = "|".join(level.label for level in SecurityClass)
_LONGEST = 1e9  # in seconds thirty years, in milliseconds twelve days


class Unreadable(ValueError):
    """An answer that is none."""


def _shown(text: Any) -> Any:
    """As it may stand in a log or on a terminal."""
    if not isinstance(text, str):
        return text
    return "".join(c if c.isprintable() else "?" for c in text[:_MAX_TEXT])


_Text = Annotated[str, BeforeValidator(_shown)]
_Source = Annotated[str, Field(pattern=rf"^(?:{_LEVELS})(?:\+(?:{_LEVELS}))*$", max_length=100)]
_Duration = Annotated[float, Field(ge=0.0, le=_LONGEST, allow_inf_nan=False)]
M = TypeVar("M", bound=BaseModel)
_Id = Annotated[str, Field(min_length=1, max_length=200)]


class _Answer(BaseModel):
    """Of a later version there may be more."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Refusal(_Answer):
    """The agent's own error; ``type`` is invalid, conflict, not_found or unavailable."""

    type: _Text = "unknown"
    message: _Text = "refused"
    field: _Text | None = None
    reason: _Text | None = None  # "no_key": the KME gave it no key in time


class _Report(_Answer):
    state: Annotated[str, Field(min_length=1, max_length=40)]
    hears_peer: bool | None
    is_heard: bool | None
    reachable_for_s: _Duration | None = None
    rtt_ms: _Duration | None = None
    last_error: _Text | None = None
    warning: _Text | None = None
    keys_in_use: _Source | None = None


class _Changes(_Answer):
    token: Annotated[str, Field(min_length=1, max_length=100)]
    connections: dict[_Id, Any]


class _Listed(BaseModel):
    """The rest is what the agent was told, and compared with that as it stands."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    id: _Id


class _List(_Answer):
    connections: list[_Listed]


def answer(line: bytes) -> Refusal | Any:
    """What is in the line: a refusal or the result, which may be anything. Raises Unreadable."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"an answer that is not JSON: {type(error).__name__}") from None
    if not isinstance(raw, dict):
        raise Unreadable("an answer that is not an object")
    if raw.get("ok") is True:
        return raw.get("result")
    return _read(Refusal, raw.get("error") or {})


def changes(result: Any) -> tuple[str, Mapping[str, TunnelReport]]:
    """The new token, and what the agent tells of each connection. Raises Unreadable.

    What cannot be read of one connection is that one's report, so that it is neither believed nor forgotten.
    """
    found = _read(_Changes, result)
    return found.token, {connection_id: _report(raw) for connection_id, raw in found.connections.items()}


def connections(result: Any) -> Mapping[str, Mapping[str, Any]]:
    """Every connection that is listed, by id, as it was told. Raises Unreadable."""
    return {each.id: each.model_dump() for each in _read(_List, result).connections}


def _report(raw: Any) -> TunnelReport:
    try:
        return TunnelReport(**_read(_Report, raw).model_dump())
    except Unreadable as error:
        return TunnelReport(UNREADABLE, None, None, last_error=str(error))


def _read(model: type[M], raw: Any) -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(_shown(str(part)) for part in first["loc"])
        raise Unreadable(f"{where}: {first['msg']}" if where else first["msg"]) from None
