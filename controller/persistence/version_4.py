"""Reads journals of version 4, in which a request stood as the API takes it: read once, then written anew.

A reason was a sentence at first, later an object with a code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from controller.model.connection import Connection
from controller.model.path import Lane
from controller.model.reason import Reason, ReasonCode
from controller.model.request import (
    DEFAULT_REKEY_S,
    ComputeRequest,
    ConnectionSpec,
    Match,
    Protection,
    Role,
    SecurityRequirement,
    SliceRequest,
    SNssai,
    ThreeRoles,
    connections_of,
)
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.model.tunnel_profile import DEFAULT_SUITE, NO_PADDING
from controller.persistence.codec import Unreadable, lane_from, reason_from, reroute_from, route_from
from topologies.spec import SecurityClass

VERSION = 4
SLICES = (
    "SELECT name, request, compute_site, state, created_at, timings_ms, reason, reservation, expires_at FROM slices"
)
CONNECTIONS = (
    "SELECT id, slice, number, generation, state, reason, lanes, edition, reroutes, fallback, preferred "
    "FROM connections ORDER BY position"
)

Row = tuple[Any, ...]


def read_slices(slices: Iterable[Row], connections: Iterable[Row]) -> Iterator[tuple[SliceRecord, list[Connection]]]:
    """Everything in the rows that :data:`SLICES` and :data:`CONNECTIONS` give. Raises Unreadable."""
    rows = list(connections)
    for row in slices:
        try:
            yield _slice(row, [r for r in rows if r[1] == row[0]])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unreadable(f"slice {row[0]}, of version {VERSION}, lacks or garbles {error}") from error


def _slice(row: Row, connection_rows: list[Row]) -> tuple[SliceRecord, list[Connection]]:
    _, request_json, compute_site, state, created_at, timings, reason, reservation, expires_at = row
    request = _slice_request(json.loads(request_json))
    connections = [_connection(request, compute_site, r) for r in connection_rows]
    record = SliceRecord(
        request=request,
        compute_site=compute_site,
        connection_ids=tuple(c.id for c in connections),
        state=SliceState(state),
        created_at=created_at,
        timings_ms=json.loads(timings),
        reason=reason,
        reservation=reservation,
        expires_at=expires_at,
    )
    return record, connections


def _connection(request: SliceRequest, compute_site: str, row: Row) -> Connection:
    connection_id, _, number, generation, state, reason, lanes, edition, reroutes, fallback, preferred = row
    requests = {c.id: c for c in connections_of(request, compute_site)}
    return Connection(
        request=requests[connection_id.partition("@")[0]],
        number=number,
        lanes=tuple(_lane(raw) for raw in json.loads(lanes)),
        generation=generation,
        state=ConnectionState(state),
        reason=None if reason is None else _reason(reason),
        reroutes=tuple(reroute_from(raw) for raw in json.loads(reroutes)),
        edition=edition,
        fallback=None if fallback is None else SecurityClass.parse(fallback),
        preferred=None if preferred is None else route_from(json.loads(preferred)),
    )


def _lane(raw: Mapping[str, Any]) -> Lane:
    return lane_from({"forward_detour": (), "reverse_detour": (), **raw})


def _reason(text: str) -> Reason:
    try:
        raw = json.loads(text)
    except ValueError:
        return Reason(ReasonCode.EARLIER_VERSION, text)
    return reason_from(raw)


def _slice_request(raw: Mapping[str, Any]) -> SliceRequest:
    compute, snssai = raw["compute"], raw["sNSSAI"]
    return SliceRequest(
        name=raw["name"],
        snssai=SNssai(snssai["sst"], snssai.get("sd")),
        shape=ThreeRoles(
            cells=tuple(raw["cells"]),
            compute=ComputeRequest(
                None if compute["site"] == "auto" else compute["site"], compute["vcpus"], compute["memory_gb"]
            ),
            core=raw["core"],
            by_role={Role(role): _spec(spec) for role, spec in raw["connections"].items()},
        ),
        start=_moment(raw.get("start")),
        end=_moment(raw.get("end")),
    )


def _moment(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


def _spec(raw: Mapping[str, Any]) -> ConnectionSpec:
    security = raw["security"]
    sources = [security] if isinstance(security, str) else security
    revert = raw.get("revert", "off")
    return ConnectionSpec(
        security=SecurityRequirement(tuple(SecurityClass.parse(s) for s in sources), Match(raw["match"])),
        bandwidth_kbps=round(raw["bandwidth_mbps"] * 1000),
        latency_us=round(raw["latency_ms"] * 1000),
        rekey_s=raw.get("rekey_s", DEFAULT_REKEY_S),
        suite=raw.get("suite", DEFAULT_SUITE),
        padding=raw.get("padding", NO_PADDING),
        protection=Protection(raw["protection"]),
        fallback=tuple(SecurityClass.parse(level) for level in raw["fallback"]),
        exclude_sites=frozenset(raw["exclude_sites"]),
        exclude_channels=frozenset(raw["exclude_channels"]),
        include_sites=tuple(raw.get("include_sites", ())),
        include_channels=tuple(raw.get("include_channels", ())),
        max_hops=raw.get("max_hops"),
        priority=raw.get("priority", 0),
        revert_after_s=None if revert == "off" else revert["after_s"],
    )
