"""What nodes and edges say of themselves in any format: ids, numbers; places, lengths, capacities by their names."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from topologies.graphs.network_graph import Attributes, GraphEdge, GraphNode, Position
from topologies.spec import TopologyError

T = TypeVar("T")

LONGITUDE, LATITUDE = ("longitude", "lon", "lng", "long"), ("latitude", "lat")
X, Y = ("x",), ("y",)
LABEL = ("label", "name")
KM = ("km", "length_km", "distance_km", "dist_km")
# Name of the attribute: its unit in Gbit/s. LinkSpeedRaw is the Topology Zoo's, in bit/s.
CAPACITY = {"capacity_gbps": 1.0, "bandwidth_gbps": 1.0, "capacity_mbps": 1e-3, "bandwidth_mbps": 1e-3,
            "linkspeedraw": 1e-9}  # fmt: skip


def objects(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects in the list of that name; TopologyError where there is none."""
    found = document.get(name)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise TopologyError(f"{name}: a list of objects is needed")
    return found


def word(entry: Mapping[str, Any], name: str, where: str) -> str:
    """An id of the entry's, be it a whole number; TopologyError where there is none."""
    value = entry.get(name)
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise TopologyError(f"{where}: it has no {name}")
    return str(value)


def number(value: object, where: str, name: str) -> float:
    """``value`` as a finite number, be it written as text; TopologyError otherwise."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        found = float(value)
    except (ValueError, OverflowError):
        raise TopologyError(f"{where}: {name} is {value!r}, which is no number") from None
    if not math.isfinite(found):
        raise TopologyError(f"{where}: {name} is {value!r}: a finite number is needed")
    return found


def position_of(attributes: Attributes, where: str) -> tuple[Position | None, bool]:
    """The node's place and whether it is one on Earth; TopologyError where half of it is missing."""
    for geographic, x_names, y_names in ((True, LONGITUDE, LATITUDE), (False, X, Y)):
        x, y = (_named(attributes, names) for names in (x_names, y_names))
        if (x is None) != (y is None):
            raise TopologyError(f"{where}: of {x_names[0]} and {y_names[0]} it has only one")
        if x is not None and y is not None:
            return (number(x[1], where, x[0]), number(y[1], where, y[0])), geographic
    return None, False


def graph_node(key: str, attributes: Attributes) -> tuple[GraphNode, bool]:
    """A node of what is said about it, and whether its place is one on Earth."""
    label = _named(attributes, LABEL)
    text = str(label[1]).strip() if label else ""
    position, geographic = position_of(attributes, f"node {text or key!r}")
    return GraphNode(key, text or key, position, attributes=dict(attributes)), geographic


def graph_edge(a: str, b: str, attributes: Attributes) -> GraphEdge:
    """An edge of what is said about it."""
    where = f"edge {a} - {b}"
    km = _named(attributes, KM)
    capacity = _named(attributes, tuple(CAPACITY))
    return GraphEdge(
        a,
        b,
        None if km is None else number(km[1], where, km[0]),
        None if capacity is None else number(capacity[1], where, capacity[0]) * CAPACITY[capacity[0].lower()],
        attributes=dict(attributes),
    )


def once(edges: Iterable[T], ends: Callable[[T], tuple[str, str]]) -> list[T]:
    """Without those that lead back where another leads there: the two directions of one fibre."""
    waiting: Counter[tuple[str, str]] = Counter()
    kept = []
    for edge in edges:
        a, b = ends(edge)
        if waiting[b, a]:
            waiting[b, a] -= 1
            continue
        waiting[a, b] += 1
        kept.append(edge)
    return kept


def one_kind(found: Iterable[tuple[GraphNode, bool]]) -> tuple[tuple[GraphNode, ...], bool]:
    """The nodes, and whether their places are on Earth; TopologyError where some are and some are not."""
    nodes = list(found)
    kinds = {geographic for node, geographic in nodes if node.position is not None}
    if len(kinds) > 1:
        odd = next(node for node, geographic in nodes if node.position is not None and not geographic)
        raise TopologyError(f"node {odd.label!r} has x and y, where others have longitude and latitude")
    return tuple(node for node, _ in nodes), kinds == {True}


def _named(attributes: Attributes, names: tuple[str, ...]) -> tuple[str, object] | None:
    lower = {str(name).lower(): (str(name), value) for name, value in attributes.items()}
    return next((lower[name] for name in names if name in lower and lower[name][1] not in ("", None)), None)
