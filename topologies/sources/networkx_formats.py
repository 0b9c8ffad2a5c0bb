"""GraphML and GML by NetworkX, and its node-link JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import networkx

from topologies.graphs.network_graph import Attributes, Demand, GraphEdge, NetworkGraph
from topologies.sources.attributes import graph_edge, graph_node, number, once, one_kind
from topologies.sources.xml_text import check_xml
from topologies.spec import TopologyError


def read_graphml(text: str, name: str) -> NetworkGraph:
    """A graph in GraphML (also yEd's). TopologyError where it is none."""
    check_xml(text)
    return _read(lambda: networkx.parse_graphml(text), "GraphML", name)


def read_gml(text: str, name: str) -> NetworkGraph:
    """A graph in GML. The Topology Zoo's files have parallel edges without saying ``multigraph 1``: it is said here."""
    if not re.search(r"^\s*multigraph\s", text, re.MULTILINE):
        text = re.sub(r"\bgraph\s*\[", "graph [\n  multigraph 1", text, count=1)
    return _read(lambda: networkx.parse_gml(text, label="id"), "GML", name)


def read_node_link(document: Mapping[str, Any], name: str) -> NetworkGraph:
    """NetworkX' node-link JSON: ``nodes`` with ``id``, ``edges`` or ``links`` with ``source`` and ``target``."""
    edges = document.get("edges", document.get("links"))
    nodes = document.get("nodes")
    if not isinstance(nodes, list) or not isinstance(edges, list):
        raise TopologyError("node-link JSON has a list of nodes and a list of edges (or links)")
    for n, node in enumerate(nodes):
        if not isinstance(node, dict) or not isinstance(node.get("id"), str | int) or isinstance(node["id"], bool):
            raise TopologyError(f"nodes.{n}: a node is an object with an id, a word or a whole number")
    for n, edge in enumerate(edges):
        if not isinstance(edge, dict) or "source" not in edge or "target" not in edge:
            raise TopologyError(f"edges.{n}: an edge is an object with source and target")
    graph = document.get("graph") or {}
    if not isinstance(graph, dict):
        raise TopologyError("graph: an object with what is said of the whole graph")
    return neutral(
        str(graph.get("name") or name),
        ((str(node["id"]), {k: v for k, v in node.items() if k != "id"}) for node in nodes),
        undirected(
            [(str(e["source"]), str(e["target"]), {k: v for k, v in e.items() if k not in ("source", "target")})
             for e in edges],
            bool(document.get("directed")),
        ),
        _demands(graph.get("demands")),
    )  # fmt: skip


def neutral(
    name: str,
    nodes: Iterable[tuple[str, Attributes]],
    edges: Iterable[GraphEdge],
    demands: tuple[Demand, ...] = (),
    notes: tuple[str, ...] = (),
) -> NetworkGraph:
    """The graph of nodes with their attributes, and edges."""
    found, geographic = one_kind(graph_node(key, attributes) for key, attributes in nodes)
    return NetworkGraph(name, found, tuple(edges), demands, geographic, notes=notes)


def _read(parse: Any, kind: str, name: str) -> NetworkGraph:
    try:
        graph = parse()
    except RecursionError:
        raise TopologyError(f"not {kind}: it is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - NetworkX raises a dozen kinds, KeyError and AttributeError among them
        said = " ".join(str(error).split()) or type(error).__name__
        raise TopologyError(f"not {kind} as NetworkX reads it: {said[:200]}") from None
    title = next((str(graph.graph[key]) for key in ("label", "name", "Network") if graph.graph.get(key)), name)
    edges = [(str(a), str(b), dict(attributes)) for a, b, attributes in graph.edges(data=True)]
    return neutral(
        title,
        ((str(key), dict(attributes)) for key, attributes in graph.nodes(data=True)),
        undirected(edges, graph.is_directed()),
    )


def undirected(edges: Iterable[tuple[str, str, Attributes]], directed: bool) -> list[GraphEdge]:
    """In a directed graph an edge there and one back are one fibre."""
    return [graph_edge(*edge) for edge in (once(edges, lambda edge: edge[:2]) if directed else edges)]


def _demands(found: object) -> tuple[Demand, ...]:
    """Demands as in TopoHub: ``{source: {target: value}}``."""
    if not found:
        return ()
    if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
        raise TopologyError("graph.demands: an object of sources, each an object of targets and values")
    return tuple(
        Demand(str(a), str(b), number(value, f"demand {a} - {b}", "its value"))
        for a, row in found.items()
        for b, value in row.items()
    )
