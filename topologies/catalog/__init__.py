"""The named topologies: the files beside this one.

``ukqntel`` is the test-bed of papers 001 and 002, ``ukqntel-242km`` and ``ukqntel-cow`` are other readings of it;
``uk-east`` has the places of paper 001; ``metro-ring`` is a redundant network on which every class has disjoint ways.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from topologies.files import DEFAULT_MBPS_PER_GBPS, catalog_names, load_topology
from topologies.spec import Topology, TopologyError


@cache
def load(name: str, mbps_per_gbps: float = DEFAULT_MBPS_PER_GBPS, shaped: bool = True) -> Topology:
    """The topology called ``name``; TopologyError names the ones there are."""
    if name not in CATALOG:
        raise TopologyError(f"unknown topology {name!r}: one of {', '.join(sorted(CATALOG))}")
    return load_topology(name, mbps_per_gbps, shaped)


CATALOG: dict[str, Callable[..., Topology]] = {name: partial(load, name) for name in catalog_names()}


def ukqntel(mbps_per_gbps: float = DEFAULT_MBPS_PER_GBPS) -> Topology:
    """Paper 002, Fig. 2: cells, aggregation, metro and core joined by five 100G channels of a looped fibre."""
    return load("ukqntel", mbps_per_gbps)


def metro_ring(mbps_per_gbps: float = DEFAULT_MBPS_PER_GBPS) -> Topology:
    """Two cells, two aggregation, three metro and two core sites, every pair of tiers redundantly joined."""
    return load("metro-ring", mbps_per_gbps)
