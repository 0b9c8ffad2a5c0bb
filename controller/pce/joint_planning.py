"""Routes for several connections at once, which compete for the same bandwidth and key rate.

Every connection is first given its own best routes. Where a channel in one direction or a section is then overdrawn, at
least one of those that use it must use it less: a best-first branch and bound tries each (the scheme of conflict-based
search, Sharon et al., Artificial Intelligence 219, 2015). A connection that asks for another bandwidth there than back
may also do so by turning round: it is held to fewer uses of the channel in one direction or in the other. Costs are
those on the snapshot before any of the connections, so they add up and no order among the connections matters; the
first plan without a conflict is the cheapest there is.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from controller.model.errors import ControllerError
from controller.model.path import Route
from controller.model.request import ConnectionRequest
from controller.pce.disjoint_pair import search_pair
from controller.pce.network import Network
from controller.pce.network_index import arc_demand
from controller.pce.route_query import Caps, search_route

MAX_NODES = 2_000  # beyond this a plan may be missed or not be the cheapest; never one that does not fit


@dataclass(frozen=True)
class PlannedConnection:
    """A connection with the routes chosen for it; ``backup`` only under 1:1 and 1+1."""

    request: ConnectionRequest
    working: Route
    backup: Route | None = None
    shared: tuple[str, ...] = ()
    is_proven: bool = True  # see RoutePair

    @property
    def routes(self) -> tuple[Route, ...]:
        return (self.working,) if self.backup is None else (self.working, self.backup)

    @property
    def cost(self) -> int:
        return sum(route.cost for route in self.routes)


@dataclass(frozen=True)
class JointPlan:
    """Routes that fit together; ``objective`` is their cost and the penalties of what pairs share."""

    connections: tuple[PlannedConnection, ...]
    objective: int
    is_proven: bool = True  # False when the effort ran out before it was known to be the cheapest


class Kind(IntEnum):
    """What connections compete for, or are held to fewer uses of."""

    ARC = 0  # a channel in one direction
    SECTION = 1  # of QKD
    CHANNEL = 2  # in any direction; a limit alone
    POOL = 3  # what a wavelength's circuits share: see controller.pce.wavelength_pools


Resource = tuple[Kind, int]
_Limits = tuple[tuple[tuple[Resource, int], ...], ...]  # per connection the uses it is held to


class JointPlanner:
    """Plans on one snapshot; answers for single connections are remembered, so alternatives are cheap to compare."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._alone: dict[tuple[object, ...], tuple[PlannedConnection, int] | None] = {}

    def alone(
        self, request: ConnectionRequest, limits: tuple[tuple[Resource, int], ...] = ()
    ) -> tuple[PlannedConnection, int] | None:
        """The best routes for one connection held to ``limits``, with their objective."""
        key = (request.src, request.dst, request.spec, limits)
        if key not in self._alone:
            channels, sections, arcs, pools = (
                {number: uses for (kind, number), uses in limits if kind is wanted}
                for wanted in (Kind.CHANNEL, Kind.SECTION, Kind.ARC, Kind.POOL)
            )
            caps = Caps(channels, sections, arcs, pools)
            self._alone[key] = plan_alone(self._network, request, caps)
        known = self._alone[key]
        if known is None:
            return None
        planned, objective = known
        return replace(planned, request=request), objective

    def plan(self, requests: tuple[ConnectionRequest, ...], stop_at: int | None = None) -> JointPlan | None:
        """The cheapest routes for all ``requests`` together; None when none fit, or none cost less than ``stop_at``."""
        heap: list[tuple[int, int, _Limits, list[PlannedConnection]]] = []
        seen: set[_Limits] = set()

        def push(limits: _Limits) -> None:
            if limits in seen:
                return
            seen.add(limits)
            self._network.effort.spend(20 * len(requests))
            answers = [self.alone(request, held) for request, held in zip(requests, limits, strict=True)]
            plans = [answer[0] for answer in answers if answer is not None]
            if len(plans) == len(answers):
                objective = sum(answer[1] for answer in answers if answer is not None)
                if stop_at is None or objective < stop_at:
                    heapq.heappush(heap, (objective, len(seen), limits, plans))

        push(((),) * len(requests))
        while heap:
            objective, _, limits, plans = heapq.heappop(heap)
            conflict = self._conflict(plans)
            if conflict is None:
                return JointPlan(tuple(plans), objective, all(planned.is_proven for planned in plans))
            if len(seen) > MAX_NODES:
                return self._in_sequence(requests)
            for position, resource, count in conflict:
                tightened = {**dict(limits[position]), resource: count - 1}
                held = tuple(sorted(tightened.items()))
                push((*limits[:position], held, *limits[position + 1 :]))
        return None

    def _conflict(self, plans: list[PlannedConnection]) -> list[tuple[int, Resource, int]] | None:
        """What can be used less, and by which connection, to resolve one conflict: each with the uses it has now.

        None when all fit.
        """
        demand: Counter[Resource] = Counter()
        users: dict[Resource, list[int]] = {}
        for position, planned in enumerate(plans):
            for resource, need in demand_of(self._network, planned).items():
                demand[resource] += need
                users.setdefault(resource, []).append(position)
        over = [resource for resource, need in demand.items() if need > left_of(self._network, resource)]
        if not over:
            return None
        # The fewest ways to resolve it, hence the fewest branches.
        resource = min(over, key=lambda r: (len(users[r]), r))
        return [(position, *use) for position in users[resource] for use in self._uses(plans[position], resource)]

    def _uses(self, planned: PlannedConnection, resource: Resource) -> Iterable[tuple[Resource, int]]:
        """The uses that make up the connection's demand for an overdrawn resource."""
        kind, number = resource
        if kind is Kind.POOL:
            yield resource, demand_of(self._network, planned)[resource]
            return
        if kind is Kind.SECTION:
            times = [
                dict(route.key_sections).get(self._network.index.section_ids[number], 0) for route in planned.routes
            ]
            yield resource, sum(times)
            return
        arcs = Counter(arc for route in planned.routes for arc in self._network.index.arcs_of(route))
        along, against = planned.request.spec.reserved_kbps
        if along == against:
            yield (Kind.CHANNEL, number // 2), arcs[number] + arcs[number ^ 1]
            return
        for arc, rate in ((number, along), (number ^ 1, against)):
            if arcs[arc] and rate:
                yield (Kind.ARC, arc), arcs[arc]

    def _in_sequence(self, requests: tuple[ConnectionRequest, ...]) -> JointPlan | None:
        """A plan that fits, one connection after the other, the most demanding first or last."""
        by_demand = sorted(range(len(requests)), key=lambda i: (-_demand(requests[i]), i))
        best: JointPlan | None = None
        for order in (by_demand, by_demand[::-1], list(range(len(requests)))):
            plan = plan_in_order(self._network, requests, order)
            if plan is not None and (best is None or plan.objective < best.objective):
                best = plan
        return best


def plan_alone(network: Network, request: ConnectionRequest, caps: Caps) -> tuple[PlannedConnection, int] | None:
    """One connection's best routes as its protection class asks for, with their objective.

    A pair has no channel and no risk group in common: see :func:`controller.pce.infeasibility.explain_connection`.
    """
    if request.spec.protection.has_backup:
        found = search_pair(network, request, caps)
        if found is None or found.routes.risks:
            return None  # two routes that one cut takes are no protection
        pair = found.routes
        return PlannedConnection(request, pair.working, pair.backup, pair.shared, pair.is_proven), found.objective
    route = search_route(network, request, caps)
    return None if route is None else (PlannedConnection(request, route), route.cost)


def plan_in_order(network: Network, requests: tuple[ConnectionRequest, ...], order: Iterable[int]) -> JointPlan | None:
    """Plan one connection after the other, each on what those before it leave."""
    trial = network.copy()
    planned: dict[int, PlannedConnection] = {}
    objective = 0
    for position in order:
        answer = plan_alone(trial, requests[position], Caps())
        if answer is None:
            return None
        planned[position], cost = answer
        objective += cost
        reserve_planned(trial, planned[position])
    return JointPlan(tuple(planned[i] for i in range(len(requests))), objective, is_proven=False)


def reserve_planned(network: Network, planned: PlannedConnection) -> None:
    """Reserve every route of a planned connection under ``<id>`` and ``<id>#backup``; all or nothing."""
    spec = planned.request.spec
    network.reserve(planned.request.id, planned.working, spec.reserved_kbps, spec.key_rate_millibps)
    if planned.backup is not None:
        try:
            network.reserve(f"{planned.request.id}#backup", planned.backup, spec.reserved_kbps, spec.key_rate_millibps)
        except ControllerError:
            network.release(planned.request.id)
            raise


def demand_of(network: Network, planned: PlannedConnection) -> Counter[Resource]:
    """What the routes of one connection take of arcs (kbit/s), of sections (millibit/s) and of pools.

    Nothing that is zero.
    """
    index, spec = network.index, planned.request.spec
    demand: Counter[Resource] = Counter()
    for route in planned.routes:
        arcs = index.arcs_of(route)
        for arc, need in arc_demand(arcs, spec.reserved_kbps).items():
            demand[Kind.ARC, arc] += need
        for pool, need in index.pools.demand(arcs, spec.reserved_kbps).items():
            demand[Kind.POOL, pool] += need
        for section, times in route.key_sections:
            demand[Kind.SECTION, index.section_number[section]] += times * spec.key_rate_millibps
    return +demand


def left_of(network: Network, resource: Resource) -> int:
    """What is left of an arc, a section or a pool."""
    kind, number = resource
    if kind is Kind.POOL:
        return network.pool_left[number]
    return network.key_headroom(number) if kind is Kind.SECTION else network.headroom[number]


def _demand(request: ConnectionRequest) -> int:
    return max(request.spec.reserved_kbps) + request.spec.key_rate_millibps
