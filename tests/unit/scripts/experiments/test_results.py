"""What an experiment computes and draws from its samples."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

from scripts.experiments.levels import too_weak
from scripts.experiments.observe import Change, Look, Observer, silent_spells
from scripts.experiments.report.page import draw_pictures, render
from scripts.experiments.report.results import Event, ExperimentResult, Picture, ProbeResult, Repetition, write_results
from scripts.experiments.report.statistics import Sample, distribution, longest_outage_ms, percentile, phases
from tests.support.origin import ORIGIN
from topologies.catalog import load

TOPOLOGY = load("ukqntel")
# 100 probes a second for four seconds; those from 1.00 to 1.29 s and the one at 2.50 s are lost.
SAMPLES = tuple(
    Sample(n / 100, None if 100 <= n < 130 or n == 250 else 1.0 + n % 7) for n in range(400)
)  # fmt: skip


def test_phases_count_losses_between_events_and_the_longest_silence() -> None:
    start, cut, mended = phases(SAMPLES, [(1.0, "link down x"), (2.0, "link up x")], 4.0)
    assert (start.after, start.sent, start.lost, start.outage_ms) == ("start", 100, 0, 0.0)
    assert (cut.sent, cut.lost) == (100, 30)
    assert abs(cut.outage_ms - 300) < 1e-6
    assert (mended.sent, mended.lost) == (200, 1)
    assert abs(mended.outage_ms - 10) < 1e-6


def test_an_outage_that_does_not_end_lasts_to_the_end() -> None:
    assert longest_outage_ms([Sample(1.0, 2.0), Sample(2.0, None), Sample(3.0, None)], 5.0) == 3000.0
    assert longest_outage_ms([], 5.0) == 0.0


def test_percentiles_and_distribution() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.99) == 3
    assert percentile([], 0.5) is None
    assert distribution([5, 5, 10, 20]) == [(5, 0.5), (10, 0.75), (20, 1.0)]


def test_belief_against_fact() -> None:
    active, degraded = Look("ACTIVE", ("x",)), Look("DEGRADED", ())
    changes = [Change(0.0, active), Change(5.0, degraded), Change(8.0, active)]
    assert silent_spells(changes, [(3.0, 9.5)], least_s=1.0, end_s=10.0) == [(3.0, 5.0), (8.0, 9.5)]
    assert silent_spells(changes, [(4.5, 8.2)], least_s=1.0, end_s=10.0) == []


def test_a_path_below_the_class_asked_for_is_a_violation() -> None:
    view = {"required": "qkd", "path": ["agg1-metro1-ch4", "metro1-core1-ch3"]}
    assert "metro1-core1-ch3 (qra)" in str(too_weak(TOPOLOGY, "s/c", view))
    assert too_weak(TOPOLOGY, "s/c", {**view, "path": ["agg1-metro1-ch4"]}) is None


class _LoweringController:
    """A controller that lowers security when it reroutes: the mutation that the observer must catch."""

    topology = TOPOLOGY

    def __init__(self) -> None:
        self._asked = 0

    def api(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        self._asked += 1
        channel = "agg1-metro1-ch4" if self._asked == 1 else "agg1-metro1-ch1"
        view = {"name": "c", "state": "ACTIVE", "path": [channel], "required": "qkd", "key_source": "qkd"}
        return 200, {"slices": [{"name": "s", "connections": [view]}]}


def test_a_controller_that_lowers_security_is_caught() -> None:
    observer = Observer(_LoweringController(), 0.0)
    observer.sample()
    assert observer.violations == []
    observer.sample()
    observer.sample()
    assert observer.violations == ["s/c asked for qkd and is on agg1-metro1-ch1 (none)"]


def result() -> ExperimentResult:
    events = [
        Event(1.0, 1.001, "link down", "agg1-metro1-ch3", True, "cut"),
        Event(2.0, 2.001, "link up", "agg1-metro1-ch3", False, "lifted"),
    ]
    found = phases(SAMPLES, [(e.at_s, e.label) for e in events], 4.0)
    probe = ProbeResult("s/c", "ping", "restoration", "qra", True, SAMPLES, found)
    pictures = {
        "before": Picture({"agg1-metro1-ch3": ["s/c"]}, []),
        "failure": Picture({"agg1-metro1-ch3": ["s/c"]}, ["agg1-metro1-ch3"]),
        "healed": Picture({"agg1-metro1-ch4": ["s/c"]}, ["agg1-metro1-ch3"]),
    }
    repetition = Repetition(1, True, events, [probe], [], pictures, 0.5, ["<odd> & found"], [])
    return ExperimentResult("test", "A <test>", "look", 7, 2, TOPOLOGY, 4.0, ORIGIN, [], [repetition])


def test_the_document_is_that_of_the_contract() -> None:
    document = json.loads(json.dumps(result().to_dict()))
    assert {"experiment", "seed", "repetitions", "results", "violations"} <= set(document)
    assert (document["experiment"], document["seed"], document["repetitions"]) == ("test", 7, 2)
    assert document["violations"] == []
    assert document["results"][0]["probes"][0]["lost"] == 31
    (outage,) = result().outages_by_class()["restoration"]  # from the first lost probe to the next that came
    assert abs(outage - 290) < 20


def test_everything_is_written_and_well_formed(tmp_path: Path) -> None:
    done = result()
    write_results(done, tmp_path, draw_pictures(done), render(done))
    names = {p.name for p in tmp_path.iterdir()}
    assert {"results.json", "samples.csv", "phases.csv", "report.html", "outages.svg", "timeline-1.svg"} <= names
    assert {"network-before.svg", "network-failure.svg", "network-healed.svg"} <= names
    for path in tmp_path.glob("*.svg"):
        ET.fromstring(path.read_text(encoding="utf-8"))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    ET.fromstring(page.partition("\n")[2])
    assert "http://" not in page.replace("http://www.w3.org", "")
    with (tmp_path / "samples.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 400
    assert sum(row["took_ms"] == "" for row in rows) == 31


def test_an_experiment_that_lost_nothing_or_was_cut_short_still_draws() -> None:
    empty = ExperimentResult("test", "t", "", 1, 3, TOPOLOGY, 4.0, ORIGIN, [], [Repetition(1)])
    ET.fromstring(render(empty).partition("\n")[2])
    for text in draw_pictures(empty).values():
        ET.fromstring(text)
