"""Lengths in km and capacities in Gbit/s of a graph's edges, by the rules. Pure.

What some edges have and others lack is not guessed: the first that lacks it is named.
"""

from __future__ import annotations

import math

from topologies.derivation.rules import CapacityRule, KmRule, Rules
from topologies.graphs.distances import haversine_km
from topologies.graphs.network_graph import GraphEdge, NetworkGraph, Position
from topologies.sources.attributes import number
from topologies.spec import TopologyError

KM_IN = {"km": 1.0, "m": 1e-3, "mi": 1.609344}
GBPS_IN = {"bps": 1e-9, "kbps": 1e-6, "mbps": 1e-3, "gbps": 1.0}
DEFAULT_GBPS = 100.0


def lengths_km(graph: NetworkGraph, rules: Rules) -> tuple[list[float], list[str]]:
    """The length of each edge, and what was assumed. TopologyError names the edge whose length is not known."""
    rule = rules.km
    places = {node.key: node.position for node in graph.nodes}
    lengths, origins = [], []
    for edge in graph.edges:
        km, origin = _length(edge, graph, places, rule)
        lengths.append(round(km, 2))
        origins.append(origin)
    notes = []
    told = {
        "great circle": f"lengths are great circles between the ends, times {rule.detour:g}",
        "drawing": f"lengths are distances on the drawing, {rule.per_unit or 0:g} km a unit",
        "default": f"lengths that are not known are {rule.default or 0:g} km",
    }
    for origin, text in told.items():
        count = origins.count(origin)
        if count:
            notes.append(f"{text} ({count} of {len(origins)} fibres)")
    if any(km == 0 for km in lengths):
        notes.append(f"{lengths.count(0)} fibres are 0 km long: their ends are in one place")
    return lengths, notes


def _length(
    edge: GraphEdge, graph: NetworkGraph, places: dict[str, Position | None], rule: KmRule
) -> tuple[float, str]:
    if rule.attribute is not None and rule.attribute in edge.attributes:
        km = number(edge.attributes[rule.attribute], str(edge), rule.attribute) * KM_IN[rule.unit]
        if km < 0:
            raise TopologyError(f"{edge}: {rule.attribute} is negative")
        return km, "source"
    if rule.attribute is None and edge.km is not None:
        return edge.km, "source"
    a, b = places[edge.a], places[edge.b]
    if a is not None and b is not None:
        if graph.geographic:
            return haversine_km(a, b) * rule.detour, "great circle"
        if rule.per_unit is not None:
            return math.dist(a, b) * rule.per_unit, "drawing"
    if rule.default is not None:
        return rule.default, "default"
    raise TopologyError(f"{edge}: its length is not known: {_lacks(edge, graph, places, rule)}")


def _lacks(edge: GraphEdge, graph: NetworkGraph, places: dict[str, Position | None], rule: KmRule) -> str:
    numbers = [name for name, value in edge.attributes.items() if isinstance(value, int | float)]
    named = f"`km: {{attribute: NAME, unit: km}}` for one of its attributes ({', '.join(numbers)}), " if numbers else ""
    if rule.attribute is not None:
        return f"it has no attribute {rule.attribute!r}. `km: {{default: 50}}` gives one to all that have none"
    nowhere = next((end for end in (edge.a, edge.b) if places[end] is None), None)
    if nowhere is not None:
        return (
            f"it has no km, and node {nowhere!r} no longitude and latitude. In the rules: {named}"
            "`km: {default: 50}`, or `positions: {missing: drop}` where others have a place"
        )
    return (
        "it has no km, and the coordinates are those of a drawing. In the rules: "
        f"{named}`km: {{per_unit: 1}}` (km in a unit of the drawing), or `km: {{default: 50}}`"
    )


def capacities_gbps(graph: NetworkGraph, rules: Rules) -> tuple[list[float], list[str]]:
    """The capacity of each edge's channels, and what was assumed. TopologyError names the edge that lacks it."""
    rule = rules.capacity
    found = [None if rule.ignore else _capacity(edge, rule) for edge in graph.edges]
    known = len(found) - found.count(None)
    default = rule.default_gbps
    if known == 0 and default is None and (rule.attribute is None or rule.ignore):
        default = DEFAULT_GBPS
    capacities, notes = [], []
    for edge, gbps in zip(graph.edges, found, strict=True):
        if gbps is None and default is None:
            others = ", which others have" if known else ""
            raise TopologyError(
                f"{edge}: it has no {rule.attribute or 'capacity'}{others}: in the rules, "
                "`capacity: {default_gbps: 100}` gives one to all that have none, `{ignore: true}` the same to all"
            )
        capacities.append(gbps if gbps is not None else default or DEFAULT_GBPS)
    if known < len(found):
        of = f" ({len(found) - known} of {len(found)} fibres)" if known else ""
        notes.append(f"capacity of a channel: {default:g} Gbit/s, which the source does not say{of}")
    if known:
        notes.append(f"capacity: each channel of a fibre has that of the edge ({known} of {len(found)} fibres)")
    return capacities, notes


def _capacity(edge: GraphEdge, rule: CapacityRule) -> float | None:
    if rule.attribute is None:
        return edge.capacity_gbps
    if rule.attribute not in edge.attributes:
        return None
    gbps = number(edge.attributes[rule.attribute], str(edge), rule.attribute) * GBPS_IN[rule.unit]
    if gbps <= 0:
        raise TopologyError(f"{edge}: {rule.attribute} is not positive")
    return gbps
