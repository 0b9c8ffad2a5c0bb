"""Lower bounds on what remains to a target - latency, section crossings, hops - from the topology alone.

They hold whatever is down or reserved, because that only takes channels away; so they are computed once per
topology and kept. Small networks get exact distances per target; large ones landmarks and the triangle
inequality (ALT: Goldberg and Harrelson, "Computing the shortest path: A* search meets graph theory", 2005).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property

EXACT_UP_TO_SITES = 512
LANDMARKS = 16
LANDMARKS_PER_QUERY = 6  # those that bound the query's own distance best
HOP_TABLES_KEPT = 64
UNREACHABLE = -1

Bound = Callable[[int], int]  # site -> the least that remains from there


class Bounds:
    """Lower bounds over ``adjacency``: per site its neighbours and the least length of an edge to each."""

    def __init__(self, adjacency: list[list[tuple[int, int]]]) -> None:
        self._adjacency = adjacency
        self._exact: dict[int, list[int]] = {}
        self._hops: OrderedDict[int, list[int]] = OrderedDict()

    def prepare(self) -> None:
        """Compute now what the first questions would otherwise compute."""
        self.is_connected(0, 0)
        if len(self._adjacency) > EXACT_UP_TO_SITES:
            self._landmarks  # noqa: B018 - computed on first access
        else:
            for target in range(len(self._adjacency)):
                self.distance_to(target, target)

    def is_connected(self, a: int, b: int) -> bool:
        """Whether any edges join the two sites at all."""
        return self._components[a] == self._components[b]

    def distance_to(self, target: int, source: int) -> Bound:
        """A consistent bound for searches from ``source``; only for sites connected to ``target``."""
        if len(self._adjacency) <= EXACT_UP_TO_SITES:
            if target not in self._exact:
                self._exact[target] = self._distances(target)
            return self._exact[target].__getitem__
        rows = [row for row in self._landmarks if row[target] != UNREACHABLE]
        rows.sort(key=lambda row: -abs(row[target] - row[source]))
        pairs = [(row, row[target]) for row in rows[:LANDMARKS_PER_QUERY]]

        known: dict[int, int] = {}

        def bound(site: int) -> int:
            best = known.get(site, -1)
            if best >= 0:
                return best
            best = 0
            for row, at_target in pairs:
                gap = row[site] - at_target
                if gap > best:
                    best = gap
                elif -gap > best:
                    best = -gap
            known[site] = best
            return best

        return bound

    def hops_to(self, target: int) -> Bound:
        """The least number of hops to ``target``, exact for the bare topology."""
        row = self._hops.get(target)
        if row is None:
            row = self._hops[target] = self._breadth_first(target)
            if len(self._hops) > HOP_TABLES_KEPT:
                self._hops.popitem(last=False)
        return row.__getitem__

    @cached_property
    def _components(self) -> list[int]:
        component = [UNREACHABLE] * len(self._adjacency)
        for root in range(len(self._adjacency)):
            if component[root] != UNREACHABLE:
                continue
            component[root] = root
            stack = [root]
            while stack:
                for site, _ in self._adjacency[stack.pop()]:
                    if component[site] == UNREACHABLE:
                        component[site] = root
                        stack.append(site)
        return component

    @cached_property
    def _landmarks(self) -> list[list[int]]:
        """Distances from sites that lie far from one another, each time the farthest from those before."""
        rows: list[list[int]] = []
        nearest = [-1] * len(self._adjacency)
        site = 0
        while len(rows) < LANDMARKS:
            row = self._distances(site)
            rows.append(row)
            for other, distance in enumerate(row):
                if distance != UNREACHABLE and (nearest[other] < 0 or distance < nearest[other]):
                    nearest[other] = distance
            # A site that no landmark reaches comes first: every component gets one before any gets two.
            unseen = [other for other, distance in enumerate(nearest) if distance < 0]
            site = unseen[0] if unseen else max(range(len(nearest)), key=nearest.__getitem__)
        return rows

    def _distances(self, root: int) -> list[int]:
        """Least length from ``root`` to every site (Dijkstra)."""
        distance = [UNREACHABLE] * len(self._adjacency)
        heap = [(0, root)]
        while heap:
            reached, site = heapq.heappop(heap)
            if distance[site] != UNREACHABLE:
                continue
            distance[site] = reached
            for neighbour, length in self._adjacency[site]:
                if distance[neighbour] == UNREACHABLE:
                    heapq.heappush(heap, (reached + length, neighbour))
        return distance

    def _breadth_first(self, root: int) -> list[int]:
        hops = [UNREACHABLE] * len(self._adjacency)
        hops[root] = 0
        ring = [root]
        while ring:
            following = []
            for site in ring:
                for neighbour, _ in self._adjacency[site]:
                    if hops[neighbour] == UNREACHABLE:
                        hops[neighbour] = hops[site] + 1
                        following.append(neighbour)
            ring = following
        return hops
