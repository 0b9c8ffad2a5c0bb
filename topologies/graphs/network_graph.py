"""The neutral graph that every importer and generator makes: nodes, edges (parallel ones too), demands.

Positions are degrees of longitude and latitude where ``geographic`` holds, else x to the right and y upwards in units
of the source. Lengths are kilometres, capacities Gbit/s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from topologies.spec import Tier, TopologyError

MOST_NODES, MOST_EDGES, MOST_DEMANDS = 20_000, 100_000, 500_000

Attributes = Mapping[str, object]
Position = tuple[float, float]


def printable(text: str, most: int = 120) -> str:
    """Without characters that a terminal or a drawing would take for commands, and not endless."""
    return "".join(c if c.isprintable() else " " for c in text)[:most].strip()


@dataclass(frozen=True)
class GraphNode:
    """A node: ``key`` is how the source's edges name it, ``label`` how people do."""

    key: str
    label: str
    position: Position | None = None
    tier: Tier | None = None
    vcpus: int | None = None
    memory_gb: int | None = None
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class GraphEdge:
    """An edge between two nodes' keys; what the source does not know is None."""

    a: str
    b: str
    km: float | None = None
    capacity_gbps: float | None = None
    label: str = ""
    attributes: Attributes = field(default_factory=dict)

    def __str__(self) -> str:
        return printable(f"edge {self.label + ', ' if self.label else ''}{self.a} - {self.b}")


@dataclass(frozen=True)
class Demand:
    """Traffic from one node to another, in the source's unit (``NetworkGraph.demand_mbps``)."""

    a: str
    b: str
    value: float


@dataclass(frozen=True)
class NetworkGraph:
    """All of it. TopologyError names the element that does not fit in."""

    name: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    demands: tuple[Demand, ...] = ()
    geographic: bool = False
    demand_mbps: float | None = None
    """What one unit of demand is in Mbit/s; None where the source does not say."""
    notes: tuple[str, ...] = ()
    """What the reader found and did about it: lines of the file's header."""

    def __post_init__(self) -> None:
        for what, found, most in (
            ("nodes", self.nodes, MOST_NODES),
            ("edges", self.edges, MOST_EDGES),
            ("demands", self.demands, MOST_DEMANDS),
        ):
            if len(found) > most:
                raise TopologyError(f"{self.name}: {len(found)} {what}; at most {most} are imported")
        if not self.nodes:
            raise TopologyError(f"{self.name}: there are no nodes in it")
        keys = set()
        for node in self.nodes:
            if node.key in keys:
                raise TopologyError(f"{self.name}: two nodes have the id {node.key!r}")
            keys.add(node.key)
        for edge in self.edges:
            self._check_ends(str(edge), (edge.a, edge.b), keys)
            _require_measure(str(edge), "a length in km", edge.km, zero=True)
            _require_measure(str(edge), "a capacity in Gbit/s", edge.capacity_gbps, zero=False)
        for demand in self.demands:
            name = printable(f"demand {demand.a} - {demand.b}")
            self._check_ends(name, (demand.a, demand.b), keys)
            _require_measure(name, "a value", demand.value, zero=True)

    def _check_ends(self, name: str, ends: tuple[str, str], keys: set[str]) -> None:
        for end in ends:
            if end not in keys:
                raise TopologyError(f"{self.name}: {name}: there is no node {end!r}")


def _require_measure(element: str, what: str, value: float | None, zero: bool) -> None:
    if value is None:
        return
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise TopologyError(f"{element}: {value:g} is not {what}")
