"""Which node is a cell, an aggregation, a metro or a core site: by name, attribute, degree, centrality. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter

import networkx

from topologies.derivation.rules import Rules, TierRule
from topologies.graphs.network_graph import GraphNode, NetworkGraph
from topologies.spec import Tier, TopologyError

MOST_FOR_BETWEENNESS = 1000


def tiers_of(graph: NetworkGraph, rules: Rules) -> tuple[list[Tier], list[str]]:
    """The tier of each node, and what was assumed. TopologyError names a node for which no rule holds."""
    if all(node.tier is not None for node in graph.nodes):
        return [node.tier for node in graph.nodes if node.tier is not None], []
    degrees = Counter(end for edge in graph.edges for end in (edge.a, edge.b))
    notes = []
    ranks: dict[str, dict[str, int]] = {}
    for by in dict.fromkeys(rule.by for rule in rules.tiers if rule.top_percent is not None):
        measured = by
        if by == "betweenness" and len(graph.nodes) > MOST_FOR_BETWEENNESS:
            measured = "degree"
            notes.append(f"tiers by degree: betweenness is computed for at most {MOST_FOR_BETWEENNESS} nodes")
        ranks[by] = _ranks(graph, degrees, measured)
    tiers = []
    for node in graph.nodes:
        if node.tier is not None:
            tiers.append(node.tier)
            continue
        rule = next((r for r in rules.tiers if _holds(r, node, degrees[node.key], ranks, len(graph.nodes))), None)
        if rule is None:
            raise TopologyError(f"node {node.label!r}: no rule of `tiers` holds for it: end them with one for all")
        tiers.append(Tier(rule.tier))
    counts = Counter(tiers)
    notes.append("tiers: " + ", ".join(f"{counts[tier]} {tier.value}" for tier in Tier) + f", {_told(rules)}")
    return tiers, notes


def _holds(rule: TierRule, node: GraphNode, degree: int, ranks: dict[str, dict[str, int]], nodes: int) -> bool:
    if rule.name is not None and not re.search(rule.name, node.label, re.IGNORECASE):
        return False
    for name, pattern in rule.attributes.items():
        if not re.search(pattern, str(node.attributes.get(name, "")), re.IGNORECASE):
            return False
    if rule.min_degree is not None and degree < rule.min_degree:
        return False
    if rule.max_degree is not None and degree > rule.max_degree:
        return False
    return rule.top_percent is None or ranks[rule.by][node.key] < math.ceil(nodes * rule.top_percent / 100)


def _ranks(graph: NetworkGraph, degrees: Counter[str], by: str) -> dict[str, int]:
    """The nodes' numbers, the most central first; ties by degree, then in the graph's order."""
    centrality: dict[str, float] = dict.fromkeys((node.key for node in graph.nodes), 0.0)
    if by == "betweenness":
        drawn = networkx.Graph()
        drawn.add_nodes_from(node.key for node in graph.nodes)
        drawn.add_edges_from((edge.a, edge.b) for edge in graph.edges)
        centrality = {key: round(value, 9) for key, value in networkx.betweenness_centrality(drawn).items()}
    order = sorted((node.key for node in graph.nodes), key=lambda key: (-centrality[key], -degrees[key]))
    return {key: rank for rank, key in enumerate(order)}


def _told(rules: Rules) -> str:
    """The rules, as a person would say them."""
    words = []
    for rule in rules.tiers:
        conditions = [
            f"name {rule.name}" if rule.name is not None else "",
            *(f"{name} {pattern}" for name, pattern in rule.attributes.items()),
            f"degree >= {rule.min_degree}" if rule.min_degree is not None else "",
            f"degree <= {rule.max_degree}" if rule.max_degree is not None else "",
            f"first {rule.top_percent:g} % by {rule.by}" if rule.top_percent is not None else "",
        ]
        words.append(f"{rule.tier}: {' and '.join(filter(None, conditions)) or 'the rest'}")
    return "; ".join(words)
