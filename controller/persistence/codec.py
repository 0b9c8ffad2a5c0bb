"""Slices and connections as the journal keeps them: plain JSON values in the units of the model.

The form is the journal's own. It changes with the model, and then gets another version; what the API takes and gives
can change without it. A connection is written with its own request: after a change of the slice it can be another one
than what the slice asks for now. Not written is what the next process learns anew: ``slow_rekey``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from controller.model.connection import Connection, Reroute
from controller.model.errors import DriverError
from controller.model.path import Lane, Route
from controller.model.reason import Reason, ReasonCode
from controller.model.recurrence import Occurrence, Period, Recurrence
from controller.model.request import (
    AnyShape,
    Compute,
    ComputeRequest,
    ConnectionRequest,
    ConnectionSpec,
    Match,
    NamedConnection,
    Protection,
    Role,
    SecurityRequirement,
    SliceRequest,
    SNssai,
    ThreeRoles,
)
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from topologies.spec import SecurityClass

VERSION = 7

Json = dict[str, Any]
T = TypeVar("T")


class Unreadable(DriverError):
    """What stands in the journal is nothing that this program has written."""


def encode_slice(record: SliceRecord) -> Json:
    """A slice without its connections: those are written one by one."""
    return {
        "version": VERSION,
        "request": _slice_request(record.request),
        "compute_site": record.compute_site,
        "state": record.state.value,
        "created_at": record.created_at,
        "timings_ms": dict(record.timings_ms),
        "reason": record.reason,
        "reservation": record.reservation,
        "expires_at": record.expires_at,
        "occurrence": None if record.occurrence is None else list(astuple(record.occurrence)),
    }


def decode_slice(raw: Mapping[str, Any], connection_ids: Iterable[str]) -> SliceRecord:
    """Inverse of :func:`encode_slice`. Raises Unreadable."""
    return _reading("slice", raw, lambda: _slice_from(raw, tuple(connection_ids)))


def encode_connection(connection: Connection) -> Json:
    c = connection
    return {
        "version": VERSION,
        "request": _connection_request(c.request),
        "number": c.number,
        "lanes": [_lane(lane) for lane in c.lanes],
        "generation": c.generation,
        "state": c.state.value,
        "reason": None if c.reason is None else _reason(c.reason),
        "reroutes": [_reroute(reroute) for reroute in c.reroutes],
        "edition": c.edition,
        "fallback": None if c.fallback is None else c.fallback.label,
        "preferred": None if c.preferred is None else _route(c.preferred),
    }


def decode_connection(raw: Mapping[str, Any]) -> Connection:
    """Inverse of :func:`encode_connection`. Raises Unreadable."""
    return _reading("connection", raw, lambda: _connection_from(raw))


def _reading(what: str, raw: Any, read: Callable[[], T]) -> T:
    version = raw.get("version") if isinstance(raw, Mapping) else None
    if version != VERSION:
        raise Unreadable(f"a {what} of version {version}, this program reads {VERSION}")
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"a {what} that lacks or garbles {error}") from error


# --- requests ----------------------------------------------------------------------------------------------------


def _slice_request(request: SliceRequest) -> Json:
    return {
        "name": request.name,
        "sst": request.snssai.sst,
        "sd": request.snssai.sd,
        "shape": _shape(request.shape),
        "start": request.start,
        "end": request.end,
        "recurrence": None if request.recurrence is None else _recurrence(request.recurrence),
    }


def _recurrence(recurrence: Recurrence) -> Json:
    return {
        "start": recurrence.start,
        "lasts_s": recurrence.lasts_s,
        "every": [recurrence.every.days, recurrence.every.seconds],
        "zone": recurrence.zone_name,
        "until": recurrence.until,
        "count": recurrence.count,
    }


def _recurrence_from(raw: Mapping[str, Any]) -> Recurrence:
    """A zone that the machine does not know any more makes the journal unreadable: its days are unknown."""
    return Recurrence(
        start=raw["start"],
        lasts_s=raw["lasts_s"],
        every=Period(*raw["every"]),
        zone=ZoneInfo(raw["zone"]),
        zone_name=raw["zone"],
        until=raw["until"],
        count=raw["count"],
    )


def _shape(shape: ThreeRoles | AnyShape) -> Json:
    if isinstance(shape, AnyShape):
        return {"listed": [_named(connection) for connection in shape.listed]}
    compute = shape.compute
    return {
        "cells": list(shape.cells),
        "compute": {"site": compute.site, "vcpus": compute.vcpus, "memory_gb": compute.memory_gb},
        "core": shape.core,
        "connections": {key: _spec(spec) for key, spec in shape.specs.items()},
    }


def _named(connection: NamedConnection) -> Json:
    c = connection
    needs = {end: [need.vcpus, need.memory_gb] for end, need in (("src", c.src_compute), ("dst", c.dst_compute))}
    return {"name": c.name, "src": c.src, "dst": c.dst, "spec": _spec(c.spec), "compute": needs}


def _slice_request_from(raw: Mapping[str, Any]) -> SliceRequest:
    return SliceRequest(
        name=raw["name"],
        snssai=SNssai(raw["sst"], raw["sd"]),
        shape=_shape_from(raw["shape"]),
        start=raw["start"],
        end=raw["end"],
        recurrence=None if raw["recurrence"] is None else _recurrence_from(raw["recurrence"]),
    )


def _shape_from(raw: Mapping[str, Any]) -> ThreeRoles | AnyShape:
    if "listed" in raw:
        return AnyShape(tuple(_named_from(connection) for connection in raw["listed"]))
    compute = raw["compute"]
    return ThreeRoles(
        cells=tuple(raw["cells"]),
        compute=ComputeRequest(compute["site"], compute["vcpus"], compute["memory_gb"]),
        core=raw["core"],
        by_role={Role(role): _spec_from(spec) for role, spec in raw["connections"].items()},
    )


def _named_from(raw: Mapping[str, Any]) -> NamedConnection:
    src_compute, dst_compute = (Compute(*raw["compute"][end]) for end in ("src", "dst"))
    return NamedConnection(raw["name"], raw["src"], raw["dst"], _spec_from(raw["spec"]), src_compute, dst_compute)


def _connection_request(request: ConnectionRequest) -> Json:
    return {
        "slice": request.slice_name,
        "name": request.name,
        "role": None if request.role is None else request.role.value,
        "src": request.src,
        "dst": request.dst,
        "spec": _spec(request.spec),
    }


def _connection_request_from(raw: Mapping[str, Any]) -> ConnectionRequest:
    role = None if raw["role"] is None else Role(raw["role"])
    return ConnectionRequest(raw["slice"], raw["name"], role, raw["src"], raw["dst"], _spec_from(raw["spec"]))


def _spec(spec: ConnectionSpec) -> Json:
    return {
        "sources": [source.label for source in spec.security.sources],
        "match": spec.security.match.value,
        "bandwidth_kbps": spec.bandwidth_kbps,
        "latency_us": spec.latency_us,
        "rekey_s": spec.rekey_s,
        "suite": spec.suite,
        "padding": spec.padding,
        "protection": spec.protection.value,
        "fallback": [level.label for level in spec.fallback],
        "exclude_sites": sorted(spec.exclude_sites),
        "exclude_channels": sorted(spec.exclude_channels),
        "include_sites": list(spec.include_sites),
        "include_channels": list(spec.include_channels),
        "max_hops": spec.max_hops,
        "priority": spec.priority,
        "revert_after_s": spec.revert_after_s,
        "reverse_bandwidth_kbps": spec.reverse_bandwidth_kbps,
        "hosts_seal": spec.hosts_seal,
    }


def _spec_from(raw: Mapping[str, Any]) -> ConnectionSpec:
    sources = tuple(SecurityClass.parse(label) for label in raw["sources"])
    return ConnectionSpec(
        security=SecurityRequirement(sources, Match(raw["match"])),
        bandwidth_kbps=raw["bandwidth_kbps"],
        latency_us=raw["latency_us"],
        rekey_s=raw["rekey_s"],
        suite=raw["suite"],
        padding=raw["padding"],
        protection=Protection(raw["protection"]),
        fallback=tuple(SecurityClass.parse(label) for label in raw["fallback"]),
        exclude_sites=frozenset(raw["exclude_sites"]),
        exclude_channels=frozenset(raw["exclude_channels"]),
        include_sites=tuple(raw["include_sites"]),
        include_channels=tuple(raw["include_channels"]),
        max_hops=raw["max_hops"],
        priority=raw["priority"],
        revert_after_s=raw["revert_after_s"],
        reverse_bandwidth_kbps=raw["reverse_bandwidth_kbps"],
        hosts_seal=raw.get("hosts_seal", True),  # not in journals from before cards sealed
    )


# --- what became of them -----------------------------------------------------------------------------------------


def _slice_from(raw: Mapping[str, Any], connection_ids: tuple[str, ...]) -> SliceRecord:
    return SliceRecord(
        request=_slice_request_from(raw["request"]),
        compute_site=raw["compute_site"],
        connection_ids=connection_ids,
        state=SliceState(raw["state"]),
        created_at=raw["created_at"],
        timings_ms=dict(raw["timings_ms"]),
        reason=raw["reason"],
        reservation=raw["reservation"],
        expires_at=raw["expires_at"],
        occurrence=None if raw["occurrence"] is None else Occurrence(*raw["occurrence"]),
    )


def _connection_from(raw: Mapping[str, Any]) -> Connection:
    return Connection(
        request=_connection_request_from(raw["request"]),
        number=raw["number"],
        lanes=tuple(lane_from(lane) for lane in raw["lanes"]),
        generation=raw["generation"],
        state=ConnectionState(raw["state"]),
        reason=None if raw["reason"] is None else reason_from(raw["reason"]),
        reroutes=tuple(reroute_from(reroute) for reroute in raw["reroutes"]),
        edition=raw["edition"],
        fallback=None if raw["fallback"] is None else SecurityClass.parse(raw["fallback"]),
        preferred=None if raw["preferred"] is None else route_from(raw["preferred"]),
    )


def _reason(reason: Reason) -> Json:
    return {"code": reason.code.value, "detail": reason.detail, "about": list(reason.about)}


def reason_from(raw: Mapping[str, Any]) -> Reason:
    return Reason(ReasonCode(raw["code"]), raw["detail"], tuple(raw["about"]))


def _lane(lane: Lane) -> Json:
    return {
        "route": _route(lane.route),
        "forward": list(lane.forward),
        "reverse": list(lane.reverse),
        "generation": lane.generation,
        "forward_detour": list(lane.forward_detour),
        "reverse_detour": list(lane.reverse_detour),
        **({"ports": list(lane.ports)} if lane.ports else {}),
    }


def lane_from(raw: Mapping[str, Any]) -> Lane:
    return Lane(
        route=route_from(raw["route"]),
        forward=tuple(raw["forward"]),
        reverse=tuple(raw["reverse"]),
        generation=raw["generation"],
        forward_detour=tuple(raw["forward_detour"]),
        reverse_detour=tuple(raw["reverse_detour"]),
        ports=tuple(raw.get("ports", ())),
    )


def _route(route: Route) -> Json:
    return {
        "sites": list(route.sites),
        "channels": list(route.channels),
        "latency_us": route.latency_us,
        "cost": route.cost,
        "key_links": list(route.key_links),
        "key_sections": [list(crossing) for crossing in route.key_sections],
        "switches_us": route.switches_us,
        "tunnel_us": route.tunnel_us,
    }


def route_from(raw: Mapping[str, Any]) -> Route:
    return Route(
        sites=tuple(raw["sites"]),
        channels=tuple(raw["channels"]),
        latency_us=raw["latency_us"],
        cost=raw["cost"],
        key_links=tuple(raw["key_links"]),
        key_sections=tuple((section, times) for section, times in raw["key_sections"]),
        switches_us=raw.get("switches_us", 0),  # not in journals from before they counted
        tunnel_us=raw.get("tunnel_us", 0),
    )


def _reroute(reroute: Reroute) -> Json:
    return {
        "at": reroute.at,
        "old_path": list(reroute.old_path),
        "new_path": list(reroute.new_path),
        "classes": list(reroute.classes),
        "key_source": reroute.key_source,
        "level": reroute.level,
        "cause": reroute.cause,
        "old_key_links": list(reroute.old_key_links),
        "new_key_links": list(reroute.new_key_links),
    }


def reroute_from(raw: Mapping[str, Any]) -> Reroute:
    return Reroute(
        at=raw["at"],
        old_path=tuple(raw["old_path"]),
        new_path=tuple(raw["new_path"]),
        classes=tuple(raw["classes"]),
        key_source=raw["key_source"],
        level=raw["level"],
        cause=raw["cause"],
        old_key_links=tuple(raw["old_key_links"]),
        new_key_links=tuple(raw["new_key_links"]),
    )
