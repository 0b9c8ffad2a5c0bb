"""Why a whole slice does not fit, and what nearby would: compute, single connections, or their competition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from controller.model.path import Route
from controller.model.request import (
    AnyShape,
    Compute,
    ConnectionRequest,
    ConnectionSpec,
    NamedConnection,
    SliceRequest,
    ThreeRoles,
    compute_of,
    connections_of,
)
from controller.pce.infeasibility import Infeasible, Reason, explain_connection, pool_reasons
from controller.pce.joint_planning import JointPlanner, Kind, Resource, demand_of, left_of, plan_alone
from controller.pce.network import Network
from controller.pce.placement import candidates, possible_sites, search_slice
from controller.pce.relaxation import Knob, Relaxation, Remedy, remedies, spec_knobs
from controller.pce.route_query import NO_CAPS

SITE = "compute.site"


def explain_slice(network: Network, request: SliceRequest) -> Infeasible:
    """Explain why :func:`search_slice` has no plan."""
    found = remedies(request, slice_knobs(request), lambda r: search_slice(network, r) is not None)
    sites = candidates(network, request)
    if not sites:
        reasons = _compute_reasons(network, request)
    else:
        planner = JointPlanner(network)
        refused = {site: [c for c in connections_of(request, site) if planner.alone(c) is None] for site in sites}
        # With several candidates, the one that fails least tells most.
        site = min(sites, key=lambda s: (len(refused[s]), s or ""))
        reasons = [r for c in refused[site] for r in explain_connection(network, c, _routes).reasons]
        if not refused[site]:
            reasons = _contention(network, connections_of(request, site))
    return Infeasible(tuple(reasons), tuple(_relaxation(network, request, remedy) for remedy in found))


def slice_knobs(request: SliceRequest) -> list[Knob[SliceRequest]]:
    """Every way to loosen a slice: another site, less compute, and the knobs of each role or listed connection."""
    shape = request.shape
    knobs = _template_knobs(shape) if isinstance(shape, ThreeRoles) else _listed_knobs(shape)
    for key, spec in request.specs.items():
        knobs.extend(_lift(key, knob) for knob in spec_knobs(spec, f"connections.{key}"))
    return [knob for knob in knobs if knob.steps > 0]


def _template_knobs(shape: ThreeRoles) -> list[Knob[SliceRequest]]:
    asked = shape.compute

    def with_compute(request: SliceRequest, compute: Compute) -> SliceRequest:
        assert isinstance(request.shape, ThreeRoles)  # a knob turns the request that it was made for
        now = replace(request.shape.compute, vcpus=compute.vcpus, memory_gb=compute.memory_gb)
        return replace(request, shape=replace(request.shape, compute=now))

    def compute_of_now(request: SliceRequest) -> Compute:
        assert isinstance(request.shape, ThreeRoles)
        return Compute(request.shape.compute.vcpus, request.shape.compute.memory_gb)

    return [
        Knob(
            "compute", SITE, asked.site or "auto", 0 if asked.site is None else 1,
            lambda r, _: r.placed_at(None),
            lambda _: "auto",
        ),
        *_compute_knobs("compute", Compute(asked.vcpus, asked.memory_gb), compute_of_now, with_compute),
    ]  # fmt: skip


def _listed_knobs(shape: AnyShape) -> list[Knob[SliceRequest]]:
    """What its application needs at the ends of each connection."""
    knobs: list[Knob[SliceRequest]] = []
    for position, listed in enumerate(shape.listed):
        for is_source, end, asked in ((True, "from", listed.src_compute), (False, "to", listed.dst_compute)):

            def now(request: SliceRequest, at: int = position, is_source: bool = is_source) -> Compute:
                there = _listed(request)[at]
                return there.src_compute if is_source else there.dst_compute

            def turned(
                request: SliceRequest, need: Compute, at: int = position, is_source: bool = is_source
            ) -> SliceRequest:
                before = _listed(request)
                there = replace(before[at], src_compute=need) if is_source else replace(before[at], dst_compute=need)
                return replace(request, shape=AnyShape((*before[:at], there, *before[at + 1 :])))

            knobs.extend(_compute_knobs(f"connections.{listed.name}.compute.{end}", asked, now, turned))
    return knobs


def _listed(request: SliceRequest) -> tuple[NamedConnection, ...]:
    assert isinstance(request.shape, AnyShape)  # a knob turns the request that it was made for
    return request.shape.listed


def _compute_knobs(
    prefix: str,
    asked: Compute,
    now: Callable[[SliceRequest], Compute],
    turned: Callable[[SliceRequest, Compute], SliceRequest],
) -> list[Knob[SliceRequest]]:
    """Fewer virtual CPUs, and less memory, than asked for in one place."""
    return [
        Knob(
            "compute", f"{prefix}.vcpus", str(asked.vcpus), asked.vcpus,
            lambda r, i: turned(r, replace(now(r), vcpus=asked.vcpus - i)),
            lambda i: asked.vcpus - i,
        ),
        Knob(
            "compute", f"{prefix}.memory_gb", str(asked.memory_gb), asked.memory_gb,
            lambda r, i: turned(r, replace(now(r), memory_gb=asked.memory_gb - i)),
            lambda i: asked.memory_gb - i,
        ),
    ]  # fmt: skip


def _lift(key: str, knob: Knob[ConnectionSpec]) -> Knob[SliceRequest]:
    def turn(request: SliceRequest, step: int) -> SliceRequest:
        return request.with_spec(key, knob.turn(request.specs[key], step))

    return Knob(knob.constraint, knob.field, knob.asked, knob.steps, turn, knob.value, knob.is_ordered)


def _relaxation(network: Network, request: SliceRequest, remedy: Remedy[SliceRequest]) -> Relaxation:
    """The remedy in words; a site left open is named after the one that was then chosen."""
    plan = search_slice(network, remedy.apply(request))
    assert plan is not None  # that is what makes it a remedy
    relaxation = remedy.relaxation
    parts = [
        replace(
            part,
            value=plan.compute_site or "",
            description=f"{SITE} {plan.compute_site} instead of {request.shape.site}",
        )
        if part.field == SITE
        else part
        for part in (relaxation, *relaxation.also)
    ]
    return replace(parts[0], also=tuple(replace(part, also=()) for part in parts[1:]))


def _compute_reasons(network: Network, request: SliceRequest) -> list[Reason]:
    """What is missing at the sites asked for, or at the best of all when none was."""
    shape = request.shape
    if shape.is_open:
        open_sites = [s for s in possible_sites(network, request) if s is not None and network.is_site_up(s)]
        if not open_sites:
            vcpus = shape.compute.vcpus if isinstance(shape, ThreeRoles) else 0
            return [Reason(request.name, "compute", "any site", f"{vcpus} vcpus", None)]
        request = request.placed_at(max(open_sites, key=network.free_compute))
    reasons = []
    for where, need in compute_of(request, request.shape.site).items():
        if not network.is_site_up(where):
            reasons.append(Reason(request.name, "connectivity", where, "site up", "site down"))
            continue
        vcpus, memory_gb = network.free_compute(where)
        lacking = [("vcpus", need.vcpus, vcpus), ("memory_gb", need.memory_gb, memory_gb)]
        reasons += [
            Reason(request.name, "compute", f"{where} {name}", n, left) for name, n, left in lacking if n > left
        ]
    return reasons


def _contention(network: Network, connections: tuple[ConnectionRequest, ...]) -> list[Reason]:
    """Each connection fits by itself but not all together: what their own best routes overdraw."""
    users: dict[Resource, list[str]] = {}
    demand: Counter[Resource] = Counter()
    for connection in connections:
        answer = plan_alone(network, connection, NO_CAPS)
        assert answer is not None  # the caller has seen to that
        for resource, need in demand_of(network, answer[0]).items():
            demand[resource] += need
            users.setdefault(resource, []).append(connection.id)
    # Of a channel that is overdrawn in both directions, the one where more is missing.
    worst: dict[tuple[bool, int], tuple[int, Resource]] = {}
    full = {number: need for (kind, number), need in demand.items() if kind is Kind.POOL}
    for resource, need in sorted(demand.items()):
        kind, number = resource
        if kind is Kind.POOL:
            continue
        place = (kind is Kind.SECTION, number if kind is Kind.SECTION else number // 2)
        missing = need - left_of(network, resource)
        if missing > worst.get(place, (0, resource))[0]:
            worst[place] = missing, resource
    index, reasons = network.index, []
    for (is_section, number), (_, resource) in worst.items():
        where = index.section_ids[number] if is_section else index.channel_ids[number]
        constraint = "key_rate" if is_section else "bandwidth"
        names = ", ".join(users[resource])
        reasons.append(Reason(names, constraint, where, demand[resource], left_of(network, resource)))
    for pool, need in sorted(full.items()):
        reasons += pool_reasons(network, ", ".join(users[Kind.POOL, pool]), {pool: need})
    return list({(reason.constraint, reason.where): reason for reason in reasons}.values())


def _routes(network: Network, request: ConnectionRequest) -> tuple[Route, ...] | None:
    answer = plan_alone(network, request, NO_CAPS)
    return None if answer is None else answer[0].routes
