"""Which way keys go over the QKD links: weighed by what sections have to give, several ways apart when asked. Pure.

A way is a chain of links that meets no site twice. It costs the sum of its crossings' prices, and a section's price is
the higher the less it has: so a mesh is used evenly, a detour over rich sections is taken before a poor one is
drained, and of equals the way with the fewest trusted nodes is taken. What a section can bear is counted over the
whole way, as links may share sections.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# Ways that are looked at beyond the best through one site, where links that share a section are in each other's way.
WAYS_PER_SITE = 16
# Of several ways apart, how many are tried for each: a set that exists is missed only in networks made for it.
TRIED_WAYS = 64


@dataclass(frozen=True)
class Link:
    """Key transport between two sites over ``sections`` in this order from ``a`` to ``b``."""

    link_id: str
    a: str
    b: str
    sections: tuple[str, ...]

    def other_end(self, site: str) -> str:
        return self.b if site == self.a else self.a


@dataclass(frozen=True)
class Tariff:
    """What a crossing of a section costs, and how many of them the section can bear (0: none)."""

    price: Callable[[str], float]
    bears: Callable[[str], int]


@dataclass(frozen=True)
class Apart:
    """Sites, QKD nodes and sections that a way has to keep clear of."""

    places: frozenset[str] = frozenset()
    sections: frozenset[str] = frozenset()

    def __or__(self, other: Apart) -> Apart:
        return Apart(self.places | other.places, self.sections | other.sections)

    def meets(self, other: Apart) -> bool:
        return bool(self.places & other.places or self.sections & other.sections)


NOTHING = Apart()
Chain = tuple[Link, ...]


class Map:
    """The links, by the sites that they join. ``touches`` says what a chain passes between its two sites."""

    def __init__(self, links: Sequence[Link], touches: Callable[[Chain, str], Apart]) -> None:
        self.links = tuple(links)
        self._touches = touches
        self._at: dict[str, list[Link]] = {}
        for link in links:
            for site in (link.a, link.b):
                self._at.setdefault(site, []).append(link)

    def best(
        self, a: str, b: str, tariff: Tariff, allows: Callable[[Link], bool], apart: Apart = NOTHING
    ) -> Chain | None:
        """The cheapest way, None when there is none."""
        for per_site in (1, WAYS_PER_SITE):
            found = next(self._ways(a, b, tariff, allows, apart, per_site), None)
            if found is not None:
                return found[1]
        return None

    def best_apart(
        self, a: str, b: str, count: int, tariff: Tariff, allows: Callable[[Link], bool]
    ) -> tuple[Chain, ...] | None:
        """``count`` ways with no trusted node and no section in common that cost least together; None if there are
        none.
        """
        if count == 1:
            way = self.best(a, b, tariff, allows)
            return None if way is None else (way,)
        found = self._cheapest_set(a, b, count, tariff, allows, NOTHING)
        return None if found is None else found[1]

    def _cheapest_set(
        self, a: str, b: str, count: int, tariff: Tariff, allows: Callable[[Link], bool], apart: Apart
    ) -> tuple[float, tuple[Chain, ...]] | None:
        best: tuple[float, tuple[Chain, ...]] | None = None
        ways = self._ways(a, b, tariff, allows, apart, WAYS_PER_SITE)
        for cost, way in itertools.islice(ways, 1 if count == 1 else TRIED_WAYS):
            # It is to be the cheapest of its set, so the others cost as much at least.
            if best is not None and count * cost >= best[0]:
                break
            if count == 1:
                return cost, (way,)
            rest = self._cheapest_set(a, b, count - 1, tariff, allows, apart | self._touches(way, a))
            if rest is not None and (best is None or cost + rest[0] < best[0]):
                best = cost + rest[0], (way, *rest[1])
        return best

    def _ways(
        self, a: str, b: str, tariff: Tariff, allows: Callable[[Link], bool], apart: Apart, per_site: int
    ) -> Iterator[tuple[float, Chain]]:
        """Ways and their costs, the cheapest first; of those through one site no more than ``per_site``."""
        order = itertools.count()
        # Cost so far, order of entry, site, way so far, crossings so far.
        heap: list[tuple[float, int, str, Chain, Mapping[str, int]]] = [(0.0, next(order), a, (), {})]
        looked_at: dict[str, int] = {}
        while heap:
            cost, _, site, way, crossed = heapq.heappop(heap)
            if site == b:
                if apart is NOTHING or not self._touches(way, a).meets(apart):
                    yield cost, way
                continue
            if looked_at.get(site, 0) >= per_site:
                continue
            looked_at[site] = looked_at.get(site, 0) + 1
            seen = _sites(way, a)
            for link in self._at.get(site, ()):
                further = link.other_end(site)
                if further in seen or further in apart.places or not allows(link):
                    continue
                if not apart.sections.isdisjoint(link.sections):
                    continue
                after = dict(crossed)
                for section in link.sections:
                    after[section] = after.get(section, 0) + 1
                if any(after[section] > tariff.bears(section) for section in link.sections):
                    continue
                price = sum(tariff.price(section) for section in link.sections)
                heapq.heappush(heap, (cost + price, next(order), further, (*way, link), after))


def _sites(way: Chain, start: str) -> set[str]:
    seen, site = {start}, start
    for link in way:
        site = link.other_end(site)
        seen.add(site)
    return seen
