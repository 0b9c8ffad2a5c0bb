"""What a graph may have and a network may not: self-loops, parts that nothing joins, nodes without a place. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from topologies.derivation.rules import Rules
from topologies.graphs.distances import is_on_earth
from topologies.graphs.network_graph import GraphEdge, NetworkGraph, Position
from topologies.spec import TopologyError


def clean(graph: NetworkGraph, rules: Rules) -> tuple[NetworkGraph, list[str]]:
    """The graph that a network can be made of, and what was done for it. TopologyError names what stands in the way."""
    notes: list[str] = []
    if rules.positions.geographic is False and graph.geographic:
        graph = replace(graph, geographic=False)
    _check_places(graph)
    for step in (_without_loops, _without_parallels, _with_places, _of_one_piece):
        graph = step(graph, rules, notes)
    return graph, notes


def _check_places(graph: NetworkGraph) -> None:
    for node in graph.nodes:
        if graph.geographic and node.position is not None and not is_on_earth(node.position):
            x, y = node.position
            raise TopologyError(
                f"node {node.label!r}: longitude {x:g}, latitude {y:g} is not on Earth: correct it, or say with "
                "`positions: {geographic: false}` that the coordinates are those of a drawing"
            )


def _without_loops(graph: NetworkGraph, rules: Rules, notes: list[str]) -> NetworkGraph:
    loops = [edge for edge in graph.edges if edge.a == edge.b]
    if not loops:
        return graph
    if rules.self_loops == "fail":
        raise TopologyError(f"{loops[0]}: both ends are the same node")
    notes.append(f"left out: {len(loops)} edges from a node to itself, the first at {loops[0].a!r}")
    return replace(graph, edges=tuple(edge for edge in graph.edges if edge.a != edge.b))


def _without_parallels(graph: NetworkGraph, rules: Rules, notes: list[str]) -> NetworkGraph:
    counts = Counter(frozenset((edge.a, edge.b)) for edge in graph.edges)
    parallel = sum(count - 1 for count in counts.values())
    if not parallel:
        return graph
    if rules.parallel == "keep":
        notes.append(f"{parallel} edges join nodes that another joins already: each is a fibre of its own")
        return graph
    kept: dict[frozenset[str], GraphEdge] = {}
    for edge in graph.edges:
        kept.setdefault(frozenset((edge.a, edge.b)), edge)
    notes.append(f"left out: {parallel} edges between nodes that another joins already")
    return replace(graph, edges=tuple(kept.values()))


def _with_places(graph: NetworkGraph, rules: Rules, notes: list[str]) -> NetworkGraph:
    without = [node for node in graph.nodes if node.position is None]
    if not without or len(without) == len(graph.nodes) or rules.positions.missing == "keep":
        return graph
    if rules.positions.missing == "drop":
        gone = {node.key for node in without}
        notes.append(f"left out: {len(gone)} nodes without a place: {_listed([node.label for node in without])}")
        return _kept(graph, {node.key for node in graph.nodes} - gone)
    places = {node.key: node.position for node in graph.nodes if node.position is not None}
    neighbours = _neighbours(graph)
    waiting = [node.key for node in without]
    while waiting:
        found: dict[str, Position] = {}
        for key in waiting:
            known = [places[other] for other in neighbours[key] if other in places]
            if known:
                found[key] = (sum(x for x, _ in known) / len(known), sum(y for _, y in known) / len(known))
        if not found:
            break
        places |= found
        waiting = [key for key in waiting if key not in found]
    notes.append(f"in the middle of their neighbours: {len(without)} nodes without a place")
    return replace(graph, nodes=tuple(replace(node, position=places.get(node.key)) for node in graph.nodes))


def _of_one_piece(graph: NetworkGraph, rules: Rules, notes: list[str]) -> NetworkGraph:
    parts = components(graph)
    if len(parts) == 1:
        return graph
    labels = {node.key: node.label for node in graph.nodes}
    if rules.components == "fail":
        raise TopologyError(
            f"{graph.name}: no edge joins {labels[parts[0][0]]!r} and {labels[parts[1][0]]!r}: the network has "
            f"{len(parts)} parts; `components: largest` takes the largest alone"
        )
    largest = max(parts, key=len)
    notes.append(f"left out: {len(graph.nodes) - len(largest)} nodes that are not joined to the largest part")
    return _kept(graph, set(largest))


def components(graph: NetworkGraph) -> list[list[str]]:
    """The keys of the nodes of each part that edges join, in the graph's order."""
    neighbours = _neighbours(graph)
    seen: set[str] = set()
    parts = []
    for node in graph.nodes:
        if node.key in seen:
            continue
        part, waiting = [], [node.key]
        seen.add(node.key)
        while waiting:
            key = waiting.pop()
            part.append(key)
            new = [other for other in dict.fromkeys(neighbours[key]) if other not in seen]
            seen.update(new)
            waiting += new
        parts.append(part)
    return parts


def _neighbours(graph: NetworkGraph) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {node.key: [] for node in graph.nodes}
    for edge in graph.edges:
        found[edge.a].append(edge.b)
        found[edge.b].append(edge.a)
    return found


def _kept(graph: NetworkGraph, keys: set[str]) -> NetworkGraph:
    return replace(
        graph,
        nodes=tuple(node for node in graph.nodes if node.key in keys),
        edges=tuple(edge for edge in graph.edges if {edge.a, edge.b} <= keys),
        demands=tuple(demand for demand in graph.demands if {demand.a, demand.b} <= keys),
    )


def _listed(labels: list[str], most: int = 5) -> str:
    return ", ".join(repr(label) for label in labels[:most]) + (
        f" and {len(labels) - most} more" if len(labels) > most else ""
    )
