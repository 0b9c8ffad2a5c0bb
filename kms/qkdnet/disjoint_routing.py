"""Over which chain of QKD links keys go: weighed by what sections have to give, several disjoint chains if asked. Pure.

A chain of links meets no site twice. It costs the sum of its crossings' prices, and a section's price is the higher the
less it has: so a mesh is used evenly, a detour over rich sections is taken before a poor one is drained, and of equals
the chain with the fewest trusted nodes is taken. What a section can bear is counted over the whole chain, as links may
share sections.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# Chains that are looked at beyond the best through one site, where links that share a section hinder each other.
CHAINS_PER_SITE = 16
# Of several disjoint chains, how many are tried for each: a set that exists is missed only in networks made for it.
TRIED_CHAINS = 64


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
class LinkCosts:
    """What a crossing of a section costs, and how many of them the section can bear (0: none)."""

    price: Callable[[str], float]
    bears: Callable[[str], int]


@dataclass(frozen=True)
class DisjointnessKey:
    """Sites, QKD nodes and sections: chains are disjoint when theirs have none in common."""

    places: frozenset[str] = frozenset()
    sections: frozenset[str] = frozenset()

    def __or__(self, other: DisjointnessKey) -> DisjointnessKey:
        return DisjointnessKey(self.places | other.places, self.sections | other.sections)

    def meets(self, other: DisjointnessKey) -> bool:
        return bool(self.places & other.places or self.sections & other.sections)


NOTHING = DisjointnessKey()
Chain = tuple[Link, ...]


class DisjointRouter:
    """The links, by the sites that they join. ``touches`` says what a chain passes between its two sites."""

    def __init__(self, links: Sequence[Link], touches: Callable[[Chain, str], DisjointnessKey]) -> None:
        self.links = tuple(links)
        self._touches = touches
        self._at: dict[str, list[Link]] = {}
        for link in links:
            for site in (link.a, link.b):
                self._at.setdefault(site, []).append(link)

    def best(
        self, a: str, b: str, costs: LinkCosts, allows: Callable[[Link], bool], avoid: DisjointnessKey = NOTHING
    ) -> Chain | None:
        """The cheapest chain, None when there is none."""
        for per_site in (1, CHAINS_PER_SITE):
            found = next(self._chains(a, b, costs, allows, avoid, per_site), None)
            if found is not None:
                return found[1]
        return None

    def disjoint_chains(
        self, a: str, b: str, count: int, costs: LinkCosts, allows: Callable[[Link], bool]
    ) -> tuple[Chain, ...] | None:
        """``count`` chains with no trusted node and no section in common that cost least together; None if there are
        none.
        """
        if count == 1:
            chain = self.best(a, b, costs, allows)
            return None if chain is None else (chain,)
        found = self._cheapest_set(a, b, count, costs, allows, NOTHING)
        return None if found is None else found[1]

    def _cheapest_set(
        self, a: str, b: str, count: int, costs: LinkCosts, allows: Callable[[Link], bool], avoid: DisjointnessKey
    ) -> tuple[float, tuple[Chain, ...]] | None:
        best: tuple[float, tuple[Chain, ...]] | None = None
        chains = self._chains(a, b, costs, allows, avoid, CHAINS_PER_SITE)
        for cost, chain in itertools.islice(chains, 1 if count == 1 else TRIED_CHAINS):
            # It is to be the cheapest of its set, so the others cost as much at least.
            if best is not None and count * cost >= best[0]:
                break
            if count == 1:
                return cost, (chain,)
            rest = self._cheapest_set(a, b, count - 1, costs, allows, avoid | self._touches(chain, a))
            if rest is not None and (best is None or cost + rest[0] < best[0]):
                best = cost + rest[0], (chain, *rest[1])
        return best

    def _chains(
        self, a: str, b: str, costs: LinkCosts, allows: Callable[[Link], bool], avoid: DisjointnessKey, per_site: int
    ) -> Iterator[tuple[float, Chain]]:
        """Chains and their costs, the cheapest first; of those through one site no more than ``per_site``."""
        order = itertools.count()
        # Cost so far, order of entry, site, chain so far, crossings so far.
        heap: list[tuple[float, int, str, Chain, Mapping[str, int]]] = [(0.0, next(order), a, (), {})]
        looked_at: dict[str, int] = {}
        while heap:
            cost, _, site, chain, crossed = heapq.heappop(heap)
            if site == b:
                if avoid is NOTHING or not self._touches(chain, a).meets(avoid):
                    yield cost, chain
                continue
            if looked_at.get(site, 0) >= per_site:
                continue
            looked_at[site] = looked_at.get(site, 0) + 1
            seen = _sites(chain, a)
            for link in self._at.get(site, ()):
                further = link.other_end(site)
                if further in seen or further in avoid.places or not allows(link):
                    continue
                if not avoid.sections.isdisjoint(link.sections):
                    continue
                after = dict(crossed)
                for section in link.sections:
                    after[section] = after.get(section, 0) + 1
                if any(after[section] > costs.bears(section) for section in link.sections):
                    continue
                price = sum(costs.price(section) for section in link.sections)
                heapq.heappush(heap, (cost + price, next(order), further, (*chain, link), after))


def _sites(chain: Chain, start: str) -> set[str]:
    seen, site = {start}, start
    for link in chain:
        site = link.other_end(site)
        seen.add(site)
    return seen
