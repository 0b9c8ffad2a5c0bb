"""Graphs become files by rules: names, tiers, lengths, capacities, channels; assumptions are told, gaps are named."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from typing import Any

import pytest
import yaml

from scripts.testbed.paths import REPOSITORY
from topologies.derivation.demands import DemandOptions, requests_for, slice_requests
from topologies.derivation.document import Derived, derive
from topologies.derivation.rules import Rules, parse_rules
from topologies.files import DocumentError, parse_document, parse_text, to_yaml
from topologies.graphs.distances import haversine_km, on_unit_square
from topologies.graphs.names import site_names, slug
from topologies.graphs.network_graph import Demand, GraphEdge, GraphNode, NetworkGraph
from topologies.spec import RESERVED_NAMES, SITE_NAME_LENGTH, SecurityClass, Topology, TopologyError
from topologies.spec.site import SITE_NAME

BERLIN, HAMBURG, MUNICH = (13.405, 52.52), (9.993, 53.551), (11.582, 48.135)


def star(leaves: int = 9, **edge: Any) -> NetworkGraph:
    nodes = tuple(GraphNode(str(n), f"Site {n}", (float(n), 50.0)) for n in range(leaves + 1))
    edges = tuple(GraphEdge("0", str(n), **{"km": 10.0, **edge}) for n in range(1, leaves + 1))
    return NetworkGraph("star", nodes, edges, geographic=True)


def rules(**values: Any) -> Rules:
    return parse_rules(values, "rules.yaml")


def built(derived: Derived) -> Topology:
    """Through the text, as the user's `up` reads it."""
    return parse_text(to_yaml(derived.document, derived.assumptions), "made.yaml")


def refusal(graph: NetworkGraph, **values: Any) -> str:
    with pytest.raises(TopologyError) as caught:
        derive(graph, rules(**values))
    return str(caught.value)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Zürich", "zurich"), ("Genève", "geneve"), ("Łódź", "lodz"), ("Москва", "moskva"), ("Αθήνα", "athina"),
        ("Straße 7", "strasse7"), ("東京", ""), ("القاهرة", ""), ("10.0.0.1", "n10001"), ("São Paulo", "saopaulo"),
        ("<script>", "script"), ("../../etc", "etc"), ("", ""), ("\u202eevil", "evil"), ("ﬁbre", "fibre"),
    ],
)  # fmt: skip
def test_names_in_any_script(label: str, name: str) -> None:
    assert slug(label) == name


def test_names_are_unique_whatever_the_labels_are() -> None:
    labels = ["Paris", "paris", "PARIS!", "paris2", "東京", "大阪", *RESERVED_NAMES, "x" * 100, "x" * 99, "paris"]
    names = site_names(labels)
    assert len(set(names)) == len(labels)
    assert not set(names) & set(RESERVED_NAMES)
    assert all(SITE_NAME.fullmatch(name) and len(name) <= SITE_NAME_LENGTH for name in names)
    assert names[:6] == ["paris", "paris2", "paris3", "paris22", "site5", "site6"]


def test_the_label_is_kept_and_cannot_command_a_terminal() -> None:
    graph = star(3)
    nodes = (replace(graph.nodes[0], label="東京\x1b\u202e\n"), *graph.nodes[1:])
    topology = built(derive(replace(graph, nodes=nodes), Rules()))
    assert topology.sites[0].name == "site1"
    assert topology.sites[0].label == "東京"


def test_haversine_against_known_distances() -> None:
    assert haversine_km(BERLIN, HAMBURG) == pytest.approx(255.3, abs=0.5)
    assert haversine_km(BERLIN, MUNICH) == pytest.approx(504.4, abs=0.5)
    assert haversine_km((0, 0), (180, 0)) == pytest.approx(20015.1, abs=0.1)
    assert haversine_km(BERLIN, BERLIN) == 0


def test_a_map_of_the_pacific_is_cut_in_the_atlantic() -> None:
    auckland, honolulu, tokyo = on_unit_square([(174.8, -36.9), (-157.9, 21.3), (139.7, 35.7)], True)
    assert tokyo[0] < auckland[0] < honolulu[0]
    assert tokyo[1] < honolulu[1] < auckland[1]


def test_a_file_by_default_rules_is_a_network_with_its_assumptions() -> None:
    derived = derive(star(), Rules())
    topology = built(derived)
    assert topology.sites[0].tier.value == "core"
    assert {c.security for c in topology.channels} == set(SecurityClass)
    assert all(c.capacity_mbps == 100 and c.length_km == 10 for c in topology.channels)
    assert len(topology.sections) == len(topology.qkd_links) == 9
    told = "\n".join(derived.assumptions)
    assert "1 core" in told
    assert "100 Gbit/s, which the source does not say" in told
    assert "channels none, dh, qra, qkd: 9 of 9 fibres" in told


def test_lengths_come_from_the_source_then_from_great_circles() -> None:
    graph = NetworkGraph(
        "g", (GraphNode("b", "Berlin", BERLIN), GraphNode("h", "Hamburg", HAMBURG)),
        (GraphEdge("b", "h"), GraphEdge("b", "h", km=300.0)), geographic=True,
    )  # fmt: skip
    fibres = derive(graph, rules(km={"detour": 2})).document["fibres"]
    assert [f["km"] for f in fibres] == [pytest.approx(510.6, abs=1), 300.0]
    assert fibres[1]["name"] == "berlin-hamburg-2"
    assert len(built(derive(graph, Rules())).channels) == 8
    assert len(built(derive(graph, rules(parallel="merge"))).channels) == 4


def test_a_length_that_is_not_known_names_the_edge_and_the_remedy() -> None:
    bare = NetworkGraph("g", (GraphNode("a", "A"), GraphNode("b", "B")), (GraphEdge("a", "b"),))
    said = refusal(bare)
    assert "edge a - b: its length is not known" in said
    assert "node 'a' no longitude and latitude" in said
    assert "km: {default: 50}" in said
    assert derive(bare, rules(km={"default": 50})).document["fibres"][0]["km"] == 50
    named = replace(bare, edges=(GraphEdge("a", "b", attributes={"length": 4000}),))
    assert "(length)" in refusal(named)
    assert derive(named, rules(km={"attribute": "length", "unit": "m"})).document["fibres"][0]["km"] == 4
    assert "it has no attribute 'miles'" in refusal(named, km={"attribute": "miles"})
    drawn = replace(bare, nodes=(GraphNode("a", "A", (0.0, 0.0)), GraphNode("b", "B", (3.0, 4.0))))
    assert "per_unit" in refusal(drawn)
    assert derive(drawn, rules(km={"per_unit": 2})).document["fibres"][0]["km"] == 10


def test_a_node_without_a_place_among_others() -> None:
    graph = star(4)
    lost = tuple(replace(n, position=None) if n.key == "4" else n for n in graph.nodes)
    graph = replace(graph, nodes=lost, edges=tuple(replace(e, km=None) for e in graph.edges))
    assert "edge 0 - 4" in refusal(graph)
    assert len(derive(graph, rules(positions={"missing": "drop"})).document["sites"]) == 4
    placed = derive(graph, rules(positions={"missing": "neighbours"}))
    assert placed.document["fibres"][3]["km"] == 0
    assert any("neighbours" in line for line in placed.assumptions)


def test_a_place_that_is_not_on_earth() -> None:
    graph = star(2)
    graph = replace(graph, nodes=(replace(graph.nodes[0], position=(500.0, 0.0)), *graph.nodes[1:]))
    assert "longitude 500, latitude 0 is not on Earth" in refusal(graph)
    assert derive(graph, rules(positions={"geographic": False})).document["fibres"]


def test_a_capacity_that_some_edges_lack_is_not_guessed() -> None:
    graph = star(3)
    partly = replace(graph, edges=(replace(graph.edges[0], capacity_gbps=10.0), *graph.edges[1:]))
    assert "edge 0 - 2: it has no capacity, which others have" in refusal(partly)
    given = built(derive(partly, rules(capacity={"default_gbps": 2.5})))
    assert sorted({c.capacity_mbps for c in given.channels}) == [2.5, 10.0]
    assert {c.capacity_mbps for c in built(derive(partly, rules(capacity={"ignore": True}))).channels} == {100.0}
    unused = rules(capacity={"ignore": True, "attribute": "speed"})
    assert {c.capacity_mbps for c in built(derive(partly, unused)).channels} == {100.0}


def test_rules_say_tiers_by_name_attribute_degree_and_rank() -> None:
    graph = star(9)
    nodes = tuple(replace(n, attributes={"kind": "exchange" if n.key == "5" else "hut"}) for n in graph.nodes)
    found = derive(
        replace(graph, nodes=nodes),
        rules(tiers=[
            {"tier": "core", "name": "site 3$"}, {"tier": "core", "attributes": {"kind": "^exchange"}},
            {"tier": "metro", "min_degree": 2}, {"tier": "aggregation", "top_percent": 30, "by": "degree"},
            {"tier": "cell"},
        ]),
    )  # fmt: skip
    tiers = [s["tier"] for s in found.document["sites"]]
    assert tiers == ["metro", "aggregation", "aggregation", "core", "cell", "core", "cell", "cell", "cell", "cell"]
    assert "no rule of `tiers` holds" in refusal(graph, tiers=[{"tier": "core", "name": "nobody"}])


def test_rules_say_channels_by_tier_and_length() -> None:
    channels = ["none", "qkd", {"class": "qkd"}, {"class": "qra", "dark": True, "capacity_gbps": 5}]
    topology = built(derive(star(4), rules(fibres=[
        {"min_km": 500, "channels": ["none"]},
        {"tiers": ["cell", "core"], "channels": channels},
        {"channels": ["dh"]},
    ])))  # fmt: skip
    of_last = [c for c in topology.channels if "site4" in c.ends]
    assert [c.id for c in of_last] == ["site0-site4-none", "site0-site4-qkd", "site0-site4-qkd2", "site0-site4-qra"]
    assert (of_last[3].dark, of_last[3].capacity_mbps) == (True, 5)


def test_qkd_over_a_long_fibre_goes_over_trusted_nodes() -> None:
    derived = derive(star(2, km=250.0), rules(qkd={"longest_section_km": 100, "detector_efficiency": 0.5}))
    topology = built(derived)
    assert [s.id for s in topology.sections[:3]] == ["q-site0-site1-1", "q-site0-site1-2", "q-site0-site1-3"]
    assert all(s.length_km == pytest.approx(250 / 3) and s.detector_efficiency == 0.5 for s in topology.sections)
    assert topology.qkd_links[0].sections == tuple(s.id for s in topology.sections[:3])
    assert "2 fibres are longer than 100 km" in "\n".join(derived.assumptions)


def test_self_loops_and_parts() -> None:
    graph = star(2)
    loop = replace(graph, edges=(*graph.edges, GraphEdge("1", "1", km=1.0)))
    assert "1 edges from a node to itself" in "\n".join(derive(loop, Rules()).assumptions)
    assert "both ends are the same node" in refusal(loop, self_loops="fail")
    apart = replace(graph, nodes=(*graph.nodes, GraphNode("9", "Island", (1.0, 1.0))))
    assert "no edge joins 'Site 0' and 'Island'" in refusal(apart)
    assert len(derive(apart, rules(components="largest")).document["sites"]) == 3
    alone = NetworkGraph("alone", (GraphNode("a", "A"),), ())
    assert len(built(derive(alone, Rules())).sites) == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tier": []}, "tier: there is no such field"),
        ({"tiers": [{"name": "x"}]}, "tiers[0]: the field 'tier' is missing"),
        ({"tiers": [{"tier": "cell", "name": "("}]}, "tiers[0].name: not a regular expression"),
        ({"km": {"unit": "feet"}}, "km.unit:"),
        ({"km": {"default": float("nan")}}, "km.default:"),
        ({"fibres": []}, "fibres:"),
        ({"fibres": [{"channels": ["quantum"]}]}, "fibres[0].channels[0]:"),
        ({"fibres": [{"tiers": ["core"], "channels": ["none"]}]}, "fibres[0].tiers: the field 1 is missing"),
        ({"qkd": {"longest_section_km": 0}}, "qkd.longest_section_km:"),
    ],
)
def test_a_rules_file_that_is_wrong(values: dict[str, Any], said: str) -> None:
    with pytest.raises(DocumentError, match=re.escape(said)):
        parse_rules(values, "rules.yaml")


def test_a_rule_that_is_wrong_is_one_complaint() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_rules({"fibres": [{"channels": ["quantum"]}], "km": {"unit": "feet"}}, "rules.yaml")
    assert sorted(p.place for p in caught.value.problems) == ["fibres[0].channels[0]", "km.unit"]
    assert str(caught.value).endswith("(and 1 more)")


def test_the_rules_in_the_documents_are_rules() -> None:
    text = (REPOSITORY / "docs/how-to/own-network.md").read_text(encoding="utf-8")
    block = next(b for b in re.findall(r"(?:^    .+\n)+", text, re.MULTILINE) if "top_percent" in b)
    found = parse_rules(yaml.safe_load(textwrap.dedent(block)), "docs")
    assert [rule.tier for rule in found.tiers] == ["core", "metro", "cell"]


def test_ten_thousand_nodes_become_a_file_that_is_read_again() -> None:
    nodes = tuple(GraphNode(str(n), f"N{n}", (n % 100 / 10, n // 100 / 10)) for n in range(10_000))
    edges = tuple(GraphEdge(str(n), str(n + 1), km=1.0) for n in range(9_999))
    derived = derive(NetworkGraph("large", nodes, edges, geographic=True), Rules())
    assert len(parse_document(derived.document, "large").sites) == 10_000
    assert "tiers by degree" in "\n".join(derived.assumptions)


def with_demands(*demands: tuple[str, str, float], mbps: float | None = None) -> Derived:
    graph = replace(star(4), demands=tuple(Demand(*d) for d in demands), demand_mbps=mbps)
    return derive(graph, Rules())


def test_demands_become_slices_of_connections() -> None:
    requests, told = slice_requests(with_demands(("1", "2", 10.0), ("2", "1", 4.0), ("3", "4", 5.0)), DemandOptions())
    assert [r["name"] for r in requests] == ["demands-site1", "demands-site3"]
    (first,), (second,) = (r["connections"] for r in requests)
    assert (first["from"], first["to"]) == ("site1", "site2")
    # The busiest fibre is half full: 10 units are 50 Mbit/s of its channel's 100.
    assert (first["bandwidth_mbps"], first["reverse_bandwidth_mbps"]) == (50.0, 20.0)
    assert (second["bandwidth_mbps"], second["reverse_bandwidth_mbps"]) == (25.0, 0.001)
    assert first["latency_ms"] == 1.0
    assert any("half" in line or "50%" in line for line in told)
    assert yaml.safe_load(yaml.safe_dump(requests)) == requests


def test_demands_one_way_alone_are_meant_both_ways_and_units_count() -> None:
    requests, _ = slice_requests(with_demands(("1", "2", 2000.0), mbps=1.0), DemandOptions(security="dh"))
    connection = requests[0]["connections"][0]
    assert connection["bandwidth_mbps"] == 2.0
    assert "reverse_bandwidth_mbps" not in connection
    assert connection["security"] == "dh"


def test_a_slice_of_too_many_connections_becomes_several() -> None:
    requests = requests_for({"s": [{"name": str(n)} for n in range(300)]}, 1)
    assert [(r["name"], r["sNSSAI"]["sd"], len(r["connections"])) for r in requests] == [
        ("s", "000001", 128), ("s-2", "000002", 128), ("s-3", "000003", 44)
    ]  # fmt: skip


def test_no_demands_is_said() -> None:
    with pytest.raises(TopologyError, match="no traffic matrix"):
        slice_requests(with_demands(), DemandOptions())
