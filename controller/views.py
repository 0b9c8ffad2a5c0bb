"""Slices, plans and the topology as the JSON of the northbound API. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controller.cost import breakdown
from controller.drivers import SectionStatus
from controller.explain import Infeasible, Relaxation
from controller.feasibility import FeasibilityJob
from controller.flows import (
    IN_PORT,
    Action,
    Group,
    Item,
    Meter,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Rule,
    SetField,
    ToGroup,
)
from controller.graph import Network
from controller.orchestrator import Orchestrator
from controller.placement import PlannedConnection
from controller.preview import Preview
from controller.proof import reroute_view
from controller.records import Connection, Lane, SliceRecord
from controller.requests import slice_request_to_dict

# The units in which path computation counts.
UNITS = {"bandwidth": "kbit/s", "latency": "us", "key_rate": "mbit/s"}


def slice_view(model: Orchestrator, record: SliceRecord) -> dict[str, Any]:
    """One slice with its connections."""
    connections = [model.connections[i] for i in record.connection_ids if i in model.connections]
    return {
        "name": record.name,
        "state": record.state.value,
        "compute_site": record.compute_site,
        "created_at": record.created_at,
        "reason": record.reason,
        "expires_at": record.expires_at,
        "timings_ms": dict(record.timings_ms),
        "request": slice_request_to_dict(record.request),
        "connections": [connection_view(c) | {"conditions": list(model.conditions.get(c.id, ()))} for c in connections],
    }


def reservation_view(model: Orchestrator, record: SliceRecord) -> dict[str, Any]:
    """What is held for a slice, and until when."""
    return {"id": record.reservation, "expires_at": record.expires_at, "slice": slice_view(model, record)}


def job_view(job: FeasibilityJob, reservation_status: str) -> dict[str, Any]:
    """A feasibility job; names as in TS 28.541's FeasibilityCheckAndReservationJob where it has one."""
    view: dict[str, Any] = {
        "id": job.id,
        "asked_at": job.asked_at,
        "feasibilityResult": "FEASIBLE" if job.is_feasible else "INFEASIBLE",
        "resourceReservationStatus": reservation_status,
        "reservation": job.reservation,
        "reservationExpiration": job.expires_at,
        "request": slice_request_to_dict(job.request),
    }
    if job.infeasible is not None:
        view |= {"inFeasibleReason": job.infeasible.summary, **infeasible_view(job.infeasible)}
    return view


def connection_view(connection: Connection) -> dict[str, Any]:
    request, route = connection.request, connection.route
    working = _lane_view(connection.lanes[0]) if connection.lanes else None
    return {
        "name": request.name,
        "id": connection.id,
        "role": request.role.value,
        "src": request.src,
        "dst": request.dst,
        "src_address": connection.src_address,
        "dst_address": connection.dst_address,
        "src_address6": connection.src_address6,
        "dst_address6": connection.dst_address6,
        "required": request.spec.security.level.label,
        "level": connection.in_force.security.level.label,
        "fallback": [level.label for level in request.spec.fallback],
        "is_on_fallback": connection.fallback is not None,
        "key_source": connection.key_source,
        "suite": request.spec.suite if connection.is_encrypted else None,
        "padding": request.spec.padding if connection.is_encrypted else None,
        "match": request.spec.security.match.value,
        "protection": request.spec.protection.value,
        "state": connection.state.value,
        "reason": connection.explanation,
        "bandwidth_mbps": request.spec.bandwidth_kbps / 1000,
        "rekey_s": request.spec.rekey_s if connection.is_encrypted else None,
        "rekey_in_effect_s": connection.rekey_s if connection.is_encrypted else None,
        "rekey_reason": None if connection.slow_rekey is None else connection.slow_rekey.reason,
        "path": [] if route is None else list(route.channels),
        "sites": [] if route is None else list(route.sites),
        "latency_ms": None if route is None else route.latency_us / 1000,
        "labels": None if working is None else working["labels"],
        "key_links": [] if route is None else list(route.key_links),
        "key_sections": {} if route is None else dict(route.key_sections),
        "backup": _lane_view(connection.lanes[1]) if len(connection.lanes) > 1 else None,
        "priority": request.spec.priority,
        "revert_after_s": request.spec.revert_after_s,
        "preferred_path": None if connection.preferred is None else list(connection.preferred.channels),
        "reroutes": [reroute_view(reroute) for reroute in connection.reroutes],
        "tunnel": {"interface": connection.tunnel_interface, "port": connection.tunnel_port}
        if connection.is_encrypted
        else None,
    }


def _lane_view(lane: Lane) -> dict[str, Any]:
    return {
        "path": list(lane.route.channels),
        "sites": list(lane.route.sites),
        "latency_ms": lane.route.latency_us / 1000,
        "labels": {"forward": list(lane.forward), "reverse": list(lane.reverse)},
    }


def plan_view(preview: Preview) -> dict[str, Any]:
    """What a dry run shows: nothing of it is reserved."""
    plan = preview.plan
    connections = {c.id: c for c in preview.connections}
    return {
        "dry_run": True,
        "name": plan.request.name,
        "compute_site": plan.compute_site,
        "is_proven": plan.is_proven,
        "cost": cost_view(plan.cost),
        "key_rate_bps": {section: rate / 1000 for section, rate in preview.key_rate_mbps.items()},
        "reserved_mbps": {channel: kbps / 1000 for channel, kbps in preview.bandwidth_kbps.items()},
        "connections": [_planned_view(p, connections[p.request.id]) for p in plan.connections],
        "switches": {site: switch_view(items) for site, items in preview.switches.items()},
    }


def _planned_view(planned: PlannedConnection, connection: Connection) -> dict[str, Any]:
    request, working = planned.request, planned.working
    lanes = [_lane_view(lane) for lane in connection.lanes]
    return {
        "name": request.name,
        "src": request.src,
        "dst": request.dst,
        "src_address": connection.src_address,
        "dst_address": connection.dst_address,
        "src_address6": connection.src_address6,
        "dst_address6": connection.dst_address6,
        "required": request.spec.security.level.label,
        "key_source": request.spec.security.key_source,
        "suite": request.spec.suite if request.spec.security.is_encrypted else None,
        "padding": request.spec.padding if request.spec.security.is_encrypted else None,
        "protection": request.spec.protection.value,
        "bandwidth_mbps": request.spec.bandwidth_kbps / 1000,
        "key_rate_bps": request.spec.key_rate_mbps / 1000,
        "path": list(working.channels),
        "sites": list(working.sites),
        "latency_ms": working.latency_us / 1000,
        "labels": lanes[0]["labels"],
        "key_links": list(working.key_links),
        "key_sections": dict(working.key_sections),
        "cost": planned.cost,
        "cost_parts": cost_view(planned.cost),
        "backup": None if planned.backup is None else list(planned.backup.channels),
        "backup_way": lanes[1] if len(lanes) > 1 else None,
        "shared": list(planned.shared),
    }


def cost_view(cost: int) -> dict[str, int]:
    """A cost and what it is made of."""
    parts = breakdown(cost)
    return {
        "total": cost,
        "surplus_levels": parts.surplus_levels,
        "latency_us": parts.latency_us,
        "load_permille": parts.load_permille,
    }


def switch_view(items: Iterable[Item]) -> dict[str, Any]:
    """Rules, meters and groups of one switch, in a stable order."""
    items = tuple(items)
    rules = [i for i in items if isinstance(i, Rule)]
    meters = [i for i in items if isinstance(i, Meter)]
    groups = [i for i in items if isinstance(i, Group)]
    return {
        "rules": [
            {
                "priority": r.priority,
                "match": dict(r.match),
                "actions": [action_text(a) for a in r.actions],
                "cookie": f"{r.cookie:#018x}",
                "meter": r.meter,
            }
            for r in sorted(rules, key=lambda r: (-r.priority, repr(r.match)))
        ],
        "meters": [
            {"id": m.id, "rate_kbps": m.rate_kbps, "burst_kbits": m.burst_kbits}
            for m in sorted(meters, key=lambda m: m.id)
        ],
        "groups": [
            {
                "id": g.id,
                "type": g.type.value,
                "buckets": [
                    {"actions": [action_text(a) for a in b.actions], "watch_port": b.watch_port} for b in g.buckets
                ],
            }
            for g in sorted(groups, key=lambda g: g.id)
        ],
    }


def action_text(action: Action) -> str:
    """An action as ovs-ofctl writes it, near enough to be recognised."""
    match action:
        case Output(port):
            return "in_port" if port == IN_PORT else f"output:{port}"
        case PushVlan(ethertype):
            return f"push_vlan:{ethertype:#06x}"
        case PopVlan():
            return "pop_vlan"
        case SetField(field, value):
            return f"set_field:{value}->{field}"
        case Move(source, target, bits):
            return f"move:{source}->{target} ({bits} bits)"
        case ToGroup(group):
            return f"group:{group}"


def infeasible_view(infeasible: Infeasible) -> dict[str, Any]:
    """The members that a problem document gets beside those of RFC 9457."""
    return {
        "reasons": [
            {
                "connection": r.connection,
                "constraint": r.constraint,
                "where": r.where,
                "needed": r.needed,
                "available": r.available,
                "unit": UNITS.get(r.constraint),
            }
            for r in infeasible.reasons
        ],
        "nearest": [_relaxation_view(n) for n in infeasible.nearest],
    }


def _relaxation_view(relaxation: Relaxation) -> dict[str, Any]:
    view = {"field": relaxation.field, "value": relaxation.value, "description": relaxation.description}
    return view | ({"also": [_relaxation_view(a) for a in relaxation.also]} if relaxation.also else {})


def _channel_state(network: Network, channel_id: str) -> str:
    if network.is_dark(channel_id):
        return "dark"
    return "up" if network.is_channel_up(channel_id) else "down"


def topology_view(network: Network, sections: Mapping[str, SectionStatus], faults: Mapping[str, str]) -> dict[str, Any]:
    """Sites, channels and sections with their states and what is reserved on them."""
    topology = network.topology
    return {
        "name": topology.name,
        "description": topology.description,
        "sites": [
            {
                "name": s.name,
                "tier": s.tier.value,
                "x": s.x,
                "y": s.y,
                "vcpus": s.vcpus,
                "memory_gb": s.memory_gb,
                "free_vcpus": network.free_compute(s.name)[0],
                "free_memory_gb": network.free_compute(s.name)[1],
            }
            for s in topology.sites
        ],
        "channels": [
            {
                "id": c.id,
                "a": c.a,
                "b": c.b,
                "a_interface": topology.port_of(c.a, c.id).interface,
                "b_interface": topology.port_of(c.b, c.id).interface,
                "class": c.security.label,
                "wavelength": c.wavelength,
                "length_km": c.length_km,
                "state": _channel_state(network, c.id),
                "is_spare": c.dark,
                "capacity_mbps": c.capacity_mbps,
                "reserved_mbps": network.reserved_kbps(c.id) / 1000,
            }
            for c in topology.channels
        ],
        "sections": [
            {
                "id": s.id,
                "a": s.a,
                "b": s.b,
                "length_km": s.length_km,
                "state": "usable" if s.id in sections and sections[s.id].is_usable else "unusable",
                "rate_bps": sections[s.id].rate_mbps / 1000 if s.id in sections else 0.0,
                "reserved_bps": network.reserved_key_mbps(s.id) / 1000,
                "qber": sections[s.id].qber if s.id in sections else None,
            }
            for s in topology.sections
        ],
        "qkd_links": [{"id": q.id, "a": q.a, "b": q.b, "sections": list(q.sections)} for q in topology.qkd_links],
        "faults": sorted(faults.values()),
    }
