"""Slices, reservations, plans and refusals as the JSON of the northbound API. Pure."""

from __future__ import annotations

from typing import Any

from controller.model.connection import Connection
from controller.model.connectivity import Finding, Verdict
from controller.model.moment import moment
from controller.model.recurrence import Occurrence
from controller.model.slice_record import SliceRecord
from controller.northbound.views.moments import moment_or_none
from controller.northbound.views.network import switch_view
from controller.northbound.views.paths import connection_paths, path_view, reroute_view
from controller.northbound.views.sealing import cards_of, level_of, sealing_view
from controller.northbound.views.wavelengths import cross_connects, wavelengths_of
from controller.operations.slices.dry_run import Preview
from controller.operations.slices.feasibility import FeasibilityJob, ReservationStatus
from controller.pce.computation import PlannedConnection
from controller.pce.cost import breakdown
from controller.pce.infeasibility import Infeasible, Relaxation
from controller.schema.slice_request import slice_request_to_dict
from controller.state.network_state import NetworkState
from topologies.spec import SecurityClass, Topology


def slice_view(model: NetworkState, record: SliceRecord) -> dict[str, Any]:
    """One slice with its connections."""
    connections = [model.connections[i] for i in record.connection_ids if i in model.connections]
    cards = cards_of(model)
    return {
        "name": record.name,
        "state": record.state.value,
        "compute_site": record.compute_site,
        "created_at": moment(record.created_at),
        "reason": record.reason,
        "expires_at": moment_or_none(record.expires_at),
        "occurrence": None if record.occurrence is None else occurrence_view(record.occurrence),
        "timings_ms": dict(record.timings_ms),
        "request": slice_request_to_dict(record.request),
        "connections": [
            connection_view(model.topology, c, model.findings.get(c.id))
            | sealing_view(model.topology, cards, c)
            | {"conditions": list(model.conditions.get(c.id, ()))}
            for c in connections
        ],
        "wavelengths": wavelengths_of(model.network, connections),
        "cross_connects": cross_connects(model.topology, connections),
    }


def occurrence_view(occurrence: Occurrence) -> dict[str, Any]:
    """Which time of a recurring slice it is: the one that is, or the one that it waits for."""
    return {"number": occurrence.number, "start": moment(occurrence.start), "end": moment(occurrence.end)}


def reservation_view(model: NetworkState, record: SliceRecord) -> dict[str, Any]:
    """What is held for a slice, and until when."""
    return {
        "id": record.reservation,
        "expires_at": moment_or_none(record.expires_at),
        "slice": slice_view(model, record),
    }


def job_view(job: FeasibilityJob, reservation_status: ReservationStatus) -> dict[str, Any]:
    """A feasibility job; names as in TS 28.541's FeasibilityCheckAndReservationJob where it has one."""
    view: dict[str, Any] = {
        "id": job.id,
        "asked_at": moment(job.asked_at),
        "feasibilityResult": "FEASIBLE" if job.is_feasible else "INFEASIBLE",
        "resourceReservationStatus": reservation_status.value,
        "reservation": job.reservation,
        "reservationExpiration": moment_or_none(job.expires_at),
        "request": slice_request_to_dict(job.request),
    }
    if job.infeasible is not None:
        view |= {"inFeasibleReason": job.infeasible.summary, **infeasible_view(job.infeasible)}
    return view


def connection_view(topology: Topology, connection: Connection, finding: Finding | None = None) -> dict[str, Any]:
    """``finding`` is what its agents say: level and source are those of the keys in use where these are others."""
    level, key_source = level_of(topology, connection)
    if finding is not None and finding.verdict is Verdict.OTHER_KEYS and finding.keys_in_use is not None:
        key_source = finding.keys_in_use
        level = min(level, max(SecurityClass.parse(source) for source in key_source.split("+")))
    request, explanation = connection.request, connection.explanation
    return {
        "name": request.name,
        "id": connection.id,
        "role": None if request.role is None else request.role.value,
        "src": request.src,
        "dst": request.dst,
        "src_address": connection.src_address,
        "dst_address": connection.dst_address,
        "src_address6": connection.src_address6,
        "dst_address6": connection.dst_address6,
        "required": request.spec.security.level.label,
        "level": level.label,
        "fallback": [level.label for level in request.spec.fallback],
        "is_on_fallback": connection.fallback is not None,
        "key_source": key_source,
        "added_by_policy": [method.label for method in connection.in_force.security.added],
        "suite": request.spec.suite if connection.is_encrypted else None,
        "padding": request.spec.padding if connection.is_encrypted else None,
        "match": request.spec.security.match.value,
        "protection": request.spec.protection.value,
        "state": connection.state.value,
        "reason": None if explanation is None else explanation.detail,
        "reason_code": None if explanation is None else explanation.code.value,
        "bandwidth_mbps": request.spec.bandwidth_kbps / 1000,
        "reverse_bandwidth_mbps": request.spec.rates_kbps[1] / 1000,
        "rekey_s": request.spec.rekey_s if connection.is_encrypted else None,
        "rekey_in_effect_s": connection.rekey_s if connection.is_encrypted else None,
        "rekey_reason": None if connection.slow_rekey is None else connection.slow_rekey.reason,
        **connection_paths(connection),
        "priority": request.spec.priority,
        "revert_after_s": request.spec.revert_after_s,
        "preferred": None if connection.preferred is None else path_view(connection.preferred).to_json(),
        "reroutes": [reroute_view(reroute) for reroute in connection.reroutes],
        "tunnel": {"interface": connection.tunnel_interface, "port": connection.tunnel_port}
        if connection.is_encrypted
        else None,
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
        "key_rate_bps": {section: rate / 1000 for section, rate in preview.key_rate_millibps.items()},
        "reserved_mbps": {channel: kbps / 1000 for channel, kbps in preview.bandwidth_kbps.items()},
        "connections": [_planned_view(p, connections[p.request.id]) for p in plan.connections],
        "switches": {site: switch_view(items) for site, items in preview.switches.items()},
    }


def _planned_view(planned: PlannedConnection, connection: Connection) -> dict[str, Any]:
    request = planned.request
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
        "added_by_policy": [method.label for method in request.spec.security.added],
        "suite": request.spec.suite if request.spec.is_sealed_by_hosts else None,
        "padding": request.spec.padding if request.spec.is_sealed_by_hosts else None,
        "protection": request.spec.protection.value,
        "bandwidth_mbps": request.spec.bandwidth_kbps / 1000,
        "reverse_bandwidth_mbps": request.spec.rates_kbps[1] / 1000,
        "key_rate_bps": request.spec.key_rate_millibps / 1000,
        **connection_paths(connection),
        "cost": planned.cost,
        "cost_parts": cost_view(planned.cost),
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


def infeasible_view(infeasible: Infeasible) -> dict[str, Any]:
    """The members that a problem document gets beside those of RFC 9457."""
    return {
        "reasons": [
            {
                "connection": r.connection,
                "constraint": r.constraint,
                "where": r.where,
                "needed": r.told(r.needed),
                "available": r.told(r.available),
                "unit": r.unit,
                "detail": r.detail,
            }
            for r in infeasible.reasons
        ],
        "nearest": [_relaxation_view(n) for n in infeasible.nearest],
    }


def _relaxation_view(relaxation: Relaxation) -> dict[str, Any]:
    view = {"field": relaxation.field, "value": relaxation.value, "description": relaxation.description}
    return view | ({"also": [_relaxation_view(a) for a in relaxation.also]} if relaxation.also else {})
