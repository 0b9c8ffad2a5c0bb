"""NetJSON's NetworkGraph: nodes with ``id`` and ``label``, links with ``source``, ``target``, ``cost``, properties.

A link's cost is a routing metric and no length: lengths and capacities are looked for among its properties.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topologies.graphs.network_graph import NetworkGraph
from topologies.sources.attributes import objects, word
from topologies.sources.networkx_formats import neutral, undirected
from topologies.spec import TopologyError

TYPE = "NetworkGraph"


def read_netjson(document: Mapping[str, Any], name: str) -> NetworkGraph:
    """The network, links there and back being one. TopologyError names the node or the link."""
    if document.get("type") != TYPE:
        raise TopologyError(f"NetJSON of type {document.get('type')!r}: {TYPE} is a network")
    nodes = [(word(node, "id", f"nodes.{n}"), _flat(node)) for n, node in enumerate(objects(document, "nodes"))]
    links = [
        (word(link, "source", f"links.{n}"), word(link, "target", f"links.{n}"), _flat(link))
        for n, link in enumerate(objects(document, "links"))
    ]
    # OLSR and its like tell of each link from both its ends.
    return neutral(str(document.get("label") or name), nodes, undirected(links, directed=True))


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of it, its properties and location included."""
    found = {name: value for name, value in entry.items() if isinstance(value, str | int | float)}
    for group in ("properties", "location"):
        inner = entry.get(group)
        if isinstance(inner, Mapping):
            found |= {name: value for name, value in inner.items() if isinstance(value, str | int | float)}
            place = inner.get("location")
            if isinstance(place, Mapping):
                found |= {name: value for name, value in place.items() if isinstance(value, str | int | float)}
    return found
