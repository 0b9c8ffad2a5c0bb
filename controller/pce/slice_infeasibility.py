"""Why a whole slice does not fit, and what nearby would: compute, single connections, or their competition."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from controller.model.path import Route
from controller.model.request import ConnectionRequest, ConnectionSpec, Role, SliceRequest, connections_of
from controller.pce.infeasibility import Infeasible, Reason, explain_connection
from controller.pce.joint_planning import JointPlanner, Resource, plan_alone, uses_of
from controller.pce.network import Network
from controller.pce.placement import candidates, search_slice
from controller.pce.relaxation import Knob, Relaxation, Remedy, remedies, spec_knobs
from controller.pce.route_query import NO_CAPS

SITE = "compute.site"


def explain_slice(network: Network, request: SliceRequest) -> Infeasible:
    """Explain why :func:`search_slice` has no plan."""
    found = remedies(request, slice_knobs(network, request), lambda r: search_slice(network, r) is not None)
    sites = candidates(network, request)
    if not sites:
        reasons = _compute_reasons(network, request)
    else:
        planner = JointPlanner(network)
        refused = {site: [c for c in connections_of(request, site) if planner.alone(c) is None] for site in sites}
        # With several candidates, the one that fails least tells most.
        site = min(sites, key=lambda s: (len(refused[s]), s))
        reasons = [r for c in refused[site] for r in explain_connection(network, c, _routes).reasons]
        if not refused[site]:
            reasons = _contention(network, connections_of(request, site))
    return Infeasible(tuple(reasons), tuple(_relaxation(network, request, remedy) for remedy in found))


def slice_knobs(network: Network, request: SliceRequest) -> list[Knob[SliceRequest]]:
    """Every way to loosen a slice: another site, less compute, and the knobs of each role's connections."""
    compute = request.compute
    knobs: list[Knob[SliceRequest]] = [
        Knob(
            "compute", SITE, compute.site or "auto", 0 if compute.site is None else 1,
            lambda r, _: replace(r, compute=replace(r.compute, site=None)),
            lambda _: "auto",
        ),
        Knob(
            "compute", "compute.vcpus", str(compute.vcpus), compute.vcpus,
            lambda r, i: replace(r, compute=replace(r.compute, vcpus=compute.vcpus - i)),
            lambda i: compute.vcpus - i,
        ),
        Knob(
            "compute", "compute.memory_gb", str(compute.memory_gb), compute.memory_gb,
            lambda r, i: replace(r, compute=replace(r.compute, memory_gb=compute.memory_gb - i)),
            lambda i: compute.memory_gb - i,
        ),
    ]  # fmt: skip
    for role, spec in request.connections.items():
        knobs.extend(_lift(role, knob) for knob in spec_knobs(spec, f"connections.{role.value}"))
    return [knob for knob in knobs if knob.steps > 0]


def _lift(role: Role, knob: Knob[ConnectionSpec]) -> Knob[SliceRequest]:
    def turn(request: SliceRequest, step: int) -> SliceRequest:
        spec = knob.turn(request.connections[role], step)
        return replace(request, connections={**request.connections, role: spec})

    return Knob(knob.constraint, knob.field, knob.asked, knob.steps, turn, knob.value, knob.is_ordered)


def _relaxation(network: Network, request: SliceRequest, remedy: Remedy[SliceRequest]) -> Relaxation:
    """The remedy in words; a site left open is named after the one that was then chosen."""
    plan = search_slice(network, remedy.apply(request))
    assert plan is not None  # that is what makes it a remedy
    relaxation = remedy.relaxation
    parts = [
        replace(
            part, value=plan.compute_site, description=f"{SITE} {plan.compute_site} instead of {request.compute.site}"
        )
        if part.field == SITE
        else part
        for part in (relaxation, *relaxation.also)
    ]
    return replace(parts[0], also=tuple(replace(part, also=()) for part in parts[1:]))


def _compute_reasons(network: Network, request: SliceRequest) -> list[Reason]:
    """What is missing at the site asked for, or at the best of all when none was."""
    compute = request.compute
    ends = {*request.cells, request.core}
    open_sites = [s for s in network.index.site_names if s not in ends and network.is_site_up(s)]
    if compute.site is not None and not network.is_site_up(compute.site):
        return [Reason(request.name, "connectivity", compute.site, "site up", "site down")]
    sites = [compute.site] if compute.site is not None else open_sites
    if not sites:
        return [Reason(request.name, "compute", "any site", f"{compute.vcpus} vcpus", None)]
    where = max(sites, key=network.free_compute)
    vcpus, memory_gb = network.free_compute(where)
    lacking = [("vcpus", compute.vcpus, vcpus), ("memory_gb", compute.memory_gb, memory_gb)]
    return [
        Reason(request.name, "compute", f"{where} {name}", need, left) for name, need, left in lacking if need > left
    ]


def _contention(network: Network, connections: tuple[ConnectionRequest, ...]) -> list[Reason]:
    """Each connection fits by itself but not all together: what their own best routes overdraw."""
    users: dict[Resource, list[str]] = {}
    demand: Counter[Resource] = Counter()
    for connection in connections:
        answer = plan_alone(network, connection, NO_CAPS)
        assert answer is not None  # the caller has seen to that
        for resource, count in uses_of(network, answer[0]).items():
            is_key = resource[0]
            demand[resource] += count * (
                connection.spec.key_rate_millibps if is_key else connection.spec.bandwidth_kbps
            )
            users.setdefault(resource, []).append(connection.id)
    reasons = []
    for (is_key, number), need in sorted(demand.items()):
        left = network.key_headroom(number) if is_key else network.headroom[number]
        if need > left:
            where = network.index.section_ids[number] if is_key else network.index.channel_ids[number]
            constraint = "key_rate" if is_key else "bandwidth"
            reasons.append(Reason(", ".join(users[(is_key, number)]), constraint, where, need, left))
    return reasons


def _routes(network: Network, request: ConnectionRequest) -> tuple[Route, ...] | None:
    answer = plan_alone(network, request, NO_CAPS)
    return None if answer is None else answer[0].routes
