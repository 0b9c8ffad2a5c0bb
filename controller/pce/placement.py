"""The search behind ``placement``: where a slice computes and how its connections run, decided together.

With ``compute.site`` left open every site with enough compute is a candidate, the slice's own cells and core apart (a
connection has two ends). A slice of any shape leaves nothing open: its one candidate is no site. Candidates are tried
by rising lower bound on their cost, until the bound exceeds the best plan found; each is planned exactly (see
:mod:`controller.pce.joint_planning`), so the placement is the cheapest there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.model.request import ConnectionRequest, SliceRequest, compute_of, connections_of
from controller.pce.cost import LATENCY_WEIGHT
from controller.pce.joint_planning import JointPlan, JointPlanner, PlannedConnection
from controller.pce.network import Network


@dataclass(frozen=True)
class SlicePlan:
    """Everything a slice would take: where it computes and the routes of its connections, which fit together."""

    request: SliceRequest
    compute_site: str | None  # None: it has no such thing
    connections: tuple[PlannedConnection, ...]
    is_proven: bool = True  # False when the effort ran out before it was known to be the cheapest

    @property
    def cost(self) -> int:
        return sum(connection.cost for connection in self.connections)

    @property
    def key_sections(self) -> frozenset[str]:
        """The QKD sections that its keys cross."""
        routes = [route for connection in self.connections for route in connection.routes]
        return frozenset(section for route in routes for section, _ in route.key_sections)


@dataclass(frozen=True)
class UnknownKeyRates:
    """Neither a plan nor a refusal: it fits if sections whose key rate nobody has told give enough, and only then."""

    sections: tuple[str, ...]
    plan: SlicePlan  # what the slice would get if they gave plenty


def search_slice(network: Network, request: SliceRequest) -> SlicePlan | None:
    """The cheapest plan for the whole slice on the network as it is, or None. Nothing is reserved."""
    found = search_placements(network, [(site, connections_of(request, site)) for site in candidates(network, request)])
    if found is None:
        return None
    plan, site = found
    return SlicePlan(request, site, plan.connections, plan.is_proven)


def search_placements(
    network: Network, placements: Sequence[tuple[str | None, tuple[ConnectionRequest, ...]]]
) -> tuple[JointPlan, str | None] | None:
    """The cheapest plan for any of the placements, each a site with the connections that there then are."""
    planner = JointPlanner(network)
    best: tuple[JointPlan, str | None] | None = None
    found = ((least_cost(network, requests), site, requests) for site, requests in placements)
    for bound, site, requests in sorted(found, key=lambda one: (one[0], one[1] or "")):
        if best is not None and bound >= best[0].objective:
            break
        plan = planner.plan(requests, stop_at=None if best is None else best[0].objective)
        if plan is not None:
            best = plan, site
    return best


def candidates(network: Network, request: SliceRequest) -> list[str | None]:
    """The sites at which the slice could compute, by compute alone; of one that leaves nothing open, at most None."""
    return [site for site in possible_sites(network, request) if has_compute(network, request, site)]


def possible_sites(network: Network, request: SliceRequest) -> list[str | None]:
    """As :func:`candidates`, whatever compute there is."""
    shape = request.shape
    return [s for s in network.index.site_names if s not in shape.ends] if shape.is_open else [shape.site]


def least_cost(network: Network, requests: Iterable[ConnectionRequest]) -> int:
    """A lower bound on the cost of connections: the latency of the bare topology."""
    bounds, number = network.index.bounds, network.index.site_number
    total = 0
    for connection in requests:
        source, target = number[connection.src], number[connection.dst]
        if bounds.is_connected(source, target):
            routes = 2 if connection.spec.protection.has_backup else 1
            total += routes * bounds.distance_to(target, source)(source) * LATENCY_WEIGHT
    return total


def has_compute(network: Network, request: SliceRequest, site: str | None) -> bool:
    """Whether the sites at which the slice computes are up and have what it needs there."""
    for at, need in compute_of(request, site).items():
        vcpus, memory_gb = network.free_compute(at)
        if not network.is_site_up(at) or need.vcpus > vcpus or need.memory_gb > memory_gb:
            return False
    return True
