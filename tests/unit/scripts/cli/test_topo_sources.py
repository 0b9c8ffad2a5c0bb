"""`topo import`, `topo random` and `topo draw`: files that `up` would take, and errors that name the option."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.cli.main import main
from topologies.files import load_topology

NODE_LINK = {
    "graph": {"name": "mine", "demands": {"1": {"2": 4}}},
    "nodes": [
        {"id": 1, "name": "Köln", "lon": 6.96, "lat": 50.94},
        {"id": 2, "name": "Bonn", "lon": 7.1, "lat": 50.74},
    ],
    "edges": [{"source": 1, "target": 2}],
}


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(NODE_LINK))
    return str(path)


def test_an_import_is_a_file_with_its_assumptions(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, requests = tmp_path / "mine.yaml", tmp_path / "slices.yaml"
    assert main(["topo", "import", source, "--out", str(out), "--demands-as", str(requests)]) == 0
    assert "2 sites, 4 channels, 1 QKD sections" in capsys.readouterr().out
    topology = load_topology(out)
    assert [(s.name, s.label) for s in topology.sites] == [("koln", "Köln"), ("bonn", "")]
    assert topology.channels[0].length_km == pytest.approx(24.3, abs=0.1)
    header = [line for line in out.read_text().splitlines() if line.startswith("#")]
    assert any("great circles" in line for line in header)
    slices = yaml.safe_load(requests.read_text())["slices"]
    assert [(c["from"], c["to"], c["bandwidth_mbps"]) for s in slices for c in s["connections"]] == [
        ("koln", "bonn", 50.0)
    ]
    assert main(["topo", "validate", str(out)]) == 0


def test_without_a_file_it_is_printed(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topo", "import", source, "--name", "other"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["name"] == "other"
    assert main(["topo", "import", source, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["sites"], told["channels"], told["requests"]) == (2, 4, None)
    assert told["assumptions"]


def test_rules_from_a_file_and_from_the_command_line(source: str, tmp_path: Path) -> None:
    rules, out = tmp_path / "rules.yaml", tmp_path / "out.yaml"
    rules.write_text("fibres:\n  - channels: [qra]\nkm: {detour: 2}\n")
    assert main(["topo", "import", source, "--rules", str(rules), "--set", "km.detour=1", "--out", str(out)]) == 0
    topology = load_topology(out)
    assert [c.security.label for c in topology.channels] == ["qra"]
    assert topology.channels[0].length_km == pytest.approx(24.3, abs=0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "km.defult=1"], "--set: --set: km.defult: there is no such field"),
        (["--set", "km"], "--set: 'km' is not of the form PATH=VALUE"),
        (["--set", "km.default=["], "is not YAML"),
        (["--rules", "/dev/null/rules"], "--rules: /dev/null/rules: cannot be read"),
        (["--out", "/dev/null/x.yaml"], "--out: cannot write /dev/null/x.yaml"),
        (["--format", "gml"], "SOURCE: "),
    ],
)
def test_a_wrong_option_is_named(source: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topo", "import", source, *words]) == 2
    assert said in capsys.readouterr().err


def test_the_line_of_a_wrong_rule_is_named(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("km:\n  default: 1\ntiers:\n  - {tier: cell}\n  - {tier: cloud}\n")
    assert main(["topo", "import", source, "--rules", str(rules)]) == 2
    assert f"{rules}:5: tiers[1].tier" in capsys.readouterr().err


def test_a_rules_file_without_rules_is_not_taken_for_a_topology(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("# none yet\n")
    assert main(["topo", "import", source, "--rules", str(rules)]) == 2
    assert "the file is empty: `topo schema --rules` prints what it may say" in capsys.readouterr().err


def test_a_source_without_demands_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out, requests = tmp_path / "g.json", tmp_path / "g.yaml", tmp_path / "r.yaml"
    source.write_text(json.dumps({**NODE_LINK, "graph": {}}))
    assert main(["topo", "import", str(source), "--out", str(out), "--demands-as", str(requests)]) == 2
    assert "no traffic matrix" in capsys.readouterr().err
    assert not out.exists()
    assert not requests.exists()


def test_topohub_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "topohub", None)
    assert main(["topo", "import", "topohub:sndlib/polska"]) == 3
    assert "pip install" in capsys.readouterr().err


def test_a_random_network_and_its_slices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, requests = tmp_path / "random.yaml", tmp_path / "slices.yaml"
    words = ["topo", "random", "--seed", "5", "--slices", "2", "--nodes", "5", "--node-weights", "3..4"]
    assert main([*words, "--out", str(out), "--slices-as", str(requests)]) == 0
    first = out.read_text()
    topology = load_topology(out)
    assert {s.vcpus for s in topology.sites} == {3, 4}
    assert "--seed 5 --slices 2 --nodes 5 --node-weights 3..4" in first.splitlines()[0]
    assert [s["name"] for s in yaml.safe_load(requests.read_text())["slices"]] == ["slice1", "slice2"]
    assert main([*words, "--out", str(out)]) == 0
    assert out.read_text() == first
    capsys.readouterr()
    assert main(["topo", "random", "--tiers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sites"] == 24
    assert main(["topo", "random", "--within", "2"]) == 2
    assert "probability within slices is 2" in capsys.readouterr().err
    assert main(["topo", "random", "--km", "many"]) == 2


def test_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ring.svg"
    assert main(["topo", "draw", "metro-ring", "--out", str(out)]) == 0
    assert out.read_text().startswith("<svg ")
    capsys.readouterr()
    assert main(["topo", "draw", "metro-ring", "--weights", "latency"]) == 0
    assert "ms one way" in capsys.readouterr().out
    assert main(["topo", "draw", "no-such"]) == 2
    assert "NAME|FILE: unknown topology 'no-such'" in capsys.readouterr().err


def test_a_mininet_topo_from_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "campus.py").write_text(
        "from mininet.topo import Topo\n"
        "class Campus(Topo):\n"
        "    def build(self, n=2):\n"
        "        hub = self.addSwitch('s1')\n"
        "        for i in range(n):\n"
        "            self.addLink(hub, self.addSwitch(f's{i + 2}'), delay='49us', bw=1000)\n"
    )
    root = Path(__file__).parents[4]
    words = [sys.executable, "-m", "scripts.cli.main", "topo", "import", "campus:Campus,3", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}  # as the launcher sets them
    found = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["sites"] == 4
    assert {f["km"] for f in told["document"]["fibres"]} == {10.0}
