"""Pictures of many sites: every site is named, no name covers another or a site, and all that is drawn is inside."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from scripts.report.crowded_map import RADIUS, CrowdedMap, make_map
from scripts.report.map_labels import Box, push_apart
from scripts.report.topology_svg import MAIN, SMALL, Emphasis, draw_topology, place_sites, standalone
from topologies.catalog import load
from topologies.derivation.document import derive
from topologies.files import parse_document
from topologies.spec import Topology
from topologies.synthetic.options import RandomOptions
from topologies.synthetic.paper_000 import draw
from topologies.synthetic.requests import RANDOM_RULES
from topologies.synthetic.tiered import draw_tiered

SVG = "{http://www.w3.org/2000/svg}"


def network(slices: int, nodes: int, tiers: bool, long_names: bool = False) -> Topology:
    options = RandomOptions(1, slices=slices, nodes_per_slice=nodes)
    derived = derive((draw_tiered if tiers else draw)(options).graph, RANDOM_RULES)
    document = derived.document
    if long_names:
        text = re.sub(r'"(cell|agg|metro|core)(\d+)"', r'"\1nearthelargercity\2"', json.dumps(document))
        document = json.loads(text)
    return parse_document(document, "drawn")


def map_of(topology: Topology, names: set[str]) -> CrowdedMap:
    return make_map(
        topology, (MAIN.width, MAIN.height), lambda w, h: place_sites(topology, replace(MAIN, width=w, height=h)), names
    )


@pytest.mark.parametrize(
    ("slices", "nodes", "tiers", "long_names"),
    [(4, 25, False, False), (4, 25, True, False), (3, 16, True, False), (4, 25, True, True), (1, 30, False, False)],
)
def test_no_label_covers_another_or_a_site(slices: int, nodes: int, tiers: bool, long_names: bool) -> None:
    topology = network(slices, nodes, tiers, long_names)
    names = set(topology.site_names)
    found = map_of(topology, names)
    assert set(found.labels) == names
    boxes = {name: label.box for name, label in found.labels.items()}
    inside = Box(0, 0, found.width, found.height)
    for name, box in boxes.items():
        assert box.is_within(inside)
        assert not [other for other in names if other != name and box.meets(boxes[other])]
        for site in topology.sites:
            (x, y), r = found.places[site.name], RADIUS[site.tier]
            assert not box.meets(Box(x - r, y - r, x + r, y + r))


def test_channels_of_a_fibre_lie_side_by_side() -> None:
    topology = network(4, 25, True)
    found = map_of(topology, set())
    lines = list(found.lines.values())
    assert len(set(lines)) == len(topology.channels)


def test_a_hundred_sites_in_one_place_are_named_all_the_same() -> None:
    document = {
        "name": "heap", "sites": [{"name": f"site{n}", "tier": "cell", "x": 0.5, "y": 0.5} for n in range(100)],
        "fibres": [{"a": "site0", "b": f"site{n}", "km": 1.0, "channels": ["none"]} for n in range(1, 100)],
    }  # fmt: skip
    topology = parse_document(document, "heap")
    assert set(map_of(topology, set(topology.site_names)).labels) == set(topology.site_names)


def test_sites_in_one_place_are_pushed_apart() -> None:
    within = Box(0, 0, 1000, 1000)
    found = list(push_apart({str(n): (500.0, 500.0) for n in range(30)}, 30, within).values())
    closest = min((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 for n, a in enumerate(found) for b in found[n + 1 :])
    assert closest > 15**2


def test_a_small_drawing_of_many_sites_names_what_it_is_about() -> None:
    topology = network(4, 25, True)
    channel = topology.channels[0]
    picture = draw_topology(topology, SMALL, "a path", Emphasis({channel.id: ["c"]}, only=True))
    assert set(re.findall(r"<text [^>]*>([^<]+)</text>", picture)) == set(channel.ends)


def test_weights_are_written() -> None:
    topology = network(1, 6, False)
    picture = ET.fromstring(standalone(topology, weights="capacity"))
    texts = {t.text for t in picture.iter(f"{SVG}text")}
    assert {f"{s.name} ({s.vcpus})" for s in topology.sites} <= texts
    assert {f"{c.capacity_mbps:g}" for c in topology.channels} <= texts
    assert "on fibres: ms one way" in standalone(topology, weights="latency")


def test_a_file_of_its_own_needs_no_variables_of_a_page() -> None:
    for name in ("ukqntel", "metro-ring"):
        assert "var(" not in standalone(load(name))


def test_ten_thousand_sites_are_drawn_without_names() -> None:
    document = {
        "name": "large",
        "sites": [{"name": f"s{n}", "tier": "cell", "x": n % 100 / 100, "y": n // 100 / 100} for n in range(10_000)],
        "fibres": [{"a": f"s{n}", "b": f"s{n + 1}", "km": 1.0, "channels": ["none"]} for n in range(9_999)],
    }
    picture = standalone(parse_document(document, "large"))
    assert picture.count("<circle") >= 10_000
    assert ">s77<" not in picture
