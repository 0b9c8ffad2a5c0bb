"""SNDlib's network files, XML and the same in JSON (Orlowski et al., Networks 55, 2010); ``sndlib_text`` has the third.

Coordinates are geographical or those of a drawing ("pixel"), as the file says. A link's capacity counts only where it
is installed already and the file says its unit; what could be bought (``additionalModules``) is none of the network's.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from typing import Any

from topologies.graphs.network_graph import Demand, GraphEdge, GraphNode, NetworkGraph
from topologies.sources.attributes import number, word
from topologies.sources.xml_text import parse_xml
from topologies.spec import TopologyError

LISTED = ("node", "link", "demand")  # elements of which there may be many
# Units that files of measured traffic name in <meta>: Mbit/s in one of them.
UNITS_MBPS = {"KBITPERSEC": 1e-3, "MBITPERSEC": 1.0, "GBITPERSEC": 1e3}


def read_sndlib_xml(text: str, name: str) -> NetworkGraph:
    """A network of SNDlib. TopologyError names the element that lacks something."""
    root = parse_xml(text)
    if root.tag != "network":
        raise TopologyError(f"SNDlib's XML has a <network>; this is a <{root.tag}>")
    return read_sndlib_json(_plain(root), name)


def read_sndlib_json(document: Mapping[str, Any], name: str) -> NetworkGraph:
    """The same elements as objects: ``{"networkStructure": {"nodes": {"node": [...]}, ...}, "demands": ...}``.

    Lists may also stand directly under nodes, links and demands, and coordinates directly in the node.
    """
    document = _object(document.get("network", document), "network")
    structure = _object(document.get("networkStructure", document), "networkStructure")
    meta = _object(document.get("meta") or {}, "meta")
    unit = UNITS_MBPS.get(str(meta.get("unit", "")).upper())
    nodes = structure.get("nodes")
    kind = (nodes if isinstance(nodes, Mapping) else structure).get("coordinatesType", "geographical")
    if kind not in ("geographical", "pixel"):
        raise TopologyError(f"nodes: coordinatesType is {kind!r}; geographical and pixel are known")
    notes = () if kind == "geographical" else ("its coordinates are those of a drawing (pixel)",)
    return NetworkGraph(
        name,
        tuple(_node(entry, n) for n, entry in enumerate(_entries(structure, "nodes", "node"))),
        tuple(_link(entry, n, unit) for n, entry in enumerate(_entries(structure, "links", "link"))),
        tuple(_demand(entry, n) for n, entry in enumerate(_entries(document, "demands", "demand", structure))),
        kind == "geographical",
        unit,
        notes,
    )


def _node(entry: Mapping[str, Any], n: int) -> GraphNode:
    key = word(entry, "id", f"node {n + 1}")
    where = f"node {key!r}"
    coordinates = _object(entry.get("coordinates") or entry, where)
    x, y = (coordinates.get(a, coordinates.get(b)) for a, b in (("x", "longitude"), ("y", "latitude")))
    if (x is None) != (y is None):
        raise TopologyError(f"{where}: of its coordinates x and y it has only one")
    label = str(entry.get("name") or key)
    return GraphNode(key, label, None if x is None else (number(x, where, "x"), number(y, where, "y")))


def _link(entry: Mapping[str, Any], n: int, unit_mbps: float | None) -> GraphEdge:
    where = f"link {entry.get('id', n + 1)}"
    module = _object(entry.get("preInstalledModule") or {}, where)
    capacity = module.get("capacity", entry.get("preInstalledCapacity"))
    gbps = None
    if capacity is not None and unit_mbps is not None:
        gbps = number(capacity, where, "its capacity") * unit_mbps / 1000 or None
    return GraphEdge(
        word(entry, "source", where), word(entry, "target", where), None, gbps, str(entry.get("id", "")),
        {name: value for name, value in entry.items() if isinstance(value, str | int | float)},
    )  # fmt: skip


def _demand(entry: Mapping[str, Any], n: int) -> Demand:
    where = f"demand {entry.get('id', n + 1)}"
    value = entry.get("demandValue", entry.get("value"))
    return Demand(word(entry, "source", where), word(entry, "target", where), number(value, where, "demandValue"))


def _plain(element: ET.Element) -> dict[str, Any]:
    """Elements as objects; what may stand more than once becomes a list."""
    found: dict[str, Any] = {name: text for name, text in element.attrib.items() if name not in LISTED}
    for child in element:
        value = _plain(child) if len(child) or child.attrib else (child.text or "").strip()
        if child.tag in LISTED:
            found.setdefault(child.tag, []).append(value)
        else:
            found[child.tag] = value
    return found


def _entries(
    document: Mapping[str, Any], group: str, one: str, other: Mapping[str, Any] | None = None
) -> Iterable[Mapping[str, Any]]:
    found = document.get(group, (other or {}).get(group))
    if isinstance(found, Mapping):
        found = found.get(one, [])
    if not found:
        return []
    if isinstance(found, Mapping):
        found = [found]
    if not isinstance(found, list):
        raise TopologyError(f"{group}: a list is needed")
    return [_object(entry, f"{one} {n}") for n, entry in enumerate(found, start=1)]


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TopologyError(f"{where}: an element with what belongs to it is needed, not {str(value)[:40]!r}")
    return value
