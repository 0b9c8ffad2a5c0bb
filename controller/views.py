"""Slices, plans and the topology as the JSON of the northbound API. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.drivers import SectionStatus
from controller.explain import Infeasible
from controller.graph import Network
from controller.orchestrator import Orchestrator
from controller.placement import SlicePlan
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
        "timings_ms": dict(record.timings_ms),
        "request": slice_request_to_dict(record.request),
        "connections": [connection_view(c) for c in connections],
    }


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
        "required": request.spec.security.level.label,
        "key_source": connection.key_source,
        "match": request.spec.security.match.value,
        "protection": request.spec.protection.value,
        "state": connection.state.value,
        "reason": connection.reason,
        "bandwidth_mbps": request.spec.bandwidth_kbps / 1000,
        "path": [] if route is None else list(route.channels),
        "sites": [] if route is None else list(route.sites),
        "latency_ms": None if route is None else route.latency_us / 1000,
        "labels": None if working is None else working["labels"],
        "key_sections": {} if route is None else dict(route.key_sections),
        "backup": _lane_view(connection.lanes[1]) if len(connection.lanes) > 1 else None,
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


def plan_view(plan: SlicePlan) -> dict[str, Any]:
    """What a dry run shows: nothing of it is reserved."""
    return {
        "dry_run": True,
        "name": plan.request.name,
        "compute_site": plan.compute_site,
        "connections": [
            {
                "name": p.request.name,
                "src": p.request.src,
                "dst": p.request.dst,
                "required": p.request.spec.security.level.label,
                "key_source": p.request.spec.security.key_source,
                "bandwidth_mbps": p.request.spec.bandwidth_kbps / 1000,
                "key_rate_bps": p.request.spec.key_rate_mbps / 1000,
                "path": list(p.working.channels),
                "latency_ms": p.working.latency_us / 1000,
                "cost": p.working.cost,
                "key_sections": dict(p.working.key_sections),
                "backup": None if p.backup is None else list(p.backup.channels),
            }
            for p in plan.connections
        ],
    }


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
        "nearest": [{"field": n.field, "value": n.value, "description": n.description} for n in infeasible.nearest],
    }


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
                "state": "up" if network.is_channel_up(c.id) else "down",
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


def metrics_text(model: Orchestrator, sections: Mapping[str, SectionStatus]) -> str:
    """Prometheus text exposition format 0.0.4."""
    network = model.network
    lines = ["# TYPE qslice_slices gauge", "# HELP qslice_slices Slices by state."]
    states = [record.state.value for record in model.slices.values()]
    lines += [f'qslice_slices{{state="{s}"}} {states.count(s)}' for s in sorted(set(states))]
    lines += ["# TYPE qslice_connections gauge", "# HELP qslice_connections Connections by state."]
    states = [connection.state.value for connection in model.connections.values()]
    lines += [f'qslice_connections{{state="{s}"}} {states.count(s)}' for s in sorted(set(states))]
    lines += ["# TYPE qslice_channel_up gauge", "# HELP qslice_channel_up 1 while the channel works at both ends."]
    channels = network.topology.channels
    lines += [f'qslice_channel_up{{channel="{c.id}"}} {int(network.is_channel_up(c.id))}' for c in channels]
    lines += ["# TYPE qslice_channel_reserved_bps gauge", "# HELP qslice_channel_reserved_bps Reserved bandwidth."]
    lines += [f'qslice_channel_reserved_bps{{channel="{c.id}"}} {network.reserved_kbps(c.id) * 1000}' for c in channels]
    lines += ["# TYPE qslice_section_key_bps gauge", "# HELP qslice_section_key_bps Secret key rate of a QKD section."]
    lines += [f'qslice_section_key_bps{{section="{i}"}} {s.rate_mbps / 1000}' for i, s in sorted(sections.items())]
    return "\n".join(lines) + "\n"
