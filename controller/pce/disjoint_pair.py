"""Working and backup route that share as little as possible.

What a pair is judged by, in this order: the fewest shared risks (channels and shared-risk groups together), the fewest
shared sites on the way, the least cost of both. Both routes obey all constraints of the request; a channel that both
use must have the bandwidth of both, in each direction; a pair has at least two different channels. The two routes
belong to one tunnel and so have one key relay, which stands on the working route. That a pair with a risk in common
protects from nothing that matters, and is refused, is for whoever plans with it to say.

Finding disjoint routes under a latency bound or with risk groups is NP-hard (Li, McCormick and Simchi-Levi, 1990;
Hu, 2003), so this is a best-first branch and bound. A node forbids elements to either route and concedes
elements to both, at a price; its bound is the sum of the two cheapest routes under it. Where the two still meet
in an element, one of three must hold in any answer: the first avoids it, the second does, or it is conceded. Where
they meet on a channel that bears both, but not in these directions, one of them avoids it in its direction. Where both
together take too much of a wavelength, either the first takes less of it, or the second leaves it what it takes.
Networks of the size that can be emulated take milliseconds, seldom a second; beyond MAX_SEARCHES path searches
the best pair met so far is returned and says that it is not proven to be the best.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from controller.model.path import Route
from controller.model.request import ConnectionRequest
from controller.pce.cost import SURPLUS_WEIGHT
from controller.pce.key_relay import FoundRelay
from controller.pce.network import Network
from controller.pce.route_query import NO_CAPS, Caps, as_route, path_query, search_relay
from controller.pce.shortest_path import FoundPath, PathQuery, cheapest_path
from controller.pce.wavelength_pools import PLENTY

SITE_PENALTY = 10**4 * SURPLUS_WEIGHT  # outweighs any cost
RISK_PENALTY = 10**4 * SITE_PENALTY  # outweighs any number of shared sites
MAX_SEARCHES = 5_000


@dataclass(frozen=True)
class RoutePair:
    """Two routes for one connection; ``shared`` names the sites, channels and risk groups that both depend on."""

    working: Route
    backup: Route
    shared: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()  # of those the channels and risk groups: whose failure takes both routes
    is_proven: bool = True  # False when the effort ran out before it was known to be the best

    @property
    def cost(self) -> int:
        return self.working.cost + self.backup.cost


class Kind(IntEnum):
    """What two routes can share; groups come first because avoiding one avoids all its channels."""

    GROUP = 0
    CHANNEL = 1
    SITE = 2
    ARC = 3  # a channel in one direction: never shared, only avoided


Element = tuple[Kind, int]


@dataclass(frozen=True)
class PoolCap:
    """How much a route may take of a pool (:mod:`controller.pce.wavelength_pools`)."""

    pool: int
    most: int


Avoided = Element | PoolCap
PENALTY = {Kind.GROUP: RISK_PENALTY, Kind.CHANNEL: RISK_PENALTY, Kind.SITE: SITE_PENALTY}


@dataclass(frozen=True)
class FoundPair:
    """A pair with the objective it was chosen by: its cost and the penalties of what it shares."""

    routes: RoutePair
    objective: int


def search_pair(network: Network, request: ConnectionRequest, caps: Caps = NO_CAPS) -> FoundPair | None:
    """The best pair for ``request`` in the order of the module's first paragraph, or None when there is none."""
    relay = search_relay(network, request, caps)
    query = path_query(network, request, caps)
    if relay is None or query is None:
        return None
    search = _PairSearch(network, query, caps)
    best = search.run()
    if best is None:
        return None
    working = as_route(network, request, best.first, relay)
    backup = as_route(network, request, best.second, FoundRelay((), ()))
    shared, risks = _names(network, best.common), _names(network, (e for e in best.common if e[0] is not Kind.SITE))
    pair = RoutePair(working, backup, tuple(shared), tuple(dict.fromkeys(risks)), is_proven=not search.is_exhausted)
    return FoundPair(pair, best.objective)


@dataclass(frozen=True)
class _Node:
    """A part of the search space: what either route avoids and what both may share."""

    first_avoids: frozenset[Avoided]
    second_avoids: frozenset[Avoided]
    conceded: frozenset[Element]

    def key(self) -> tuple[frozenset[frozenset[Avoided]], frozenset[Element]]:
        """Equal for nodes that differ only in which route is called the first."""
        return frozenset((self.first_avoids, self.second_avoids)), self.conceded


@dataclass(frozen=True)
class _Pair:
    """Two paths, the cheaper first, with what both depend on."""

    first: FoundPath
    second: FoundPath
    common: frozenset[Element]
    objective: int


class _PairSearch:
    """One branch-and-bound run."""

    def __init__(self, network: Network, query: PathQuery, caps: Caps) -> None:
        self._network = network
        self._query = query
        self._caps = caps
        self._channels_in: dict[int, list[int]] = {}
        for channel, groups in enumerate(network.index.risks):
            for group in groups:
                self._channels_in.setdefault(group, []).append(channel)
        self._found: dict[frozenset[Avoided], FoundPath | None] = {}
        self._heap: list[tuple[int, int, _Node, FoundPath, FoundPath]] = []
        self._seen: set[object] = set()
        self._pushed = 0
        self._best: _Pair | None = None
        self.is_exhausted = False

    def run(self) -> _Pair | None:
        nothing: frozenset[Element] = frozenset()
        alone = self._path(nothing)
        if alone is None:
            return None
        # What no single route can avoid is shared by every pair: concede it before any branching.
        fixed = frozenset(e for e in self._elements(alone) if self._path(frozenset((e,))) is None)
        if not all(self._is_shareable(element) for element in fixed):
            return None
        self._push(_Node(nothing, nothing, fixed))
        while self._heap:
            bound, _, node, first, second = heapq.heappop(self._heap)
            if self._best is not None and bound >= self._best.objective:
                break
            if len(self._found) > MAX_SEARCHES:
                self.is_exhausted = True
                break
            self._network.effort.spend(len(node.first_avoids) + len(node.second_avoids) + len(first.sites) + 10)
            common = self._elements(first) & self._elements(second)
            self._consider(first, second, common)
            open_conflicts = common - node.conceded
            if open_conflicts:
                self._branch(node, self._choose(open_conflicts))
            elif first.channels != second.channels:
                self._part(node, self._overdrawn(first, second))
                self._share(node, self._overdrawn_pool(first, second))
            # Else it is one route twice, all of it conceded, and the node holds no other pair.
        return self._best

    def _consider(self, first: FoundPath, second: FoundPath, common: frozenset[Element]) -> None:
        """Remember the pair when it is valid and better than the best so far."""
        if first.channels == second.channels or self._overdrawn(first, second) is not None:
            return
        if self._overdrawn_pool(first, second) is not None:
            return
        objective = first.cost + second.cost + sum(PENALTY[kind] for kind, _ in common)
        if self._best is None or objective < self._best.objective:
            if (second.cost, second.channels) < (first.cost, first.channels):
                first, second = second, first
            self._best = _Pair(first, second, common, objective)

    def _branch(self, node: _Node, element: Element) -> None:
        more = frozenset((element,))
        self._push(replace(node, second_avoids=node.second_avoids | more))
        if node.first_avoids != node.second_avoids:
            self._push(replace(node, first_avoids=node.first_avoids | more))
        if self._is_shareable(element):
            self._push(replace(node, conceded=node.conceded | more))

    def _part(self, node: _Node, arcs: tuple[int, int] | None) -> None:
        """Let one or the other avoid a channel in its direction; None: the pair is the best of this node."""
        if arcs is not None:
            first, second = (frozenset(((Kind.ARC, arc),)) for arc in arcs)
            self._push(replace(node, first_avoids=node.first_avoids | first))
            self._push(replace(node, second_avoids=node.second_avoids | second))

    def _share(self, node: _Node, overdrawn: tuple[int, int, int] | None) -> None:
        """Let the first take less of a pool, or the second leave it what it takes."""
        if overdrawn is not None:
            pool, taken, left = overdrawn
            less, rest = (frozenset((PoolCap(pool, most),)) for most in (taken - 1, left - taken))
            self._push(replace(node, first_avoids=node.first_avoids | less))
            self._push(replace(node, second_avoids=node.second_avoids | rest))

    def _push(self, node: _Node) -> None:
        key = node.key()
        if key in self._seen:
            return
        self._seen.add(key)
        first, second = self._path(node.first_avoids), self._path(node.second_avoids)
        if first is None or second is None:
            return
        bound = first.cost + second.cost + sum(PENALTY[kind] for kind, _ in node.conceded)
        if self._best is not None and bound >= self._best.objective:
            return
        self._pushed += 1
        heapq.heappush(self._heap, (bound, self._pushed, node, first, second))

    def _choose(self, conflicts: Iterable[Element]) -> Element:
        """The conflict whose resolution settles most: a group with many channels, else a channel, else a site."""
        return min(conflicts, key=lambda e: (e[0], -len(self._channels_in.get(e[1], ())) if not e[0] else 0, e[1]))

    def _path(self, avoids: frozenset[Avoided]) -> FoundPath | None:
        """The cheapest route that avoids the elements; both routes obey the same constraints, so one memory does."""
        if avoids not in self._found:
            caps = dict(self._query.pool_caps)
            elements: list[Element] = []
            for avoided in avoids:
                if isinstance(avoided, PoolCap):
                    caps[avoided.pool] = min(avoided.most, caps.get(avoided.pool, avoided.most))
                else:
                    elements.append(avoided)
            sites = {number for kind, number in elements if kind is Kind.SITE}
            channels = {number for kind, number in elements if kind is Kind.CHANNEL}
            arcs = {number for kind, number in elements if kind is Kind.ARC}
            for kind, number in elements:
                if kind is Kind.GROUP:
                    channels.update(self._channels_in[number])
            arcs.update(arc for channel in channels for arc in (2 * channel, 2 * channel + 1))
            query = self._query
            if sites & query.required_sites or channels & query.required_channels:
                self._found[avoids] = None
            else:
                self._found[avoids] = cheapest_path(
                    self._network,
                    replace(
                        query,
                        banned_sites=query.banned_sites | sites,
                        banned_arcs=query.banned_arcs | arcs,
                        pool_caps=caps,
                    ),
                )
        return self._found[avoids]

    def _elements(self, path: FoundPath) -> frozenset[Element]:
        """Everything whose failure takes the path down, its ends apart."""
        risks = self._network.index.risks
        return frozenset(
            [
                *((Kind.SITE, site) for site in path.sites[1:-1]),
                *((Kind.CHANNEL, channel) for channel in path.channels),
                *((Kind.GROUP, group) for channel in path.channels for group in risks[channel]),
            ]
        )

    def _is_shareable(self, element: Element) -> bool:
        """Whether both routes may use the element at once, be it in certain directions alone."""
        kind, number = element
        there, back = 2 * number, 2 * number + 1
        return kind is not Kind.CHANNEL or not all(
            self._is_too_much(*arcs) for arcs in ((there, there), (back, back), (there, back))
        )

    def _overdrawn(self, first: FoundPath, second: FoundPath) -> tuple[int, int] | None:
        """The arcs of both routes on a channel that does not bear both; None when there is no such channel."""
        for arc in first.arcs:
            for other in (arc, arc ^ 1):
                if other in second.arcs and self._is_too_much(arc, other):
                    return arc, other
        return None

    def _overdrawn_pool(self, first: FoundPath, second: FoundPath) -> tuple[int, int, int] | None:
        """A pool that does not bear both routes, what the first takes of it, and what there is; None: there is none."""
        pools, need = self._network.index.pools, self._query.bandwidth_kbps
        if not pools.pooled:
            return None
        by_first, by_second = pools.demand(first.arcs, need), pools.demand(second.arcs, need)
        for pool in sorted(by_first.keys() & by_second.keys()):
            left = min(self._network.pool_left[pool], self._query.pool_caps.get(pool, PLENTY))
            if by_first[pool] + by_second[pool] > left:
                return pool, by_first[pool], left
        return None

    def _is_too_much(self, arc: int, other: int) -> bool:
        """Whether one channel cannot bear both routes on these arcs of it, or must not."""
        if self._caps.channels.get(arc >> 1, 2) < 2 or (arc == other and self._caps.arcs.get(arc, 2) < 2):
            return True
        along, against = self._query.bandwidth_kbps
        need = (2 * along, 2 * against) if arc == other else (along + against, along + against)
        return self._network.headroom[arc] < need[0] or self._network.headroom[arc ^ 1] < need[1]


def _names(network: Network, elements: Iterable[Element]) -> list[str]:
    index = network.index
    names = {Kind.SITE: index.site_names, Kind.CHANNEL: index.channel_ids, Kind.GROUP: index.risk_names}
    return [names[kind][number] for kind, number in sorted(elements, key=lambda e: (-e[0], e[1]))]
