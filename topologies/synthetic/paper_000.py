"""Paper 000's random network (section III): slices of weighted nodes, weighted edges within and between them. Pure.

Numbers are drawn in this order: the weight of each node; then for each pair of nodes of one slice, slice by slice,
whether there is an edge and what it weighs; then the same for each pair of two slices. Where the weight is the
capacity, the length of every edge is drawn after its weight. What remains in parts is joined as the paper's healing
does: an edge between one node of the first part and one of the second, until there is one part.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from topologies.derivation.cleaning import components
from topologies.graphs.network_graph import GraphEdge, GraphNode, NetworkGraph
from topologies.spec import FIBRE_DELAY_US_PER_KM
from topologies.synthetic.options import GBPS_PER_WEIGHT, US_PER_WEIGHT, RandomOptions
from topologies.synthetic.pcg32 import Pcg32

MEMORY_GB_PER_VCPU = 4


@dataclass(frozen=True)
class RandomNetwork:
    """A graph, and its slices as pairs of nodes that are to be connected, with the weight of the edge between them."""

    graph: NetworkGraph
    slices: tuple[tuple[tuple[str, str, int], ...], ...]


def draw(options: RandomOptions) -> RandomNetwork:
    """The network of the seed."""
    rng = Pcg32(options.seed)
    count = options.slices * options.nodes_per_slice
    letters = [letter_name(n) for n in range(count)]
    members = [letters[n : n + options.nodes_per_slice] for n in range(0, count, options.nodes_per_slice)]
    nodes = []
    for number, slice_members in enumerate(members, start=1):
        centre = on_circle(number, len(members))
        for n, letter in enumerate(slice_members):
            around = on_circle(n, len(slice_members))
            place = (4 * centre[0] + around[0], 4 * centre[1] + around[1]) if len(members) > 1 else around
            weight = rng.between(*options.node_weight)
            nodes.append(
                GraphNode(
                    letter, letter, place, vcpus=weight, memory_gb=MEMORY_GB_PER_VCPU * weight,
                    attributes={"slice": number, "weight": weight},
                )
            )  # fmt: skip
    edges: list[GraphEdge] = []
    slices = []
    for slice_members in members:
        inner = []
        for a, b in combinations(slice_members, 2):
            if rng.happens(options.within):
                edges.append(weighted_edge(rng, options, a, b))
                inner.append((a, b, _weight(edges[-1])))
        slices.append(tuple(inner))
    for one, other in combinations(members, 2):
        for a in one:
            for b in other:
                if rng.happens(options.between):
                    edges.append(weighted_edge(rng, options, a, b))
    edges, joined = join(NetworkGraph("random", tuple(nodes), tuple(edges)), rng, options)
    notes = (f"joined as the paper's healing does: {joined} edges between parts",) if joined else ()
    name = f"random-{options.slices}x{options.nodes_per_slice}-{options.seed}"
    return RandomNetwork(NetworkGraph(name, tuple(nodes), tuple(edges), notes=notes), tuple(slices))


def weighted_edge(rng: Pcg32, options: RandomOptions, a: str, b: str) -> GraphEdge:
    """An edge with its weight, which is its capacity or its latency."""
    weight = rng.between(*options.edge_weight)
    if options.weighs == "latency":
        km = round(weight * US_PER_WEIGHT / FIBRE_DELAY_US_PER_KM, 2)
        return GraphEdge(a, b, km, None, attributes={"weight": weight})
    km = float(rng.between(*options.km))
    return GraphEdge(a, b, km, weight * GBPS_PER_WEIGHT, attributes={"weight": weight})


def join(graph: NetworkGraph, rng: Pcg32, options: RandomOptions) -> tuple[list[GraphEdge], int]:
    """The edges with those added that make the network one, and how many these are."""
    parts = components(graph)
    edges = list(graph.edges)
    while len(parts) > 1:
        a, b = rng.choice(parts[0]), rng.choice(parts[1])
        edges.append(weighted_edge(rng, options, a, b))
        parts = [parts[0] + parts[1], *parts[2:]]
    return edges, len(edges) - len(graph.edges)


def on_circle(number: int, of: int) -> tuple[float, float]:
    """Places around a circle, without sines, which machines round each in its way."""
    turn = number % of / of
    right = turn < 0.5
    t = 4 * (turn if right else turn - 0.5) - 1
    x, y = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    return (x, y) if right else (-x, -y)


def letter_name(number: int) -> str:
    """A, B, ... Z, AA, AB, ... as the paper names its nodes."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def _weight(edge: GraphEdge) -> int:
    weight = edge.attributes["weight"]
    assert isinstance(weight, int)
    return weight
