"""Networks of the Topology Zoo, SNDlib and CAIDA, by TopoHub: each is a file of ours, valid and drawn."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET

import pytest

from controller.pce.computation import SlicePlan, plan_slice, reserve_planned
from controller.pce.network import Network
from controller.schema.slice_request import parse_slice_request
from scripts.report.topology_svg import standalone
from topologies.derivation.demands import DemandOptions, slice_requests
from topologies.derivation.document import Derived, derive
from topologies.derivation.rules import Rules, parse_rules
from topologies.files import parse_document, parse_text, to_yaml
from topologies.sources.reader import read_source
from topologies.sources.topohub_graphs import TopoHubMissing, topohub_keys
from topologies.spec import Topology, TopologyError

pytest.importorskip("topohub", reason="an optional extra: .venv/bin/python -m pip install topohub")

GRAPHS = (
    "sndlib/germany50", "sndlib/polska", "sndlib/nobel-eu", "sndlib/cost266", "topozoo/Abilene", "topozoo/Geant2012",
    "topozoo/BtEurope", "topozoo/Garr201201", "topozoo/Karen", "caida/2024-08/1221", "caida/2024-08/2856",
    "gabriel/100/0",
)  # fmt: skip


def imported(key: str, **rules: object) -> tuple[Derived, Topology]:
    derived = derive(read_source(f"topohub:{key}"), parse_rules(rules, "rules") if rules else Rules())
    return derived, parse_text(to_yaml(derived.document, derived.assumptions), key)


@pytest.mark.parametrize("key", GRAPHS)
def test_it_is_valid_and_drawn(key: str) -> None:
    graph = read_source(f"topohub:{key}")
    _, topology = imported(key)
    assert len(topology.sites) == len(graph.nodes)
    assert len(topology.channels) == 4 * len(graph.edges)
    assert all(section.length_km <= 80 for section in topology.sections)
    picture = ET.fromstring(standalone(topology))
    texts = {t.text for t in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert texts >= set(topology.site_names)


@pytest.mark.slow
def test_every_graph_but_the_drawings_and_the_largest_is_valid() -> None:
    """The backbones of continents have up to 1,600 sites and are left out here for time alone."""
    keys = [k for k in topohub_keys() if not k.startswith(("backbone/", "gabriel/"))]
    drawings = [key for key in keys if not read_source(f"topohub:{key}").geographic]
    assert len(keys) == 327
    assert {key.split("/")[0] for key in drawings} == {"sndlib"}
    for key in keys:
        if key in drawings:
            with pytest.raises(TopologyError, match="coordinates are those of a drawing"):
                imported(key)
        rules = parse_rules({"km": {"per_unit": 0.5}} if key in drawings else {}, "rules")
        assert parse_document(derive(read_source(f"topohub:{key}"), rules).document, key).channels


def test_germanys_matrix_becomes_slices_that_all_fit() -> None:
    derived, topology = imported("sndlib/germany50")
    requests, told = slice_requests(derived, DemandOptions())
    connections = [c for r in requests for c in r["connections"]]
    assert len(connections) == 662
    assert all(topology.has_site(c[end]) for c in connections for end in ("from", "to"))
    assert any("dortmund" in line for line in told)
    network = Network(topology)
    for request in requests:
        plan = plan_slice(network, parse_slice_request(request))
        assert isinstance(plan, SlicePlan), request["name"]
        for connection in plan.connections:
            reserve_planned(network, connection)


def test_what_is_not_there() -> None:
    with pytest.raises(TopologyError, match="did you mean sndlib/germany50"):
        read_source("topohub:sndlib/germany5")
    for key in ("../../etc/passwd", "", "/", "sndlib/", "sndlib/..", "sndlib", "sndlib/germany50.json"):
        with pytest.raises(TopologyError, match="TopoHub has no graph"):
            read_source(f"topohub:{key}")


def test_without_the_package_it_is_said_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "topohub", None)
    with pytest.raises(TopoHubMissing, match="pip install"):
        read_source("topohub:sndlib/germany50")
