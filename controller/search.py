"""The exact constrained shortest path: label setting with dominance and lower bounds.

A label is a partial path from the source: its cost, latency, hops, and which of the *tracked* sites and channels
it has met. Labels leave a heap in the order of cost so far plus a lower bound of the rest (A*), so the first one
at the target is the cheapest. Two rules discard labels and never the optimum: one whose latency or hops cannot
stay within the limits even on the bounds, and one that another label at the same site dominates.

Without required elements no site is met twice on a cheapest path, because every channel costs something. With
them it may be (in and out of a stub). Then the sites met twice are tracked, the search repeated, and so on until
the answer is simple: decremental state space relaxation (Righini and Salani, Networks 51, 2008).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.bounds import Bound
from controller.cost import LATENCY_WEIGHT, LOAD_SCALE, SURPLUS_WEIGHT
from controller.graph import Network

NO_PRICES: Mapping[int, int] = {}


@dataclass(frozen=True)
class PathQuery:
    """A question in the index's numbers. Prices are added to the cost of whoever uses the element."""

    source: int
    target: int
    bandwidth_kbps: int
    level: int
    is_exact: bool
    max_latency_us: int
    max_hops: int | None = None
    banned_sites: frozenset[int] = frozenset()
    banned_channels: frozenset[int] = frozenset()
    required_sites: frozenset[int] = frozenset()
    required_channels: frozenset[int] = frozenset()
    site_prices: Mapping[int, int] = field(default_factory=dict, compare=False)
    channel_prices: Mapping[int, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class FoundPath:
    """An answer in the index's numbers; ``cost`` includes the prices of the query."""

    sites: tuple[int, ...]
    channels: tuple[int, ...]
    latency_us: int
    cost: int


def cheapest_path(network: Network, query: PathQuery) -> FoundPath | None:
    """The cheapest simple path that satisfies ``query``, or None when there is none."""
    ends = {query.source, query.target}
    if query.source == query.target or ends & query.banned_sites:
        return None
    if not all(network.is_site_number_up(site) for site in ends):
        return None
    if not network.index.bounds.is_connected(query.source, query.target):
        return None
    query = replace(query, required_sites=query.required_sites - ends)
    tracked: frozenset[int] = frozenset()
    while True:
        found = _Search(network, query, tracked).run()
        if found is None:
            return None
        twice = {site for site, times in Counter(found.sites).items() if times > 1}
        if not twice:
            return found
        tracked |= twice


class _Search:
    """One run of the label-setting search."""

    def __init__(self, network: Network, query: PathQuery, tracked: frozenset[int]) -> None:
        self._network = network
        self._query = query
        index = network.index
        self._latency_left: Bound = index.bounds.distance_to(query.target, query.source)
        self._hops_left: Bound | None = None if query.max_hops is None else index.bounds.hops_to(query.target)
        # One bit per required element, then one per site that must not be met again.
        required = sorted(query.required_sites)
        self._site_bits = {site: 1 << i for i, site in enumerate(required)}
        self._channel_bits = {c: 1 << i for i, c in enumerate(sorted(query.required_channels), start=len(required))}
        width = len(self._site_bits) + len(self._channel_bits)
        self._goal = (1 << width) - 1
        self._once_bits = {site: 1 << i for i, site in enumerate(sorted(tracked), start=width)}
        self._has_bits = bool(width or tracked)
        # Labels, one list per field; parents lead back to the source.
        self._site: list[int] = []
        self._cost: list[int] = []
        self._latency: list[int] = []
        self._hops: list[int] = []
        self._met: list[int] = []
        self._parent: list[int] = []
        self._channel: list[int] = []

    def run(self) -> FoundPath | None:
        query = self._query
        heap: list[tuple[int, int]] = []
        limit = query.max_latency_us
        if self._latency_left(query.source) > limit or self._exceeds_hops(0, query.source):
            return None
        start = self._site_bits.get(query.source, 0) | self._once_bits.get(query.source, 0)
        self._add(query.source, 0, 0, 0, start, -1, -1)
        heap.append((self._latency_left(query.source) * LATENCY_WEIGHT, 0))
        is_plain = not self._has_bits and query.max_hops is None
        least_latency: dict[int, int] = {}
        fronts: dict[int, list[tuple[int, int, int]]] = {}
        latency_left = self._latency_left
        pushed: dict[int, tuple[int, int]] = {}
        site_prices = query.site_prices
        while heap:
            _, label = heapq.heappop(heap)
            site = self._site[label]
            latency = self._latency[label]
            # Labels of one site leave the heap by rising cost: only a lower latency, fewer hops or other
            # elements met can still make a later one useful.
            if is_plain:
                if latency >= least_latency.get(site, latency + 1):
                    continue
                least_latency[site] = latency
            else:
                key = (latency, self._hops[label], self._met[label])
                front = fronts.setdefault(site, [])
                if any(self._dominates(other, key) for other in front):
                    continue
                front.append(key)
            if site == query.target:
                if self._met[label] & self._goal == self._goal:
                    return self._unwind(label)
                continue
            cost, hops, met = self._cost[label], self._hops[label] + 1, self._met[label]
            for neighbour, parallel in self._network.index.neighbours[site]:
                if neighbour in query.banned_sites:
                    continue
                if is_plain and latency >= least_latency.get(neighbour, latency + 1):
                    continue
                once = self._once_bits.get(neighbour, 0)
                if met & once or self._exceeds_hops(hops, neighbour):
                    continue
                left = latency_left(neighbour)
                if latency + left > limit:
                    continue
                price = site_prices.get(neighbour, 0) if site_prices else 0
                rest = left * LATENCY_WEIGHT
                for channel_cost, channel_latency, channel in self._admissible(parallel):
                    total_latency = latency + channel_latency
                    if total_latency + left > limit:
                        continue
                    total = cost + channel_cost + price
                    if is_plain:
                        best = pushed.get(neighbour)
                        if best is not None and best[0] <= total and best[1] <= total_latency:
                            continue
                        if best is None or total < best[0]:
                            pushed[neighbour] = (total, total_latency)
                        bits = met
                    else:
                        bits = met | once | self._site_bits.get(neighbour, 0) | self._channel_bits.get(channel, 0)
                    heapq.heappush(heap, (total + rest, len(self._site)))
                    self._add(neighbour, total, total_latency, hops, bits, label, channel)
        return None

    def _admissible(self, parallel: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """(cost, latency, number) of the channels that may carry the connection, without dominated ones."""
        query, network = self._query, self._network
        index = network.index
        reserved = network.reserved_by_number()
        offers = []
        for channel in parallel:
            surplus = index.security[channel] - query.level
            if surplus < 0 or (surplus and query.is_exact) or network.headroom[channel] < query.bandwidth_kbps:
                continue
            if channel in query.banned_channels:
                continue
            latency = index.latency_us[channel]
            load = (reserved[channel] + query.bandwidth_kbps) * LOAD_SCALE // index.capacity_kbps[channel]
            cost = surplus * SURPLUS_WEIGHT + latency * LATENCY_WEIGHT + load
            if query.channel_prices:
                cost += query.channel_prices.get(channel, 0)
            offers.append((cost, latency, channel))
        if len(offers) < 2:
            return offers
        offers.sort()
        kept = [offers[0]]
        for offer in offers[1:]:
            # Dearer is worth keeping when it is faster, or required.
            if offer[1] < kept[-1][1] or offer[2] in self._channel_bits:
                kept.append(offer)
        return kept

    def _exceeds_hops(self, hops: int, site: int) -> bool:
        if self._hops_left is None or self._query.max_hops is None:
            return False
        return hops + self._hops_left(site) > self._query.max_hops

    def _dominates(self, left: tuple[int, int, int], right: tuple[int, int, int]) -> bool:
        """Whether whatever continues ``right`` could continue ``left`` as well; left's cost is no higher."""
        if left[0] > right[0] or (self._hops_left is not None and left[1] > right[1]):
            return False
        if not self._has_bits:
            return True
        missing = self._goal & right[2] & ~left[2]
        barred = left[2] & ~right[2] & ~self._goal
        return not missing and not barred

    def _add(self, site: int, cost: int, latency: int, hops: int, met: int, parent: int, channel: int) -> None:
        self._site.append(site)
        self._cost.append(cost)
        self._latency.append(latency)
        self._hops.append(hops)
        self._met.append(met)
        self._parent.append(parent)
        self._channel.append(channel)

    def _unwind(self, label: int) -> FoundPath:
        cost, latency = self._cost[label], self._latency[label]
        sites, channels = [self._site[label]], []
        while self._parent[label] >= 0:
            channels.append(self._channel[label])
            label = self._parent[label]
            sites.append(self._site[label])
        return FoundPath(tuple(reversed(sites)), tuple(reversed(channels)), latency, cost)
