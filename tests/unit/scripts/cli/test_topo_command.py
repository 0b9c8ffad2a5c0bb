"""``topo`` and ``--topo``: what is shipped, what a file says, and what is refused before anything is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.main import main
from scripts.errors import WrongRequest
from scripts.experiments.scripted.scenario import SHIPPED, read_scenario
from scripts.measure.places import places_in, settled
from scripts.measure.slices import load_request
from topologies.catalog import load
from topologies.files import load_topology, parse_text, to_document, to_yaml

MINE = """\
name: mine
sites:
  - {name: antenna, tier: cell}
  - {name: exchange, tier: metro, vcpus: 32, memory_gb: 128}
  - {name: frankfurtammain, tier: core}
fibres:
  - {a: antenna, b: exchange, km: 8, channels: [none, dh, qra, qkd]}
  - {a: exchange, b: frankfurtammain, km: 20, channels: [none, dh, qra, qkd]}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(list(words))
    told = capsys.readouterr()
    return status, told.out, told.err


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    status, out, _ = said(capsys, *words, "--json")
    return status, json.loads(out)


def test_list_names_the_shipped_ones(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = as_json(capsys, "topo", "list")
    assert status == 0
    assert {(t["name"], t["sites"], t["channels"]) for t in found} >= {("ukqntel", 5, 20), ("metro-ring", 9, 72)}
    assert "metro-ring" in said(capsys, "topo", "list")[1]


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_show_prints_a_file_that_is_the_same_network(
    form: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, _ = said(capsys, "topo", "show", "metro-ring", "--format", form)
    assert status == 0
    (tmp_path / "copy").write_text(out)
    assert load_topology(tmp_path / "copy") == load("metro-ring")
    assert as_json(capsys, "topo", "show", "metro-ring")[1] == to_document(load("metro-ring"))


def test_validate_tells_what_there_is_and_what_is_odd(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    status, found = as_json(capsys, "topo", "validate", str(mine))
    assert (status, found["valid"], found["remarks"], found["sites"]) == (0, True, [], 3)
    assert "mine is valid: 3 sites, 8 channels (2 none, 2 dh, 2 qra, 2 qkd), 2 QKD sections" in said(
        capsys, "topo", "validate", str(mine)
    )[1]  # fmt: skip
    mine.write_text(MINE + "  - {a: antenna, b: exchange, name: second, km: 9, channels: [qkd], qkd: false}\n"
                    "wavelengths: [{id: spare, class: dh}]\n".replace("tier: core}", "tier: metro}"))  # fmt: skip
    assert as_json(capsys, "topo", "validate", str(mine))[1]["remarks"] == ["no channel uses the wavelengths spare"]


def test_validate_remarks_on_parts_that_nothing_joins(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    """Allowed: a network may be built up, or be meant to be split."""
    mine.write_text(
        "\n".join(line for line in MINE.splitlines() if "b: frankfurt" not in line).replace("vcpus: 32, ", "")
    )
    status, found = as_json(capsys, "topo", "validate", str(mine))
    assert (status, found["valid"]) == (0, True)
    assert found["remarks"] == [
        "it is in 2 parts that no channel joins (dark ones apart), beside the largest: frankfurtammain",
        "no site has vcpus and memory_gb: slices find no compute",
    ]


def test_validate_lists_every_problem_with_its_line(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    mine.write_text(MINE.replace("b: exchange", "b: exchanges").replace("km: 20", "km: 20, colour: red"))
    status, found = as_json(capsys, "topo", "validate", str(mine))
    assert (status, found["valid"]) == (2, False)
    assert [(p["line"], p["field"]) for p in found["problems"]] == [(8, "fibres[1].colour")]
    mine.write_text(MINE.replace("b: exchange", "b: exchanges").replace("b: frank", "b: prank"))
    status, out, _ = said(capsys, "topo", "validate", str(mine))
    assert status == 2
    assert [line.partition(": ")[0] for line in out.splitlines()] == [f"{mine}:7", f"{mine}:8"]
    assert "there is no site 'exchanges': did you mean 'exchange'?" in out


def test_the_schema_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(said(capsys, "topo", "schema")[1])["title"] == "QSlice topology"


@pytest.mark.parametrize(
    "words",
    [
        ("up", "--detach"), ("demo",), ("bench", "failover"), ("bench", "provision"), ("experiment", "run", "chaos"),
        ("experiment", "run", "link-cut"),
    ],
    ids="-".join,
)  # fmt: skip
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "--topo: unknown topology"),
        ("name: [", "mine.yaml:1: neither YAML nor JSON"),
        (MINE.replace("km: 8", "km: -8"), "mine.yaml:7: fibres[0].km: "),
        ("name: big\nsites:\n" + "".join(f"  - {{name: s{n}, tier: core}}\n" for n in range(255)),
         "has 255 sites, and at most 254 can be emulated"),
    ],
    ids=["missing", "no YAML", "negative", "too many"],
)  # fmt: skip
def test_a_wrong_topology_is_refused_before_anything_is_built(
    words: tuple[str, ...], text: str | None, complaint: str, capsys: pytest.CaptureFixture[str], mine: Path
) -> None:
    mine.unlink() if text is None else mine.write_text(text)
    status, out, err = said(capsys, *words, "--topo", str(mine))
    assert (status, out) == (2, "")
    assert complaint in err


def test_ten_thousand_sites_are_refused_by_the_bound_that_they_pass(
    capsys: pytest.CaptureFixture[str], mine: Path
) -> None:
    many = 10_000
    sites = "".join(f"  - {{name: s{n}, tier: core}}\n" for n in range(many))
    ring = "".join(f"  - {{a: s{n}, b: s{(n + 1) % many}, km: 1, channels: [none, dh, qra]}}\n" for n in range(many))
    mine.write_text(f"name: big\nsites:\n{sites}fibres:\n{ring}")
    status, out, err = said(capsys, "up", "--detach", "--topo", str(mine))
    assert (status, out) == (2, "")
    assert "topology big has 10000 sites, and at most 254 can be emulated" in err
    assert "That cannot be raised: leave sites out" in err


def test_measurements_find_their_places_on_any_network(mine: Path) -> None:
    topology = load_topology(mine)
    request = settled(load_request("cdn"), topology)
    assert (request["cells"], request["compute"]["site"], request["core"]) == (
        ["antenna"], "exchange", "frankfurtammain",
    )  # fmt: skip
    for name in ("enterprise-app", "cdn"):
        assert settled(load_request(name), load("ukqntel")) == load_request(name)
    assert places_in(load("metro-ring")).compute == ("metro1", "metro2", "metro3")
    with pytest.raises(WrongRequest, match="mine lacks a site of the tier core: add it to the file"):
        places_in(parse_text(MINE.replace("tier: core", "tier: metro"), "x"))


def test_an_experiment_finds_its_topology_beside_it(mine: Path) -> None:
    scenario = mine.parent / "mine-too.yaml"
    text = (SHIPPED / "link-cut.yaml").read_text()
    (mine.parent / "ring.yaml").write_text(to_yaml(to_document(load("metro-ring"))))
    scenario.write_text("\n".join(
        "topology: ring.yaml" if line.startswith("topology:") else line for line in text.splitlines()
    ))  # fmt: skip
    assert read_scenario(scenario).topology.name == "metro-ring"
    scenario.write_text(scenario.read_text().replace("ring.yaml", "rong.yaml"))
    with pytest.raises(WrongRequest, match=r"mine-too\.yaml:\d+: topology: unknown topology"):
        read_scenario(scenario)
    with pytest.raises(WrongRequest, match="has no site 'cell1'"):
        read_scenario(SHIPPED / "link-cut.yaml", load_topology(mine))
