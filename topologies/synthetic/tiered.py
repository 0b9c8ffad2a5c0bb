"""A random network of four tiers: cells on two aggregation sites each, these on two metro sites, metro and core meshed.

Half of the sites are cells, a quarter aggregation, the rest metro and core, at least one of each. Pure.
"""

from __future__ import annotations

from itertools import combinations, pairwise

from topologies.graphs.network_graph import GraphNode, NetworkGraph
from topologies.spec import Tier, TopologyError
from topologies.synthetic.options import RandomOptions
from topologies.synthetic.paper_000 import MEMORY_GB_PER_VCPU, RandomNetwork, weighted_edge
from topologies.synthetic.pcg32 import Pcg32

LEAST_SITES = 4
SHORT = {Tier.CELL: "cell", Tier.AGGREGATION: "agg", Tier.METRO: "metro", Tier.CORE: "core"}


def draw_tiered(options: RandomOptions) -> RandomNetwork:
    """The network of the seed, of as many sites as the slices have nodes. Cells weigh nothing: compute is elsewhere.

    A slice's pairs join its cells, which are dealt out in turn, to the core sites.
    """
    count = options.slices * options.nodes_per_slice
    if count < LEAST_SITES:
        raise TopologyError(f"{count} sites: four tiers take at least {LEAST_SITES}")
    rng = Pcg32(options.seed)
    tiers = _sizes(count)
    names = {tier: [f"{SHORT[tier]}{n}" for n in range(1, size + 1)] for tier, size in tiers.items()}
    nodes = []
    for tier, members in names.items():
        for name in members:
            weight = 0 if tier is Tier.CELL else rng.between(*options.node_weight)
            nodes.append(
                GraphNode(
                    name, name, tier=tier, vcpus=weight, memory_gb=MEMORY_GB_PER_VCPU * weight,
                    attributes={"weight": weight},
                )
            )  # fmt: skip
    pairs: dict[tuple[str, str], None] = {}
    for lower, upper in ((Tier.CELL, Tier.AGGREGATION), (Tier.AGGREGATION, Tier.METRO), (Tier.METRO, Tier.CORE)):
        _attach(rng, names[lower], names[upper], pairs)
    for tier in (Tier.AGGREGATION, Tier.METRO, Tier.CORE):
        _ring(names[tier], pairs)
    for tier in (Tier.METRO, Tier.CORE):
        for pair in combinations(names[tier], 2):
            if pair not in pairs and rng.happens(options.between):
                pairs[pair] = None
    edges = tuple(weighted_edge(rng, options, a, b) for a, b in pairs)
    graph = NetworkGraph(f"random-tiers-{count}-{options.seed}", tuple(nodes), edges)
    return RandomNetwork(graph, _slices(options, names))


def _sizes(count: int) -> dict[Tier, int]:
    core = max(1, count // 10)
    metro = max(1, count * 15 // 100)
    aggregation = max(1, count // 4)
    return {
        Tier.CELL: count - core - metro - aggregation, Tier.AGGREGATION: aggregation, Tier.METRO: metro, Tier.CORE: core
    }  # fmt: skip


def _attach(rng: Pcg32, lower: list[str], upper: list[str], pairs: dict[tuple[str, str], None]) -> None:
    """Each of the lower to two of the upper that are neighbours, so that no tier hangs on one site."""
    for name in lower:
        first = rng.between(0, len(upper) - 1)
        for n in dict.fromkeys((first, (first + 1) % len(upper))):
            pairs[name, upper[n]] = None


def _ring(names: list[str], pairs: dict[tuple[str, str], None]) -> None:
    for pair in pairwise(names):
        pairs[pair] = None
    if len(names) > 2:
        pairs[names[0], names[-1]] = None


def _slices(options: RandomOptions, names: dict[Tier, list[str]]) -> tuple[tuple[tuple[str, str, int], ...], ...]:
    low, _ = options.edge_weight
    slices: list[list[tuple[str, str, int]]] = [[] for _ in range(options.slices)]
    for n, cell in enumerate(names[Tier.CELL]):
        slices[n % options.slices].append((cell, names[Tier.CORE][n % len(names[Tier.CORE])], low))
    return tuple(tuple(found) for found in slices)
