"""Networks in other people's formats become graphs; what is hostile, broken or lacks something is refused by name."""

from __future__ import annotations

import json
import socket
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from topologies.graphs.network_graph import NetworkGraph
from topologies.sources.mininet_topo import read_mininet
from topologies.sources.reader import LARGEST_BYTES, read_source, read_text
from topologies.spec import TopologyError

GRAPHML = """<?xml version="1.0" encoding="utf-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="d0" for="node" attr.name="label" attr.type="string"/>
  <key id="d1" for="node" attr.name="Longitude" attr.type="double"/>
  <key id="d2" for="node" attr.name="Latitude" attr.type="double"/>
  <key id="d3" for="edge" attr.name="LinkSpeedRaw" attr.type="double"/>
  <graph edgedefault="undirected">
    <node id="0"><data key="d0">Zürich</data><data key="d1">8.55</data><data key="d2">47.37</data></node>
    <node id="1"><data key="d0">Genève</data><data key="d1">6.15</data><data key="d2">46.2</data></node>
    <edge source="0" target="1"><data key="d3">10000000000</data></edge>
    <edge source="0" target="1"><data key="d3">1000000000</data></edge>
  </graph>
</graphml>"""
GML = """graph [
  node [ id 0 label "A" Longitude 8.55 Latitude 47.37 ]
  node [ id 1 label "A" Longitude 6.15 Latitude 46.2 ]
  edge [ source 0 target 1 ]
  edge [ source 1 target 0 ]
]"""


def gnpy() -> dict[str, Any]:
    """Two cities, a span of two fibres and an amplifier there, one of metres back; transceivers inside the cities."""
    at = {
        city: {"metadata": {"location": {"city": city, "longitude": x, "latitude": 48.0}}}
        for city, x in (("Brest", -4.5), ("Rennes", -1.7))
    }
    elements = []
    connections = []
    for city, place in at.items():
        elements += [{"uid": f"roadm {city}", "type": "Roadm", **place}, {"uid": f"trx {city}", "type": "Transceiver"}]
        connections += [
            {"from_node": f"trx {city}", "to_node": f"roadm {city}"},
            {"from_node": f"roadm {city}", "to_node": f"trx {city}"},
        ]
    elements += [
        {"uid": "f1", "type": "Fiber", "params": {"length": 80, "length_units": "km"}},
        {"uid": "amp", "type": "Edfa"},
        {"uid": "f2", "type": "Fiber", "params": {"length": 60, "length_units": "km"}},
        {"uid": "back", "type": "Fiber", "params": {"length": 140000, "length_units": "m"}},
    ]
    for row in (("roadm Brest", "f1", "amp", "f2", "roadm Rennes"), ("roadm Rennes", "back", "roadm Brest")):
        connections += [{"from_node": a, "to_node": b} for a, b in pairwise(row)]
    return {"network_name": "West", "elements": elements, "connections": connections}


def netjson() -> dict[str, Any]:
    return {
        "type": "NetworkGraph", "protocol": "OLSR", "version": "1", "metric": "ETX", "label": "mesh",
        "nodes": [
            {"id": "10.0.0.1", "label": "one", "properties": {"location": {"longitude": 1.0, "latitude": 50.0}}},
            {"id": "10.0.0.2", "location": {"lng": 1.5, "lat": 50.5}},
        ],
        "links": [
            {"source": "10.0.0.1", "target": "10.0.0.2", "cost": 1.0, "properties": {"capacity_mbps": 100}},
            {"source": "10.0.0.2", "target": "10.0.0.1", "cost": 1.0, "properties": {"capacity_mbps": 100}},
        ],
    }  # fmt: skip


def refusal(text: str) -> str:
    with pytest.raises(TopologyError) as caught:
        read_text(text, "mine")
    return str(caught.value)


def test_graphml_with_parallel_edges_and_the_topology_zoos_attributes() -> None:
    graph = read_text(GRAPHML, "switch")
    assert [(n.key, n.label, n.position) for n in graph.nodes] == [
        ("0", "Zürich", (8.55, 47.37)),
        ("1", "Genève", (6.15, 46.2)),
    ]
    assert [(e.a, e.b, e.km, e.capacity_gbps) for e in graph.edges] == [("0", "1", None, 10.0), ("0", "1", None, 1.0)]
    assert graph.geographic


def test_gml_whose_labels_and_edges_come_twice() -> None:
    graph = read_text(GML, "zoo")
    assert [n.label for n in graph.nodes] == ["A", "A"]
    assert len(graph.edges) == 2


def test_gnpys_rows_of_elements_are_edges_and_there_and_back_is_one_fibre() -> None:
    graph = read_text(json.dumps(gnpy()), "west")
    assert graph.name == "West"
    assert [n.label for n in graph.nodes] == ["Brest", "Rennes"]
    assert [(e.a, e.b, e.km) for e in graph.edges] == [("roadm Brest", "roadm Rennes", 140.0)]


def test_gnpy_names_the_element_that_is_wrong() -> None:
    def changed(change: Any) -> str:
        document = gnpy()
        change(document)
        return refusal(json.dumps(document))

    assert "fibre 'f1': it has no params.length" in changed(lambda d: d["elements"][4].pop("params"))
    assert "length_units is 'feet'" in changed(lambda d: d["elements"][4]["params"].update(length_units="feet"))
    assert "connections.0: there is no element 'nobody'" in changed(
        lambda d: d["connections"][0].update(from_node="nobody")
    )
    assert "length_units is []" in changed(lambda d: d["elements"][4]["params"].update(length_units=[]))
    assert "there is no element []" in changed(lambda d: d["connections"][0].update(from_node=[]))
    circle = {"from_node": "f2", "to_node": "f1"}
    assert "in a circle" in changed(lambda d: d["connections"].__setitem__(7, circle))
    assert "its type is 'Laser'" in changed(lambda d: d["elements"][4].update(type="Laser"))


def test_netjson_links_there_and_back_are_one() -> None:
    graph = read_text(json.dumps(netjson()), "mesh")
    assert [(n.label, n.position) for n in graph.nodes] == [("one", (1.0, 50.0)), ("10.0.0.2", (1.5, 50.5))]
    assert [(e.a, e.b, e.km, e.capacity_gbps) for e in graph.edges] == [("10.0.0.1", "10.0.0.2", None, 0.1)]


def test_a_mininet_topo_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "my_own_topo.py").write_text(
        "from mininet.topo import Topo\n"
        "class Mine(Topo):\n"
        "    def build(self):\n"
        "        a, b = self.addSwitch('s1', longitude=1, latitude=2), self.addSwitch('s2', longitude=1, latitude=3)\n"
        "        self.addLink(a, b, bw=1000, delay='0.49ms')\n"
        "        self.addLink(self.addHost('h1'), a)\n"
        "broken = 1\n"
    )
    graph = read_source(f"{tmp_path}/my_own_topo.py:Mine")
    assert [n.key for n in graph.nodes] == ["s1", "s2"]
    assert [(e.a, e.b, e.km, e.capacity_gbps) for e in graph.edges] == [("s1", "s2", 100.0, 1.0)]
    assert graph.notes == ("1 hosts of the Topo are left out: every site has one host of its own",)
    with pytest.raises(TopologyError, match="my_own_topo:broken: TypeError"):
        read_mininet("my_own_topo", "broken", tmp_path)
    with pytest.raises(TopologyError, match="ModuleNotFoundError"):
        read_mininet("no_such_module_anywhere", "Mine", tmp_path)


def test_a_file_is_meant_even_where_a_module_of_its_name_is_installed(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("SWITCHES = ['s1']\n")
    (tmp_path / "json.py").write_text(
        "from mininet.topo import Topo\n"
        "from beside import SWITCHES\n"
        "class Mine(Topo):\n"
        "    def build(self):\n"
        "        self.addSwitch(*SWITCHES)\n"
    )
    assert [n.key for n in read_source(f"{tmp_path}/json.py:Mine").nodes] == ["s1"]
    assert json.loads("{}") == {}
    with pytest.raises(TopologyError, match="nothing:Mine: FileNotFoundError"):
        read_source(f"{tmp_path}/nothing.py:Mine")


def test_mininets_own_classes_by_name() -> None:
    graph = read_source("mininet.topolib:TorusTopo,3,y=3")
    assert (len(graph.nodes), len(graph.edges)) == (9, 18)


def test_an_entity_bomb_is_not_expanded() -> None:
    bomb = '<!DOCTYPE graphml [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
    )
    text = GRAPHML.replace("<graphml", bomb + "]>\n<graphml", 1).replace("Zürich", "&k;")
    for form in (None, "graphml", "sndlib"):
        with pytest.raises(TopologyError, match="document type"):
            read_text(text, "bomb", form)


def test_nothing_outside_is_fetched(tmp_path: Path) -> None:
    """A listener waits for whoever would resolve the entity; a secret file waits for whoever would include it."""
    (tmp_path / "secret").write_text("the secret")
    came = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)

        def wait() -> None:
            try:
                server.accept()[0].close()
                came.set()
            except TimeoutError:
                pass

        waiting = threading.Thread(target=wait)
        waiting.start()
        port = server.getsockname()[1]
        for system in (f"http://127.0.0.1:{port}/x.dtd", f"file://{tmp_path}/secret"):
            for declaration in (f'graphml SYSTEM "{system}"', f'graphml [<!ENTITY x SYSTEM "{system}">]'):
                text = GRAPHML.replace("<graphml", f"<!DOCTYPE {declaration}>\n<graphml", 1).replace("Zürich", "&x;")
                said = refusal(text)
                assert "document type" in said
                assert "the secret" not in said
        waiting.join()
    assert not came.is_set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "format is not known"),
        ("{", "not JSON"),
        ("[1]", "format is not known"),
        ('{"nodes": [], "links": []}', "no nodes"),
        ('{"nodes": [{"id": NaN}], "edges": []}', "not JSON: NaN"),
        ('{"nodes": [{"id": 1}, {"id": 1}], "edges": []}', "two nodes have the id '1'"),
        ('{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 2}]}', "edge 1 - 2: there is no node '2'"),
        ('{"nodes": [{"id": 1, "lon": 1}], "edges": []}', "node '1': of longitude and latitude it has only one"),
        ('{"nodes": [{"id": 1, "lon": "east", "lat": 1}], "edges": []}', "lon is 'east', which is no number"),
        ('{"nodes": [{"id": 1}, {"id": 2}], "edges": [{"source": 1, "target": 2, "km": -1}]}', "-1 is not a length"),
        ('{"nodes": [{"id": 1}, {"id": 2}], "edges": [{"source": 1, "target": 2, "km": "inf"}]}', "finite"),
        ('{"nodes": [{"id": 1, "lon": 1' + "0" * 400 + ', "lat": 1}], "edges": []}', "which is no number"),
        ('{"nodes": [{"id": 1, "lon": 1e999, "lat": 1}], "edges": []}', "a finite number is needed"),
        ('{"type": "NetworkRoutes", "x": 1}', "none that is known"),
        ("{" + '"a":{' * 5000, "not JSON"),
        ("<graphml>" + "<a>" * 100_000, "deeper than 60"),
        ("<svg/>", "root <svg>"),
        ("<graphml><graph>", "line 1: not well-formed"),
        ("<graphml/>", "not GraphML"),
        ("graph [ node [ id 0 ] edge [ source 0 target 7 ] ]", "not GML"),
        ("graph [ " + "a [ " * 20_000, "not GML"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    assert said in refusal(text)


def test_what_is_said_cannot_command_a_terminal() -> None:
    edge = {"source": "a\x1b]0;title\x07", "target": "nobody", "km": -1}
    assert refusal(json.dumps({"nodes": [{"id": edge["source"]}], "edges": [edge]})).isprintable()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    cases = {"latin.gml": ("Zürich".encode("latin-1"), "byte 1 is no UTF-8"), "folder": (None, "no such file")}
    for name, (content, said) in cases.items():
        path = tmp_path / name
        path.mkdir() if content is None else path.write_bytes(content)
        with pytest.raises(TopologyError, match=said):
            read_source(str(path))
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    with pytest.raises(TopologyError, match="larger than 64 MiB"):
        read_source(str(tmp_path / "large"))
    with pytest.raises(TopologyError, match="a source is a file"):
        read_source(str(tmp_path / "nothing"))


def test_ten_thousand_nodes_are_read() -> None:
    document = {
        "nodes": [{"id": n, "lon": n % 100 / 10, "lat": n // 100 / 10} for n in range(10_000)],
        "edges": [{"source": n, "target": n + 1} for n in range(9_999)],
    }
    graph = read_text(json.dumps(document), "large")
    assert isinstance(graph, NetworkGraph)
    assert len(graph.nodes) == 10_000
    with pytest.raises(TopologyError, match="20001 nodes; at most 20000"):
        read_text(json.dumps({"nodes": [{"id": n} for n in range(20_001)], "edges": []}), "larger")
