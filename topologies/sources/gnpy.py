"""GNPy's network JSON: ROADMs and transceivers are nodes; fibres, amplifiers and fused spans in a row are one edge.

Where a city has both, its transceiver is part of its ROADM. Two rows that run there and back between the same nodes
are the two fibres of one pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topologies.graphs.network_graph import GraphEdge, GraphNode, NetworkGraph, Position
from topologies.sources.attributes import number, objects, once
from topologies.spec import TopologyError

NODE_TYPES = ("Roadm", "Transceiver")
FIBRE_TYPES = ("Fiber", "RamanFiber")
BETWEEN_TYPES = ("Edfa", "Fused", "Multiband_amplifier")
KM_IN = {"km": 1.0, "m": 1e-3}


def read_gnpy(document: Mapping[str, Any], name: str) -> NetworkGraph:
    """The network. TopologyError names the element that lacks something or leads nowhere."""
    elements = _elements(document)
    successors: dict[str, list[str]] = {uid: [] for uid in elements}
    predecessors: dict[str, list[str]] = {uid: [] for uid in elements}
    for n, connection in enumerate(objects(document, "connections")):
        ends = [connection.get(end) for end in ("from_node", "to_node")]
        for end in ends:
            if not isinstance(end, str) or end not in elements:
                raise TopologyError(f"connections.{n}: there is no element {end!r}")
        successors[str(ends[0])].append(str(ends[1]))
        predecessors[str(ends[1])].append(str(ends[0]))
    roadms = {uid for uid, element in elements.items() if element["type"] == "Roadm"}
    inside = {uid: found for uid in elements if (found := _roadm_of(uid, elements, successors, predecessors, roadms))}
    nodes = [
        _node(uid, element) for uid, element in elements.items() if element["type"] in NODE_TYPES and uid not in inside
    ]
    spans = []
    for node in nodes:
        for first in dict.fromkeys(successors[node.key]):
            if first not in inside:
                spans.append(_follow(node.key, first, elements, successors, inside))
    return NetworkGraph(
        str(document.get("network_name") or name), tuple(nodes), tuple(once(spans, lambda span: (span.a, span.b))),
        geographic=any(node.position is not None for node in nodes),
    )  # fmt: skip


def _elements(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for n, element in enumerate(objects(document, "elements")):
        uid = element.get("uid")
        if not isinstance(uid, str) or not uid:
            raise TopologyError(f"elements.{n}: it has no uid")
        if uid in found:
            raise TopologyError(f"elements.{n}: the uid {uid!r} stands there twice")
        if element.get("type") not in (*NODE_TYPES, *FIBRE_TYPES, *BETWEEN_TYPES):
            known = ", ".join((*NODE_TYPES, *FIBRE_TYPES, *BETWEEN_TYPES))
            raise TopologyError(f"element {uid!r}: its type is {element.get('type')!r}; known are {known}")
        found[uid] = element
    return found


def _roadm_of(
    uid: str,
    elements: Mapping[str, Mapping[str, Any]],
    successors: Mapping[str, list[str]],
    predecessors: Mapping[str, list[str]],
    roadms: set[str],
) -> str | None:
    """The ROADM that a transceiver stands at; None for what is no transceiver, or one that fibres reach."""
    around = {*successors[uid], *predecessors[uid]}
    if elements[uid]["type"] == "Transceiver" and len(around) == 1 and around <= roadms:
        return around.pop()
    return None


def _follow(
    start: str,
    uid: str,
    elements: Mapping[str, Mapping[str, Any]],
    successors: Mapping[str, list[str]],
    inside: Mapping[str, str],
) -> GraphEdge:
    """From a node along fibres and amplifiers to the next node."""
    km, passed = 0.0, [start]
    while elements[uid]["type"] not in NODE_TYPES:
        if uid in passed:
            raise TopologyError(f"element {uid!r}: fibres and amplifiers lead in a circle")
        if elements[uid]["type"] in FIBRE_TYPES:
            km += _fibre_km(uid, elements[uid])
        passed.append(uid)
        if len(successors[uid]) != 1:
            raise TopologyError(f"element {uid!r}: it leads to {len(successors[uid])} elements; one is needed")
        uid = successors[uid][0]
    return GraphEdge(start, inside.get(uid, uid), round(km, 3))


def _fibre_km(uid: str, element: Mapping[str, Any]) -> float:
    params = element.get("params")
    if not isinstance(params, Mapping) or "length" not in params:
        raise TopologyError(f"fibre {uid!r}: it has no params.length")
    unit = params.get("length_units", "km")
    if not isinstance(unit, str) or unit not in KM_IN:
        raise TopologyError(f"fibre {uid!r}: length_units is {unit!r}; known are {', '.join(KM_IN)}")
    return number(params["length"], f"fibre {uid!r}", "params.length") * KM_IN[unit]


def _node(uid: str, element: Mapping[str, Any]) -> GraphNode:
    metadata = element.get("metadata")
    location = metadata.get("location") if isinstance(metadata, Mapping) else None
    if not isinstance(location, Mapping):
        return GraphNode(uid, uid)
    position: Position | None = None
    if "longitude" in location and "latitude" in location:
        x, y = (number(location[name], f"element {uid!r}", name) for name in ("longitude", "latitude"))
        # GNPy's converters write 0, 0 where they know nothing.
        position = None if x == y == 0 else (x, y)
    words = {"type": str(element["type"])} | {
        name: str(location[name]) for name in ("city", "region") if location.get(name)
    }
    return GraphNode(uid, str(location.get("city") or uid), position, attributes=words)
