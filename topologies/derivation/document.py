"""A graph made a topology's document in its compact form, with the assumptions for the file's header. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from topologies.derivation.cleaning import clean
from topologies.derivation.measures import capacities_gbps, lengths_km
from topologies.derivation.rules import ChannelRule, FibreRule, QkdRule, Rules
from topologies.derivation.tiers import tiers_of
from topologies.graphs.distances import on_unit_square
from topologies.graphs.names import site_names
from topologies.graphs.network_graph import GraphEdge, NetworkGraph, Position, printable
from topologies.spec import Tier, TopologyError

WAVELENGTH_GBPS = 100.0  # the default of a document's channels, which need not be written


@dataclass(frozen=True)
class Derived:
    """A document, the lines of its header, and the graph that it was made of, with its sites by the nodes' keys."""

    document: dict[str, Any]
    assumptions: tuple[str, ...]
    graph: NetworkGraph
    sites: dict[str, str]


def derive(graph: NetworkGraph, rules: Rules, name: str | None = None) -> Derived:
    """The network's document by the rules. TopologyError names the node or edge that lacks something."""
    notes = list(graph.notes)
    graph, cleaned = clean(graph, rules)
    tiers, by_tiers = tiers_of(graph, rules)
    lengths, by_lengths = lengths_km(graph, rules)
    capacities, by_capacities = capacities_gbps(graph, rules)
    sites = dict(zip((n.key for n in graph.nodes), site_names(n.label for n in graph.nodes), strict=True))
    tier_of = dict(zip((n.key for n in graph.nodes), tiers, strict=True))
    fibres, by_fibres = _fibres(graph, rules, sites, tier_of, lengths, capacities)
    document = {
        "name": document_name(name or graph.name),
        "description": f"{printable(graph.name)}: {len(graph.nodes)} sites, {len(graph.edges)} fibres",
        "sites": _sites(graph, rules, sites, tier_of),
        "fibres": fibres,
    }
    notes += [*cleaned, *by_tiers, *by_lengths, *by_capacities, *by_fibres]
    if any(node.position is None for node in graph.nodes):
        notes.append("places on drawings are computed where the source has none")
    return Derived(document, tuple(notes), graph, sites)


def document_name(text: str) -> str:
    """A document's name: letters, digits, dots and dashes."""
    words = re.findall(r"[A-Za-z0-9._]+", text)
    return "-".join(words).lstrip("._-")[:48].rstrip("-") or "network"


def _sites(graph: NetworkGraph, rules: Rules, sites: dict[str, str], tier_of: dict[str, Tier]) -> list[dict[str, Any]]:
    places = _places(graph)
    found = []
    for node in graph.nodes:
        tier = tier_of[node.key]
        rule = rules.sites.get(tier.value) or Rules.model_fields["sites"].default[tier.value]
        site: dict[str, Any] = {"name": sites[node.key]}
        if node.label.lower() != site["name"]:
            site["label"] = printable(node.label, 100) or printable(node.key, 100)
        site["tier"] = tier.value
        vcpus = rule.vcpus if node.vcpus is None else node.vcpus
        memory_gb = rule.memory_gb if node.memory_gb is None else node.memory_gb
        if vcpus or memory_gb:
            site |= {"vcpus": vcpus, "memory_gb": memory_gb}
        if node.key in places:
            site["x"], site["y"] = places[node.key]
        found.append(site)
    return found


def _places(graph: NetworkGraph) -> dict[str, Position]:
    placed = [node for node in graph.nodes if node.position is not None]
    if not placed:
        return {}
    positions = [node.position for node in placed if node.position is not None]
    return dict(zip((n.key for n in placed), on_unit_square(positions, graph.geographic), strict=True))


def _fibres(
    graph: NetworkGraph,
    rules: Rules,
    sites: dict[str, str],
    tier_of: dict[str, Tier],
    lengths: Sequence[float],
    capacities: Sequence[float],
) -> tuple[list[dict[str, Any]], list[str]]:
    counts: Counter[frozenset[str]] = Counter()
    used: Counter[str] = Counter()
    divided = 0
    fibres = []
    for edge, km, gbps in zip(graph.edges, lengths, capacities, strict=True):
        ends = frozenset((edge.a, edge.b))
        counts[ends] += 1
        rule = _rule_for(edge, km, (tier_of[edge.a], tier_of[edge.b]), rules.fibres)
        fibre: dict[str, Any] = {"a": sites[edge.a], "b": sites[edge.b], "km": km}
        if counts[ends] > 1:
            fibre["name"] = f"{fibre['a']}-{fibre['b']}-{counts[ends]}"
        fibre["channels"] = _channels(rule, gbps, fibre.get("name") or f"{fibre['a']}-{fibre['b']}")
        used[", ".join(_class_of(entry) for entry in rule.channels)] += 1
        if any(_class_of(entry) == "qkd" and not _is_dark(entry) for entry in rule.channels):
            qkd = _qkd(rules.qkd, km)
            divided += "trusted_nodes" in qkd
            if qkd:
                fibre["qkd"] = qkd
        fibres.append(fibre)
    notes = [f"channels {classes}: {count} of {len(fibres)} fibres" for classes, count in used.items()]
    if divided:
        notes.append(
            f"{divided} fibres are longer than {rules.qkd.longest_section_km:g} km: there QKD goes over trusted nodes"
        )
    return fibres, notes


def _rule_for(edge: GraphEdge, km: float, tiers: tuple[Tier, Tier], rules: Sequence[FibreRule]) -> FibreRule:
    ends = sorted(tier.value for tier in tiers)
    for rule in rules:
        if rule.tiers is not None and sorted(rule.tiers) != ends:
            continue
        if rule.name is not None and not re.search(rule.name, edge.label or f"{edge.a} - {edge.b}", re.IGNORECASE):
            continue
        if (rule.min_km is None or km >= rule.min_km) and (rule.max_km is None or km <= rule.max_km):
            return rule
    raise TopologyError(f"{edge}: no rule of `fibres` holds for it: end them with one for all")


def _channels(rule: FibreRule, gbps: float, fibre: str) -> list[str | dict[str, Any]]:
    """Entries of the document; a class that comes again gets a number in its id."""
    seen: Counter[str] = Counter()
    found: list[str | dict[str, Any]] = []
    for entry in rule.channels:
        name = _class_of(entry)
        seen[name] += 1
        values = {} if isinstance(entry, str) else entry.model_dump(by_alias=True, exclude_unset=True)
        if seen[name] > 1:
            values["id"] = f"{fibre}-{name}{seen[name]}"
        if gbps != WAVELENGTH_GBPS:
            values.setdefault("capacity_gbps", gbps)
        found.append({"class": name, **values} if values else name)
    return found


def _class_of(entry: str | ChannelRule) -> str:
    return entry if isinstance(entry, str) else entry.class_


def _is_dark(entry: str | ChannelRule) -> bool:
    return not isinstance(entry, str) and entry.dark


def _qkd(rule: QkdRule, km: float) -> dict[str, Any]:
    """What is not the default of a fibre's QKD."""
    values = rule.model_dump(exclude_unset=True, exclude={"longest_section_km"})
    sections = math.ceil(km / rule.longest_section_km)
    if sections > 1:
        values["trusted_nodes"] = sections - 1
    return values
