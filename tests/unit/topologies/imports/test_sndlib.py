"""SNDlib's networks in XML, JSON and native text become the same graph; what is wrong in one is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from topologies.sources.reader import read_source, read_text
from topologies.spec import TopologyError

SNDLIB = """<?xml version="1.0" encoding="ISO-8859-1"?>
<network xmlns="http://sndlib.zib.de/network" version="1.0">
 <meta><unit>MBITPERSEC</unit></meta>
 <networkStructure>
  <nodes coordinatesType="geographical">
   <node id="Berlin"><coordinates><x>13.48</x><y>52.52</y></coordinates></node>
   <node id="Hamburg"><coordinates><x>10.08</x><y>53.55</y></coordinates></node>
  </nodes>
  <links>
   <link id="L1"><source>Berlin</source><target>Hamburg</target>
    <preInstalledModule><capacity>40000.0</capacity><cost>0.0</cost></preInstalledModule>
    <additionalModules><addModule><capacity>1.0</capacity><cost>9.0</cost></addModule></additionalModules></link>
  </links>
 </networkStructure>
 <demands>
  <demand id="D1"><source>Berlin</source><target>Hamburg</target><routingUnit>1</routingUnit>
   <demandValue>195.0</demandValue></demand>
 </demands>
</network>"""

SNDLIB_TEXT = """?SNDlib native format; type: network; version: 1.0
# network two

META (
  granularity = 15min
  unit = MBITPERSEC
)

# NODE SECTION
NODES (
  Berlin ( 13.48 52.52 )
  Hamburg ( 10.08 53.55 ) () ()
)
LINKS (
  L1 ( Berlin Hamburg ) 40000.00 0.00 0.00 0.00 ( 1.00 9.00 )  # what could be bought
)
DEMANDS (
  D1 ( Berlin Hamburg ) 1 195.0 UNLIMITED
)
ADMISSIBLE_PATHS ( )
"""


def test_sndlib_in_xml_and_the_same_in_json() -> None:
    graph = read_text(SNDLIB, "small")
    assert [(n.key, n.position) for n in graph.nodes] == [("Berlin", (13.48, 52.52)), ("Hamburg", (10.08, 53.55))]
    assert [(e.label, e.a, e.b, e.capacity_gbps) for e in graph.edges] == [("L1", "Berlin", "Hamburg", 40.0)]
    assert [(d.a, d.b, d.value) for d in graph.demands] == [("Berlin", "Hamburg", 195.0)]
    assert graph.geographic
    assert graph.demand_mbps == 1.0
    document = {
        "meta": {"unit": "MBITPERSEC"},
        "networkStructure": {
            "nodes": {
                "coordinatesType": "geographical",
                "node": [
                    {"id": "Berlin", "coordinates": {"x": 13.48, "y": 52.52}},
                    {"id": "Hamburg", "coordinates": {"x": "10.08", "y": "53.55"}},
                ],
            },
            "links": {
                "link": [
                    {"id": "L1", "source": "Berlin", "target": "Hamburg", "preInstalledModule": {"capacity": "40000.0"}}
                ]
            },
        },
        "demands": {"demand": [{"id": "D1", "source": "Berlin", "target": "Hamburg", "demandValue": "195.0"}]},
    }
    same = read_text(json.dumps(document), "small")
    assert (same.nodes, same.demands, same.demand_mbps) == (graph.nodes, graph.demands, 1.0)
    assert same.edges[0].capacity_gbps == 40.0
    flat = {
        "nodes": [{"id": "a", "longitude": 1, "latitude": 2}, {"id": "b", "longitude": 3, "latitude": 4}],
        "links": [{"id": 1, "source": "a", "target": "b"}],
        "demands": [{"source": "a", "target": "b", "value": 3}],
    }
    assert read_text(json.dumps(flat), "flat").demands[0].value == 3.0


def test_a_file_in_the_encoding_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "small.xml").write_bytes(SNDLIB.replace("Hamburg", "Köln").encode("latin-1"))
    assert [n.key for n in read_source(str(tmp_path / "small.xml")).nodes] == ["Berlin", "Köln"]


def test_an_attribute_called_like_an_element_is_no_element() -> None:
    graph = read_text(SNDLIB.replace("<nodes ", '<nodes node="x" '), "small")
    assert [n.key for n in graph.nodes] == ["Berlin", "Hamburg"]


def test_sndlibs_native_text_says_the_same_as_its_xml() -> None:
    told, expected = read_text(SNDLIB_TEXT, "two"), read_text(SNDLIB, "two")
    assert (told.nodes, told.demands, told.geographic, told.demand_mbps) == (
        expected.nodes, expected.demands, expected.geographic, expected.demand_mbps,
    )  # fmt: skip
    assert [(e.a, e.b, e.capacity_gbps, e.label) for e in told.edges] == [
        (e.a, e.b, e.capacity_gbps, e.label) for e in expected.edges
    ]


def test_places_that_are_none_on_earth_are_those_of_a_drawing() -> None:
    assert not read_text(SNDLIB_TEXT.replace("13.48", "313.0"), "two").geographic


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("network; version", "model; version", "line 1: it is a model"),
        ("1.0\n#", "2.0\n#", "line 1: it is a network of version 2.0"),
        ("?SNDlib native format", "?SNDlib", "line 1: SNDlib's header"),
        ("NODES (", "KNOTEN (", "line 10: a section is to begin here"),
        ("Berlin ( 13.48 52.52 )", "Berlin", "line 11: the node's place"),
        ("Berlin ( 13.48 52.52 )", "Berlin ( 13.48 )", "line 11: the node's place"),
        ("Berlin ( 13.48 52.52 )", "Berlin ( east 52.52 )", "line 11"),
        ("( Berlin Hamburg ) 40000.00", "Berlin Hamburg 40000.00", "line 15: the link's ends"),
        ("( Berlin Hamburg ) 40000.00", "( ( Berlin Hamburg ) ) 40000.00", "line 15: a bracket within brackets"),
        ("( 1.00 9.00 )", "( 1.00 9.00", "line 15: a bracket is not closed"),
        ("1 195.0 UNLIMITED", "1", "line 18: the demand's value"),
        ("1 195.0 UNLIMITED", "1 much UNLIMITED", "demand D1"),
        ("ADMISSIBLE_PATHS ( )", "NODES ( )", "line 20: a second NODES"),
        ("ADMISSIBLE_PATHS ( )", "ADMISSIBLE_PATHS (", "the section ADMISSIBLE_PATHS has no end"),
    ],
)
def test_what_is_wrong_in_sndlibs_text_is_named_with_its_line(before: str, after: str, named: str) -> None:
    assert before in SNDLIB_TEXT
    with pytest.raises(TopologyError) as error:
        read_text(SNDLIB_TEXT.replace(before, after, 1), "two")
    assert named in str(error.value)


def test_sndlibs_drawings_are_not_taken_for_maps() -> None:
    graph = read_text(SNDLIB.replace("geographical", "pixel"), "small")
    assert not graph.geographic


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SNDLIB.replace("<x>13.48</x>", ""), "node 'Berlin': of its coordinates x and y it has only one"),
        (SNDLIB.replace("<target>Hamburg</target>\n    <pre", "<pre"), "link L1: it has no target"),
        (SNDLIB.replace("195.0", "many"), "demand D1: demandValue is 'many'"),
        (SNDLIB.replace("geographical", "polar"), "coordinatesType is 'polar'"),
    ],
)
def test_what_is_wrong_in_sndlibs_xml_is_named(text: str, said: str) -> None:
    with pytest.raises(TopologyError) as error:
        read_text(text, "mine")
    assert said in str(error.value)
