"""Which sites have keys ready before the first slice is asked for. Pure."""

from __future__ import annotations

from collections import deque
from itertools import product

from topologies.spec import Tier, Topology

MOST_PAIRS = 128
"""Every pair costs two agreements at the start, and some 50 KB. Others agree when they are first asked for a key."""


def slice_pairs(topology: Topology, most: int = MOST_PAIRS) -> list[tuple[str, str]]:
    """The sites that a connection of a slice can join: cell with core, and each of them with a site for compute.

    Where those are more than ``most``, the pairs with the fewest channels between them.
    """
    cells, cores = ({s.name for s in topology.sites if s.tier is tier} for tier in (Tier.CELL, Tier.CORE))
    compute = {s.name for s in topology.sites if s.vcpus > 0}
    ends = [*product(cells, cores | compute), *product(compute, cores)]
    pairs = sorted({(min(pair), max(pair)) for pair in ends if pair[0] != pair[1]})
    if len(pairs) <= most:
        return pairs
    hops = {site: _hops(topology, site) for site in {a for a, _ in pairs}}
    nearest = sorted(pairs, key=lambda pair: (hops[pair[0]].get(pair[1], len(topology.sites)), pair))
    return sorted(nearest[:most])


def _hops(topology: Topology, start: str) -> dict[str, int]:
    found, queue = {start: 0}, deque([start])
    while queue:
        site = queue.popleft()
        for channel in topology.channels_of(site):
            other = channel.other(site)
            if other not in found:
                found[other] = found[site] + 1
                queue.append(other)
    return found
