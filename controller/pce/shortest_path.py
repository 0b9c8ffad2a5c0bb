"""The exact constrained shortest path: label setting with dominance and lower bounds.

A label is a partial path from the source: its cost, latency, hops, and which of the *tracked* sites and channels
it has met. Labels leave a heap in the order of cost so far plus a lower bound of the rest (A*), so the first one
at the target is the cheapest. Two rules discard labels and never the optimum: one whose latency or hops cannot
stay within the limits even on the bounds, and one that another label at the same site dominates.

Without required elements no site is met twice on a cheapest path, because every channel costs something. With
them it may be (in and out of a stub). Then the sites met twice are tracked, the search repeated, and so on until
the answer is simple: decremental state space relaxation (Righini and Salani, Networks 51, 2008). Pools, which a path
may use several times over, are treated alike: what the answer takes too much of is *scarce* from then on, labels carry
what they took of it, and take no part in dominance that took more.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from controller.pce.bounds import Bound
from controller.pce.cost import LATENCY_WEIGHT, LOAD_SCALE
from controller.pce.network import Network
from controller.pce.network_index import Offer


@dataclass(frozen=True)
class PathQuery:
    """A question in the index's numbers. Prices are added to the cost of whoever uses the element.

    ``max_latency_us`` is what channels may take together, each with its switch (:mod:`controller.model.latency`).
    ``bandwidth_kbps`` is what is needed along the path, and against it; ``pool_caps`` limits what the whole path takes
    of single pools further (:mod:`controller.pce.wavelength_pools`).
    """

    source: int
    target: int
    bandwidth_kbps: tuple[int, int]
    level: int
    is_exact: bool
    max_latency_us: int
    max_hops: int | None = None
    banned_sites: frozenset[int] = frozenset()
    banned_arcs: frozenset[int] = frozenset()
    required_sites: frozenset[int] = frozenset()
    required_channels: frozenset[int] = frozenset()
    site_prices: Mapping[int, int] = field(default_factory=dict, compare=False)
    pool_caps: Mapping[int, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class FoundPath:
    """An answer in the index's numbers; ``cost`` includes the prices of the query."""

    sites: tuple[int, ...]
    arcs: tuple[int, ...]
    latency_us: int
    cost: int

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(arc >> 1 for arc in self.arcs)


def cheapest_path(network: Network, query: PathQuery) -> FoundPath | None:
    """The cheapest simple path that satisfies ``query``, or None when there is none."""
    ends = {query.source, query.target}
    if query.source == query.target or ends & query.banned_sites:
        return None
    if not all(network.is_site_number_up(site) for site in ends):
        return None
    if not network.index.bounds.is_connected(query.source, query.target):
        return None
    pools, left = network.index.pools, network.pool_left
    query = replace(query, required_sites=query.required_sites - ends)
    if pools.pooled:
        left = [min(amount, query.pool_caps.get(pool, amount)) for pool, amount in enumerate(left)]
        query = replace(query, banned_arcs=query.banned_arcs.union(pools.closed_arcs(left, query.bandwidth_kbps)))
    is_plain = query.max_hops is None and not (query.required_sites or query.required_channels)
    if is_plain and not pools.pooled:
        return _search_plain(network, query)
    tracked: frozenset[int] = frozenset()
    scarce: dict[int, int] = {}
    while True:
        if is_plain and not scarce:
            found = _search_plain(network, query)
        else:
            found = _LabelSearch(network, query, tracked, scarce).run()
        if found is None:
            return None
        twice = {site for site, times in Counter(found.sites).items() if times > 1}
        demand = pools.demand(found.arcs, query.bandwidth_kbps)
        over = {pool: left[pool] for pool, amount in demand.items() if amount > left[pool]}
        if not twice and not over:
            return found
        tracked |= twice
        scarce |= over


class _Labels:
    """Partial paths, one list per field; parents lead back to the source."""

    def __init__(self, source: int) -> None:
        self.site = [source]
        self.cost = [0]
        self.latency = [0]
        self.parent = [-1]
        self.arc = [-1]

    def add(self, site: int, cost: int, latency: int, parent: int, arc: int) -> int:
        self.site.append(site)
        self.cost.append(cost)
        self.latency.append(latency)
        self.parent.append(parent)
        self.arc.append(arc)
        return len(self.site) - 1

    def unwind(self, label: int) -> FoundPath:
        cost, latency = self.cost[label], self.latency[label]
        sites, arcs = [self.site[label]], []
        while self.parent[label] >= 0:
            arcs.append(self.arc[label])
            label = self.parent[label]
            sites.append(self.site[label])
        return FoundPath(tuple(reversed(sites)), tuple(reversed(arcs)), latency, cost)


def _admit(network: Network, query: PathQuery) -> Callable[[tuple[Offer, ...], int], list[tuple[int, int, int]]]:
    """A function from parallel arcs to (cost, latency, number) of those that are usable and not dominated.

    Offers come by rising surplus, then latency, and load cannot reverse that order: a later one of another kind is
    only worth having when it is faster, one of the same kind when it is less loaded.
    """
    headroom, banned = network.headroom, query.banned_arcs
    along, against = query.bandwidth_kbps

    def admit(offers: tuple[Offer, ...], least_latency: int) -> list[tuple[int, int, int]]:
        kept: list[tuple[int, int, int]] = []
        kind = -1
        for arc, base, latency, capacity in offers:
            if kept and base != kind and latency >= kept[-1][1]:
                if kept[-1][1] == least_latency:
                    break
                continue
            left, left_back = headroom[arc] - along, headroom[arc ^ 1] - against
            if left < 0 or left_back < 0 or arc in banned:
                continue
            # What is not left is used: by what is reserved, and by the path.
            cost = base + (capacity - (left if left < left_back else left_back)) * LOAD_SCALE // capacity
            if not kept or base != kind:
                kept.append((cost, latency, arc))
                kind = base
            elif cost < kept[-1][0]:
                kept[-1] = (cost, latency, arc)
        return kept

    return admit


def _search_plain(network: Network, query: PathQuery) -> FoundPath | None:
    """The search without required elements or a hop limit: a label is its cost and latency alone.

    Large networks spend their time in this loop. Labels of one site leave the heap by rising cost, so one that is
    not faster than the last of them is dominated.
    """
    rows = network.index.offers(query.level, query.is_exact)
    latency_left = network.index.bounds.distance_to(query.target, query.source)
    admit = _admit(network, query)
    limit, banned_sites, site_prices = query.max_latency_us, query.banned_sites, query.site_prices
    labels = _Labels(query.source)
    settled: dict[int, int] = {}  # site -> latency of the last label that left the heap there
    cheapest: dict[int, tuple[int, int]] = {}  # site -> cost and latency of the cheapest label made there
    if latency_left(query.source) > limit:
        return None
    heap = [(latency_left(query.source) * LATENCY_WEIGHT, 0)]
    # Names of their own spare the loop thousands of attribute look-ups.
    pop, push, add, spend = heapq.heappop, heapq.heappush, labels.add, network.effort.spend
    site_of, latency_of, cost_of = labels.site, labels.latency, labels.cost
    while heap:
        _, label = pop(heap)
        site, latency = site_of[label], latency_of[label]
        spend()
        if site in settled and latency >= settled[site]:
            continue
        settled[site] = latency
        if site == query.target:
            return labels.unwind(label)
        cost = cost_of[label]
        for neighbour, least_cost, least_latency, offers in rows[site]:
            soonest = latency + least_latency
            if neighbour in settled and soonest >= settled[neighbour]:
                continue
            if banned_sites and neighbour in banned_sites:
                continue
            left = latency_left(neighbour)
            if soonest + left > limit:
                continue
            best = cheapest.get(neighbour)
            if best is not None and best[0] <= cost + least_cost and best[1] <= soonest:
                continue
            for arc_cost, arc_latency, arc in admit(offers, least_latency):
                total, total_latency = cost + arc_cost, latency + arc_latency
                if total_latency + left > limit:
                    continue
                if site_prices:
                    total += site_prices.get(neighbour, 0)
                if best is not None and best[0] <= total and best[1] <= total_latency:
                    continue
                if best is None or total < best[0]:
                    best = cheapest[neighbour] = (total, total_latency)
                push(heap, (total + left * LATENCY_WEIGHT, add(neighbour, total, total_latency, label, arc)))
    return None


_State = tuple[int, int, int, tuple[int, ...]]  # latency, hops, what was met, what was taken of scarce pools


class _LabelSearch:
    """One run of the full search: labels also count hops, remember which tracked elements they met, and what they took.

    ``scarce`` has what there is of the pools that have to be watched.
    """

    def __init__(self, network: Network, query: PathQuery, tracked: frozenset[int], scarce: Mapping[int, int]) -> None:
        self._network = network
        self._query = query
        bounds = network.index.bounds
        self._latency_left = bounds.distance_to(query.target, query.source)
        self._hops_left: Bound | None = None if query.max_hops is None else bounds.hops_to(query.target)
        # One bit per required element, then one per site that must not be met again.
        required = sorted(query.required_sites)
        self._site_bits = {site: 1 << i for i, site in enumerate(required)}
        self._channel_bits = {c: 1 << i for i, c in enumerate(sorted(query.required_channels), start=len(required))}
        width = len(self._site_bits) + len(self._channel_bits)
        self._goal = (1 << width) - 1
        self._once_bits = {site: 1 << i for i, site in enumerate(sorted(tracked), start=width)}
        self._labels = _Labels(query.source)
        self._hops = [0]
        self._met = [self._once_bits.get(query.source, 0)]
        self._took: list[tuple[int, ...]] = [(0,) * len(scarce)]
        self._place = {pool: place for place, pool in enumerate(sorted(scarce))}
        self._most = tuple(scarce[pool] for pool in self._place)
        self._admit = _admit(network, query)

    def run(self) -> FoundPath | None:
        query, labels = self._query, self._labels
        rows = self._network.index.offers(query.level, query.is_exact)
        fronts: dict[int, list[_State]] = {}
        if self._latency_left(query.source) > query.max_latency_us or self._exceeds_hops(0, query.source):
            return None
        heap = [(self._latency_left(query.source) * LATENCY_WEIGHT, 0)]
        while heap:
            _, label = heapq.heappop(heap)
            site, met = labels.site[label], self._met[label]
            state = (labels.latency[label], self._hops[label], met, self._took[label])
            front = fronts.setdefault(site, [])
            self._network.effort.spend(1 + len(front))
            if any(self._dominates(other, state) for other in front):
                continue
            front.append(state)
            if site == query.target:
                if met & self._goal == self._goal:
                    return labels.unwind(label)
                continue
            for neighbour, _, least_latency, offers in rows[site]:
                once = self._once_bits.get(neighbour, 0)
                if neighbour in query.banned_sites or met & once:
                    continue
                if not self._exceeds_hops(self._hops[label] + 1, neighbour):
                    ways = self._ways(offers, least_latency)
                    # Required channels are worth taking whatever they cost.
                    required = [offer for offer in offers if offer[0] >> 1 in self._channel_bits]
                    if required:
                        ways = sorted({*ways, *(way for one in required for way in self._admit((one,), one[2]))})
                    self._extend(heap, label, neighbour, once | self._site_bits.get(neighbour, 0), ways)
        return None

    def _ways(self, offers: tuple[Offer, ...], least_latency: int) -> list[tuple[int, int, int]]:
        """The arcs worth taking: of those that take of scarce pools alike, and of all others, by themselves."""
        if not self._place:
            return self._admit(offers, least_latency)
        alike: dict[int, list[Offer]] = {}
        pool_of = self._network.index.pools.pool_of
        for offer in offers:
            pool = pool_of[offer[0] >> 1]
            is_scarce = pool in self._place or pool + 1 in self._place
            alike.setdefault(pool + (offer[0] & 1) if is_scarce else -1, []).append(offer)
        return sorted(
            way for group in alike.values() for way in self._admit(tuple(group), min(offer[2] for offer in group))
        )

    def _taken(self, label: int, arc: int) -> tuple[int, ...]:
        """What the label's path has taken of scarce pools, one hop further over ``arc``."""
        took = list(self._took[label])
        for pool, amount in self._network.index.pools.taken_by(arc, self._query.bandwidth_kbps):
            if pool in self._place:
                took[self._place[pool]] += amount
        return tuple(took)

    def _extend(
        self, heap: list[tuple[int, int]], label: int, neighbour: int, bits: int, ways: list[tuple[int, int, int]]
    ) -> None:
        """New labels at ``neighbour`` by each of ``ways``; ``bits`` is what is met there."""
        query, labels = self._query, self._labels
        left = self._latency_left(neighbour)
        for arc_cost, arc_latency, arc in ways:
            latency = labels.latency[label] + arc_latency
            if latency + left > query.max_latency_us:
                continue
            took = self._taken(label, arc) if self._place else ()
            if any(amount > most for amount, most in zip(took, self._most, strict=True)):
                continue
            self._took.append(took)
            cost = labels.cost[label] + arc_cost + query.site_prices.get(neighbour, 0)
            added = labels.add(neighbour, cost, latency, label, arc)
            self._hops.append(self._hops[label] + 1)
            self._met.append(self._met[label] | bits | self._channel_bits.get(arc >> 1, 0))
            heapq.heappush(heap, (cost + left * LATENCY_WEIGHT, added))

    def _exceeds_hops(self, hops: int, site: int) -> bool:
        if self._hops_left is None or self._query.max_hops is None:
            return False
        return hops + self._hops_left(site) > self._query.max_hops

    def _dominates(self, left: _State, right: _State) -> bool:
        """Whether whatever continues ``right`` could continue ``left`` as well; left's cost is no higher."""
        if left[0] > right[0] or (self._hops_left is not None and left[1] > right[1]):
            return False
        if any(mine > theirs for mine, theirs in zip(left[3], right[3], strict=True)):
            return False
        missing = self._goal & right[2] & ~left[2]
        barred = left[2] & ~right[2] & ~self._goal
        return not missing and not barred
