"""Where a connection's QKD keys travel: a relay over QKD links through trusted sites.

A relay is a walk over QKD links from the source to the destination of the connection that meets no site twice.
It needs the connection's key rate once for every crossing of a section (a key is encrypted anew with one-time pad
on each). The best relay has the fewest crossings. It is chosen on the same snapshot as the
data path, but need not follow it: keys go over the management network, and no resource is common to both.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.pce.network import Network
from controller.pce.network_index import IndexedLink

MANY_CROSSINGS = 2**31


@dataclass(frozen=True)
class KeyQuery:
    """A question in the index's numbers.

    ``caps`` bounds the crossings of single sections further. ``is_hypothetical`` asks where a relay would run if
    every section had key enough: for explanations.
    """

    source: int
    target: int
    rate_millibps: int
    banned_sites: frozenset[int] = frozenset()
    caps: Mapping[int, int] = field(default_factory=dict)
    is_hypothetical: bool = False


@dataclass(frozen=True)
class FoundRelay:
    """The links in order, and how often each section is crossed, by section number."""

    links: tuple[str, ...]
    crossings: tuple[tuple[int, int], ...]


def fewest_crossings(network: Network, query: KeyQuery) -> FoundRelay | None:
    """The best relay whose every section has the rate left, or None when there is none.

    Sections that different links share may be crossed more often than they can bear by a walk that is shortest
    otherwise; such sections are tracked (counted in the labels) and the search repeated until none is.
    """
    tracked: frozenset[int] = frozenset()
    while True:
        links = _search(network, query, tracked)
        if links is None:
            return None
        used: Counter[int] = Counter()
        for link in links:
            used.update(dict(link.crossings))
        over = {section for section, times in used.items() if times > allowed_crossings(network, query, section)}
        if not over:
            return FoundRelay(tuple(link.id for link in links), tuple(sorted(used.items())))
        tracked |= over


def allowed_crossings(network: Network, query: KeyQuery, section: int) -> int:
    """How often the relay may cross ``section``."""
    if query.is_hypothetical:
        return MANY_CROSSINGS
    left = network.key_headroom(section)
    if left == 0:
        return 0
    most = left // query.rate_millibps if query.rate_millibps else MANY_CROSSINGS
    return min(most, query.caps.get(section, most))


def _search(network: Network, query: KeyQuery, tracked: frozenset[int]) -> list[IndexedLink] | None:
    """Fewest crossings, with the limits of single links and of the tracked sections held."""
    order = sorted(tracked)
    budget = [allowed_crossings(network, query, section) for section in order]
    bounds = network.index.key_bounds
    if not bounds.is_connected(query.source, query.target):
        return None
    left = bounds.distance_to(query.target, query.source)
    # Of equal totals the one nearer to the target leaves first.
    heap = [(left(query.source), left(query.source), 0, query.source, (0,) * len(order))]
    came: list[tuple[int, IndexedLink | None]] = [(-1, None)]
    fronts: dict[int, list[tuple[int, ...]]] = {}
    while heap:
        total, remaining, label, site, counts = heapq.heappop(heap)
        front = fronts.setdefault(site, [])
        network.effort.spend(1 + len(front))
        if any(all(x <= y for x, y in zip(other, counts, strict=True)) for other in front):
            continue
        front.append(counts)
        if site == query.target:
            return _unwind(came, label)
        for neighbour, link in network.index.links_at[site]:
            if not _is_usable(network, query, neighbour, link):
                continue
            extra = dict(link.crossings)
            after = tuple(count + extra.get(section, 0) for count, section in zip(counts, order, strict=True))
            if any(count > most for count, most in zip(after, budget, strict=True)):
                continue
            came.append((label, link))
            still = left(neighbour)
            heapq.heappush(heap, (total - remaining + link.length + still, still, len(came) - 1, neighbour, after))
    return None


def _is_usable(network: Network, query: KeyQuery, neighbour: int, link: IndexedLink) -> bool:
    through = {neighbour} | link.inner_sites
    if through & query.banned_sites or not all(network.is_site_number_up(site) for site in through):
        return False
    return all(times <= allowed_crossings(network, query, section) for section, times in link.crossings)


def _unwind(came: list[tuple[int, IndexedLink | None]], label: int) -> list[IndexedLink]:
    links: list[IndexedLink] = []
    while True:
        label, link = came[label]
        if link is None:
            return links[::-1]
        links.append(link)
