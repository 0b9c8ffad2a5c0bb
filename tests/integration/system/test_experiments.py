"""Every shipped scenario once, shortened, on real networks; chaos in small; and what an interruption leaves."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.console.progress import Progress
from scripts.experiments.report.results import ExperimentResult
from scripts.experiments.scripted.run import RunSettings, run_experiment
from scripts.experiments.scripted.scenario import find_scenario, parse_scenario, read_scenario, shipped_names
from scripts.measure.slices import create_slice
from scripts.testbed.faults import Fault, FaultKind
from scripts.testbed.life.run import RunOptions, Runtime
from scripts.testbed.paths import Layout
from scripts.testbed.running_system import RunningSystem
from tests.support.launcher import argv, environment, footprint, left_since, qslice
from tests.support.origin import ORIGIN
from tests.support.results_reference import ORIGIN_HEADING, unknown
from tests.support.wait import PATIENCE, wait_until
from topologies.catalog import load

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

TIME_SCALE = 0.4
SCENARIOS = {name: read_scenario(find_scenario(name)) for name in shipped_names()}


def on(topology: str) -> list[str]:
    return [name for name, scenario in SCENARIOS.items() if scenario.topology.name == topology]


def running(topology: str) -> Iterator[RunningSystem]:
    before = footprint()
    with Runtime(load(topology), Layout(), RunOptions()) as runtime:
        runtime.start()
        yield RunningSystem(runtime.record, Layout())
    assert left_since(before) == {}


def run(system: RunningSystem, name: str, folder: Path) -> ExperimentResult:
    settings = RunSettings(1, 1, ORIGIN, TIME_SCALE)
    with Progress(name, expected_s=10) as progress:
        result = run_experiment(system, SCENARIOS[name], settings, folder, progress)
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert document["violations"] == []
    assert unknown(document, "experiments/NAME/results.json", ORIGIN_HEADING) == []
    (repetition,) = document["results"]
    assert repetition["complete"]
    assert repetition["recovered_s"] is not None
    assert len(repetition["faults"]) >= 2
    assert all(p["sent"] > 100 and p["lost"] < p["sent"] for p in repetition["probes"]), repetition["probes"]
    ET.fromstring((folder / "report.html").read_text(encoding="utf-8").partition("\n")[2])
    assert {f"network-{x}.svg" for x in ("before", "failure", "healed")} <= {p.name for p in folder.iterdir()}
    assert system.faults.active() == ()
    return result


def changes_of(result: ExperimentResult, connection: str) -> list[list[str]]:
    """The paths that a connection had, in order, each once."""
    (found,) = [c for c in result.results[0].connections if c["id"] == connection]
    paths: list[list[str]] = []
    for state in found["states"]:
        if state["path"] and (not paths or paths[-1] != state["path"]):
            paths.append(state["path"])
    return paths


def state_of(system: RunningSystem, name: str) -> Any:
    return system.api("GET", f"/v1/slices/{name}")[1]["state"]


def assert_keys_suffer_and_nothing_else(result: ExperimentResult) -> None:
    """Slower, over another relay, DEGRADED and why, and all as it was; the same key source, and packets throughout."""
    (states,) = [c["states"] for c in result.results[0].connections if c["id"] == "tapped/compute-core"]
    assert {s["key_source"] for s in states} == {"qkd"}
    relays = [s["key_links"] for s in states]
    assert relays[0] == ["metro1-core1"]
    assert any(r and "metro1-core1" not in r for r in relays), relays
    assert max(s["rekey_s"] for s in states) > 3.0
    degraded = [s for s in states if s["state"] == "DEGRADED"]
    assert degraded
    assert all(re.search(r"section q-\S+ gives 0\.0 of the 85\.3 bit/s", s["reason"]) for s in degraded), degraded
    assert [p for p in result.results[0].probes if p.connection == "tapped/compute-core" and p.lost] == []


def assert_healed_without_the_kms(result: ExperimentResult) -> None:
    """The QKD connection's cut path is replaced while no key rate is known, with the relay that it has."""
    (states,) = [c["states"] for c in result.results[0].connections if c["id"] == "keyed/compute-core"]
    assert len({tuple(s["path"]) for s in states if s["state"] == "ACTIVE"}) >= 2, states
    assert {tuple(s["key_links"]) for s in states if s["state"] == "ACTIVE"} == {tuple(states[0]["key_links"])}
    assert not [s for s in states if "no feasible path" in s["reason"] or "no QKD keys" in s["reason"]], states


@pytest.fixture(scope="class")
def metro_ring() -> Iterator[RunningSystem]:
    yield from running("metro-ring")


class TestOnMetroRing:
    """On one network, taken down before the next tests bring up theirs."""

    @pytest.mark.parametrize("name", on("metro-ring"))
    def test_scenarios_on_metro_ring(self, metro_ring: RunningSystem, name: str, tmp_path: Path) -> None:
        result = run(metro_ring, name, tmp_path)
        # At least: a busy machine loses BFD's packets too, and every loss of a session moves what is on the channel.
        moves = {"link-cut": "restored/cell1-compute", "flapping": "steady/cell1-compute"}
        if name in moves:
            assert len(changes_of(result, moves[name])) >= 2
        elif name == "double-failure":
            assert len(changes_of(result, "twice/compute-core")) >= 3
        elif name == "eavesdropper":
            assert_keys_suffer_and_nothing_else(result)
        elif name == "kms-outage":
            assert_healed_without_the_kms(result)

    def test_faults_overlap_on_a_real_network_and_all_are_lifted(self, metro_ring: RunningSystem) -> None:
        request = SCENARIOS["flapping"].requests[0]
        create_slice(metro_ring, request)
        try:
            faults = [
                Fault(FaultKind.POWER_OFF, "agg1"),
                Fault(FaultKind.CUT, "cell1-agg1-qra"),
                Fault(FaultKind.BLACKHOLE, "cell1-agg2-none"),
                Fault(FaultKind.EAVESDROP, "q-agg1-metro1"),
                Fault(FaultKind.KILL, "tunnel-core2"),
            ]
            outcome = metro_ring.faults.inject(*faults)
            assert "hidden behind: node down agg1" in outcome.note
            assert metro_ring.faults.active() == tuple(faults)
            assert len(metro_ring.faults.lift_all().faults) == len(faults)
            assert metro_ring.faults.active() == ()
            wait_until(lambda: state_of(metro_ring, request["name"]) == "ACTIVE", timeout_s=20, interval_s=0.2)
        finally:
            metro_ring.faults.lift_all()
            metro_ring.api("DELETE", f"/v1/slices/{request['name']}")

    def test_datagrams_and_iperf_are_traffic_too(self, metro_ring: RunningSystem, tmp_path: Path) -> None:
        text = find_scenario("flapping").read_text(encoding="utf-8")
        head, rest = text.split("traffic:\n")[0], "duration_s" + text.split("duration_s")[1]
        traffic = "  - {kind: udp, rate_pps: 100}\n  - {kind: iperf3, connections: [steady/cell1-control]}\n"
        scenario = parse_scenario(f"{head}traffic:\n{traffic}{rest}", "traffic.yaml")
        with Progress("traffic", expected_s=10) as progress:
            result = run_experiment(metro_ring, scenario, RunSettings(1, 1, ORIGIN, TIME_SCALE), tmp_path, progress)
        probes = {(p.connection, p.kind): p for p in result.results[0].probes}
        assert probes["steady/compute-core", "udp"].sent > 300
        assert probes["steady/compute-core", "udp"].lost < 100
        mbps = probes["steady/cell1-control", "iperf3"].mbps
        assert mbps is not None
        assert 0.1 < mbps < 1.1


def test_scenarios_on_ukqntel(tmp_path: Path) -> None:
    for system in running("ukqntel"):
        for name in on("ukqntel"):
            folder = tmp_path / name
            folder.mkdir()
            result = run(system, name, folder)
            if name == "split-and-heal":
                findings = " ".join(result.results[0].findings)
                assert "was DEGRADED: " in findings or len(changes_of(result, "enterprise-app/cell1-compute")) > 1


def test_chaos_in_small(tmp_path: Path) -> None:
    words = ("experiment", "run", "chaos", "--faults", "12", "--seed", "3", "--json")
    done = qslice(*words, "--out", str(tmp_path), timeout_s=170)
    document = json.loads(done.stdout)
    assert document["violations"] == []
    assert done.returncode == 0, done.stderr
    assert (document["experiment"], document["seed"]) == ("chaos", 3)
    assert sum(step["do"].startswith(("inject", "flap")) for step in document["results"]) == 12
    assert sum(document["counts"].values()) == 12
    assert all(step["took_s"] >= step["done_s"] >= 0 for step in document["results"])
    assert document["checks"] >= 3
    assert document["tap"]["clear_marker_frames"] > 0


def test_chaos_catches_a_controller_that_lowers_security(tmp_path: Path) -> None:
    words = ("experiment", "run", "chaos", "--faults", "12", "--seed", "1", "--kinds", "link-down", "--json")
    done = qslice(*words, "--mutation", "lower-security-on-reroute", "--out", str(tmp_path), timeout_s=170)
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert any("asked for" in v["what"] and " is on " in v["what"] for v in document["violations"])
    assert document["mutation"] == "lower-security-on-reroute"


def test_an_interrupted_run_keeps_what_it_has_and_leaves_nothing(tmp_path: Path) -> None:
    before = footprint()
    words = ("experiment", "run", "split-and-heal", "--repetitions", "5", "--time-scale", "0.2", "--out", str(tmp_path))
    process = subprocess.Popen(argv(*words), stderr=subprocess.PIPE, text=True, env=environment())
    try:
        wait_until((tmp_path / "results.json").exists, timeout_s=60, interval_s=0.0005)  # the first file of several
        process.send_signal(signal.SIGINT)
        assert process.wait(60 * PATIENCE) == 130
    finally:
        process.kill()
        process.communicate()
    document = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert document["results"][0]["complete"]
    assert (tmp_path / "report.html").exists()
    assert left_since(before) == {}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["nothing"], "link-cut"),
        (["link-cut", "--repetitions", "0"], "--repetitions"),
        (["link-cut", "--faults", "3"], "--faults"),
        (["chaos", "--faults", "0"], "--faults"),
        (["chaos", "--kinds", "earthquake"], "earthquake"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_starts(words: list[str], names: str) -> None:
    before = footprint()
    done = qslice("experiment", "run", *words)
    assert done.returncode == 2
    assert names in done.stderr
    assert left_since(before) == {}


BESIDE = """\
name: beside
title: what a timeline may do beside faults
topology: metro-ring
slices:
  - request:
      name: plain
      sNSSAI: {sst: 1}
      connections:
        - {name: only, from: cell1, to: metro1, security: none, bandwidth_mbps: 4, latency_ms: 200}
traffic:
  - {kind: ping, rate_pps: 100}
duration_s: 9
timeline:
  - {at_s: 0.5, do: assert, target: plain/only, state: ACTIVE, lost_at_most: 0}
  - {at_s: 1, do: link impair, target: {path_of: plain/only}, loss_pct: 10, delay_ms: 20}
  - {at_s: 2, do: exec, target: cell1, run: "ip -br address show dev data0"}
  - {at_s: 4, do: link up, target: {path_of: plain/only}}
  - {at_s: 5, do: slice patch, target: plain, patch: {connections: {only: {bandwidth_mbps: 6}}}}
  - {at_s: 5.5, do: slice patch, target: plain, patch: {connections: {only: {bandwidth_mbps: 1000000}}}, refused: true}
  - {at_s: 6, do: exec, target: cell1, run: [sh, -c, exit 7], status: 7}
  - {at_s: 7, do: assert, target: plain/only, state: ACTIVE, within_s: 1}
repetitions: 1
"""


def test_impairments_changes_commands_and_assertions_in_a_timeline(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(BESIDE)
    done = qslice("experiment", "run", str(tmp_path / "good.yaml"), "--out", str(tmp_path / "good"), "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["violations"]) == (0, []), document
    (repetition,) = document["results"]
    found = " | ".join(repetition["findings"])
    assert "cell1: ip -br address show dev data0: status 0: data0" in found
    assert "slice plain was changed" in found
    assert "slice plain was not changed: " in found
    assert "sh -c 'exit 7': status 7" in found
    assert "plain/only is ACTIVE: held" in found
    assert "plain/only had lost 0 probes, at most 0 as asserted" in found
    (probe,) = repetition["probes"]
    phases = {p["after"] if "after" in p else p.get("label"): p for p in probe["phases"]}
    impaired = next(p for label, p in phases.items() if label and "impair" in label)
    assert 0.05 < impaired["lost"] / impaired["sent"] < 0.4  # 10 % each way
    wrong = BESIDE.replace("lost_at_most: 0", "lost_at_most: 0, over: core1-core2-qkd").replace(
        "status: 7", "status: 0"
    )
    wrong = wrong.replace("refused: true", "refused: false").replace(
        "{at_s: 7, do: assert, target: plain/only, state: ACTIVE",
        "{at_s: 7, do: assert, target: plain/only, lost_at_most: 1",
    )
    (tmp_path / "wrong.yaml").write_text(wrong)
    done = qslice("experiment", "run", str(tmp_path / "wrong.yaml"), "--out", str(tmp_path / "wrong"), "--json")
    violations = json.loads(done.stdout)["violations"]
    assert done.returncode == 1
    assert len(violations) == 4, violations
