"""report.json keeps its contract; report.html is whole, well formed and needs nothing from elsewhere."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from scripts.demo.page import render
from scripts.demo.plot import draw_outage
from scripts.demo.report import Report, write_report
from scripts.measure.errors import MeasurementError
from scripts.measure.link_cut import choose_cut
from scripts.report.topology_svg import MAIN, SMALL, place_sites, route_channels
from tests.support.demo_report import example_connections, example_report
from tests.support.origin import ORIGIN
from topologies.catalog import CATALOG, ukqntel

CONTRACT = {
    "ok": bool, "datapath": str, "topology": str, "setup_s": float, "total_s": float, "slices": list,
    "isolation": dict, "failure": dict, "checks": list,
}  # fmt: skip
SLICE = {"name": str, "provision_ms": float, "first_packet_ms": float, "deprovision_ms": float, "connections": list}
CONNECTION = {
    "name": str, "src": str, "dst": str, "required": str, "key_source": str, "path": list, "ping_loss_pct": float,
    "rtt_ms": float, "iperf_mbps": float, "ciphertext_only": bool,
}  # fmt: skip
REKEYING = {"rekeys": int, "rekey_loss": int}
ISOLATION = {"pairs": int, "reachable": int}
FAILURE = {
    "cut": str, "connection": str, "outage_ms": float, "path_before": list, "path_after": list, "security_kept": bool,
}  # fmt: skip


def conforms(document, schema):
    return {name: type(document.get(name)) for name in schema} == schema


def parse(page):
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def test_report_json_has_every_field_of_the_contract(tmp_path):
    as_json, _ = write_report(example_report(), tmp_path / "made" / "here")
    document = json.loads(as_json.read_text())
    assert conforms(document, CONTRACT)
    assert conforms(document["isolation"], ISOLATION)
    assert conforms(document["failure"], FAILURE)
    for entry in document["slices"]:
        assert conforms(entry, SLICE)
        for connection in entry["connections"]:
            assert conforms(connection, CONNECTION)
            assert connection["required"] == "none" or conforms(connection, REKEYING)
    assert all(conforms(check, {"name": str, "ok": bool, "detail": str}) for check in document["checks"])


def test_a_page_from_computed_processors_says_so():
    assert "times as slow" not in render(example_report().to_dict())
    assert "processors 10 times as slow" in render(replace(example_report(), slowness=10.0).to_dict())


def test_ok_is_all_of_the_checks_and_there_must_be_some():
    assert example_report().ok
    assert not example_report(ok=False).ok
    assert not Report(ukqntel(), "netdev", ORIGIN).ok


def test_writing_replaces_whole_files_and_leaves_nothing_beside_them(tmp_path):
    for _ in range(2):
        write_report(example_report(), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json"]


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("ok", [True, False])
def test_page_is_well_formed_and_self_contained(ok, measured):
    page = render(example_report(ok, measured).to_dict())
    root = parse(page)
    assert not re.search(r"https?:|//|@import|url\(|<script|<link|<iframe| src=", page)
    assert {e.tag for e in root.iter()} >= {"svg", "table", "style"}
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))


def test_page_shows_every_channel_slice_connection_and_check():
    report = example_report(ok=False)
    page = render(report.to_dict())
    text = "".join(parse(page).itertext())
    for channel in report.topology.channels:
        assert f"{channel.id}: {channel.security.label}" in text
    for entry in report.slices:
        assert f"Slice {entry.name}" in text
        for connection in entry.connections:
            assert connection.connection.name in text
            assert connection.connection.dst_address in text
    for section in report.topology.sections:
        assert f"{section.id} {section.length_km:g} km (BB84, every step simulated)" in text
    for check in report.checks:
        assert check.detail in text
    assert "1 of 3 checks failed" in text
    assert "<as routed>" not in page


def test_page_says_when_security_was_not_kept():
    report = example_report()
    assert report.failure is not None
    report.failure = replace(report.failure, shortcomings=("cdn/compute-core is on metro1-core1-ch2 (dh)",))
    assert "NOT kept" in "".join(parse(render(report.to_dict())).itertext())


@pytest.mark.parametrize("name", sorted(CATALOG))
@pytest.mark.parametrize("canvas", [MAIN, SMALL])
def test_parallel_channels_are_apart_and_inside_the_drawing(name, canvas):
    topology = CATALOG[name](1.0)
    curves = route_channels(topology, canvas, place_sites(topology, canvas))
    for curve in curves.values():
        x, y = curve.middle
        assert 0 <= x <= canvas.width
        assert 0 <= y <= canvas.height
    for left in topology.channels:
        for right in topology.channels:
            if left.id < right.id and set(left.ends) == set(right.ends):
                (x0, y0), (x1, y1) = curves[left.id].middle, curves[right.id].middle
                assert abs(x0 - x1) + abs(y0 - y1) > 4


@pytest.mark.parametrize(
    ("at", "rtt"),
    [([-1.0, 0.0, 1.0], [None, None, None]), ([0.0], [0.4]), ([-500.0, 0.0, 900.0], [0.02, None, 1200.0])],
    ids=["all lost", "a single one", "five decades"],
)
def test_plot_of_odd_measurements(at, rtt):
    drawing = ElementTree.fromstring(draw_outage(at, rtt, 3.0))
    marks = next((e.get("d", "") for e in drawing if e.get("class") == "lost"), "")
    assert marks.count("M") == rtt.count(None)


def test_cut_is_where_it_matters_most():
    connection, cut = choose_cut(example_connections())
    assert connection.id == "cdn/compute-core"  # the only QKD connection over several channels
    assert cut == "metro1-core1-ch4"  # shared with enterprise-app/compute-core


def test_without_a_candidate_there_is_nothing_to_cut():
    with pytest.raises(MeasurementError, match="several channels"):
        choose_cut([c for c in example_connections() if len(c.path) < 2])
