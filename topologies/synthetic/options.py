"""What a random network is drawn by, checked once. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from topologies.spec import TopologyError

EdgeWeight = Literal["capacity", "latency"]
MOST_NODES = 2_000
GBPS_PER_WEIGHT = 10.0
US_PER_WEIGHT = 100.0


@dataclass(frozen=True)
class RandomOptions:
    """Paper 000, section III: slices, nodes in each, ranges of weights, probabilities of edges.

    The paper does not publish its numbers: the defaults are three slices, as its figures have, of eight nodes.
    """

    seed: int = 0
    slices: int = 3
    nodes_per_slice: int = 8
    node_weight: tuple[int, int] = (1, 10)
    """A node's weight is its vCPUs."""
    edge_weight: tuple[int, int] = (1, 10)
    """An edge's weight: tens of Gbit/s, or tenths of a millisecond."""
    weighs: EdgeWeight = "capacity"
    within: float = 0.5
    """Probability of an edge between two nodes of one slice."""
    between: float = 0.1
    """The same between nodes of two slices."""
    km: tuple[int, int] = (2, 40)
    """Lengths where the weight is the capacity."""

    def __post_init__(self) -> None:
        _require_range("seed", self.seed, 0, 2**64 - 1)
        _require_range("slices", self.slices, 1, MOST_NODES)
        _require_range("nodes per slice", self.nodes_per_slice, 1, MOST_NODES)
        if self.slices * self.nodes_per_slice > MOST_NODES:
            raise TopologyError(f"{self.slices} slices of {self.nodes_per_slice} nodes: at most {MOST_NODES} nodes")
        for name, (low, high), least, most in (
            ("node weights", self.node_weight, 0, 100_000),
            ("edge weights", self.edge_weight, 1, 1_000),
            ("km", self.km, 0, 20_000),
        ):
            _require_range(f"{name}, the least", low, least, most)
            _require_range(f"{name}, the greatest", high, low, most)
        for name, probability in (("within", self.within), ("between", self.between)):
            if not (math.isfinite(probability) and 0 <= probability <= 1):
                raise TopologyError(f"the probability {name} slices is {probability:g}; it lies in 0 to 1")

    def __str__(self) -> str:
        """As the options of `topo random`."""
        ranges = {"node-weights": self.node_weight, "edge-weights": self.edge_weight, "km": self.km}
        return " ".join([
            f"--seed {self.seed} --slices {self.slices} --nodes {self.nodes_per_slice}",
            *(f"--{name} {low}..{high}" for name, (low, high) in ranges.items()),
            f"--edge-weight {self.weighs} --within {self.within:g} --between {self.between:g}",
        ])  # fmt: skip


def _require_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise TopologyError(f"{name}: {value} is not from {least} to {most}")
