"""docs/reference/results.md names what runs write: nothing is missing, and nothing is there that is not written."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from scripts.bench.failover import run as failover
from scripts.bench.pce.run import Effort as PathsEffort
from scripts.bench.pce.run import run as bench_paths
from scripts.bench.scale import run as scale
from scripts.checks.soak import run as soak
from scripts.checks.soak.growth import Growth, Sample
from scripts.checks.soak.load import Carried, Done
from scripts.cli import main
from scripts.experiments.chaos.run import ChaosResult, keep
from scripts.experiments.report.results import write_results
from scripts.measure.process_usage import Usage
from scripts.vm.report import GuestReport, Proof
from tests.support.demo_report import example_report
from tests.support.origin import ORIGIN
from tests.support.results_reference import ORIGIN_HEADING, REFERENCE, documented, missing, names_in, unknown
from tests.unit.scripts.experiments.test_results import result

EXPERIMENT, BENCH, DEMO = "experiments/NAME/results.json", "bench/NAME/*.json", "demo/report.json"


def test_results_of_an_experiment(tmp_path: Path) -> None:
    write_results(result(), tmp_path, {}, "page")
    document = json.loads((tmp_path / "results.json").read_text())
    assert unknown(document, EXPERIMENT, ORIGIN_HEADING) == []
    assert set(missing(document, EXPERIMENT)) <= {"notes[]"} | {
        name
        for name in documented(EXPERIMENT)
        if name.startswith(
            (
                "results[].connections[]",
                "results[].findings",
                "violations",
                "arms.",
                "units.",
                "results[].refusals",
                "results[].metrics",
            )
        )
    }
    for name in ("samples.csv", "phases.csv"):
        with (tmp_path / name).open(newline="") as file:
            assert next(csv.reader(file)) == documented(f"experiments/NAME/{name}")


def test_results_of_two_arms(tmp_path: Path) -> None:
    both = result()
    both.arms, both.units = ["pce yen", "builtin"], {"longest-gap": "ms"}
    for repetition, arm in zip(both.results, itertools.cycle(both.arms), strict=False):
        repetition.arm, repetition.refusals, repetition.metrics = arm, {"class": 2}, {"longest-gap": 7.5}
    write_results(both, tmp_path, {}, "page")
    document = json.loads((tmp_path / "results.json").read_text())
    assert unknown(document, EXPERIMENT, ORIGIN_HEADING) == []
    assert not [name for name in missing(document, EXPERIMENT) if name.startswith(("arms.", "units."))]
    assert document["arms"]["pce yen"]["refusals"] == 2
    assert document["arms"]["pce yen"]["longest-gap"] == 7.5


def test_results_of_chaos(tmp_path: Path) -> None:
    found = ChaosResult(seed=4, faults=2, provenance=ORIGIN)
    found.unprotected = ["chaos-b/access"]
    found.tap = {"frames": 1, "esp_packets": 1, "clear_marker_frames": 1, "dropped": 0}
    keep(found, tmp_path)
    document = json.loads((tmp_path / "results.json").read_text())
    heading = "experiments/chaos/results.json"
    assert unknown(document, heading, ORIGIN_HEADING) == []
    assert not [name for name in missing(document, heading) if not name.startswith(("results[]", "viol", "counts"))]


def test_the_demos_report() -> None:
    document = json.loads(json.dumps(example_report().to_dict()))
    del document["network"]
    assert unknown(document, DEMO, ORIGIN_HEADING) == []
    empty = {"remarks[]", "slices[].timings_ms.STAGE", "network", "slices[].connections[].marker"}
    assert not set(missing(document, DEMO)) - empty


def test_bench_paths() -> None:
    report = bench_paths(PathsEffort(20, 10, 5, 3, 3, 10, 3, 2.0, (30,)))
    assert unknown(report, BENCH, "bench/paths/paths.json") == []
    assert not set(missing(report, "bench/paths/paths.json"))


def test_bench_failover() -> None:
    run = failover.Run("agg1-metro1-ch3", 1, 50.0, 51.0, 1000)
    found = {f"{c}.{d}": [run] for c in failover.CLASSES for d in failover.DETECTIONS}
    figures = failover.figures(found) | {"hundred_slices.last_restored_ms": 1.0, "hundred_slices.hit": 9}
    figures |= {"stp.outage_ms.p50": 30.0, "stp.runs": 1}
    document = {"figures": figures, "runs": {name: [asdict(each) for each in runs] for name, runs in found.items()}}
    heading = "bench/failover/failover.json"
    assert (unknown(document, heading), missing(document, heading)) == ([], [])


def test_bench_scale() -> None:
    size = scale.Size(48, 400)
    size.agents_mb = size.agent_starts_ms = size.set_ups_ms = size.restorations_ms = [1.0]
    document = {"figures": size.figures(), "runs": scale.as_list([size])}
    assert (unknown(document, "bench/scale/scale.json"), missing(document, "bench/scale/scale.json")) == ([], [])


def test_long_tests_and_those_in_a_guest() -> None:
    growth = Growth("kms", (1.0, 1.0), (1, 1), (1, 1), 0.1)
    options = argparse.Namespace(minutes=1, connections=1)
    done = Done(1, Carried(2, 1))
    report = soak._report(options, [Sample(0.0, {"kms": Usage(1, 1, 1, 1.0)})], [growth], done, ["x"])
    document = json.loads(json.dumps(report))
    assert (unknown(document, "soak/soak.json"), missing(document, "soak/soak.json")) == ([], [])
    guest = GuestReport("6.1", "kvm", (Proof("x", "passed", 1.0),), {"total": 1.0}).to_dict()
    assert (unknown(guest, "vm/report.json"), missing(guest, "vm/report.json")) == ([], [])


def test_bench_paths_of_an_extension(tmp_path: Path) -> None:
    words = ["--use", "pce=yen", "--instances", "5", "--out", str(tmp_path), "--json"]
    assert main.main(["bench", "paths", *words]) == 0
    document = json.loads((tmp_path / "use.json").read_text())
    assert unknown(document, BENCH, ORIGIN_HEADING, "bench/paths/use.json") == []
    assert not missing(document, "bench/paths/use.json")
    (named,) = document["provenance"]["extensions"]
    assert (named["kind"], named["name"], len(named["sha256"])) == ("pce", "yen", 64)


@pytest.mark.slow
def test_bench_kms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--seconds", "0.5", "--apps-seconds", "1", "--applications", "5", "--out", str(tmp_path), "--json"]
    assert main.main(["bench", "kms", *words]) == 0
    document = json.loads((tmp_path / "kms.json").read_text())
    assert document == json.loads(capsys.readouterr().out)
    assert unknown(document, BENCH, ORIGIN_HEADING, "bench/kms/kms.json") == []
    assert not missing(document, "bench/kms/kms.json")


@pytest.mark.slow
def test_bench_qkd(tmp_path: Path) -> None:
    main.main(["bench", "qkd", "--bits", "100000", "--no-peer", "--out", str(tmp_path), "--json"])
    document = json.loads((tmp_path / "qkd.json").read_text())
    assert unknown(document, BENCH, ORIGIN_HEADING, "bench/qkd/qkd.json") == []
    assert all("sequence" in name or "ratio" in name for name in missing(document, "bench/qkd/qkd.json"))


def test_names_are_told_once_in_each_table() -> None:
    headings = [line.lstrip("# ").strip("`") for line in REFERENCE.read_text().splitlines() if line.startswith("###")]
    assert len(headings) > 10
    for heading in headings:
        names = documented(heading)
        assert names, heading
        assert len(set(names)) == len(names), heading


def test_what_is_not_documented_is_found() -> None:
    assert unknown({"seed": 1, "sead": 2}, EXPERIMENT) == ["sead"]
    assert list(names_in({"a": [{"b": 1}, {"c": []}], "d": {}})) == ["a[].b", "a[].c[]", "d{}"]
