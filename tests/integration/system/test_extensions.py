"""The shipped extensions on real networks, and a liar, a sloth and a crasher in the place of path computation."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.support.launcher import answer, network_up, qslice
from tests.support.results_reference import ORIGIN_HEADING, unknown

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

BAD = REPOSITORY / "tests" / "support" / "extensions"
SCENARIO = """
name: parts
title: every kind of extension at once
topology: ukqntel
slices: [{example: enterprise-app}]
traffic: [{kind: ping}]
duration_s: 6
timeline:
  - {at_s: 1, do: loss-delay, target: {path_of: enterprise-app/cell1-compute}}
  - {at_s: 2, do: looks}
  - {at_s: 4, do: loss-delay end, target: {path_of: enterprise-app/cell1-compute}}
repetitions: 1
"""


def test_a_lazy_policy_costs_outage_beside_the_builtin_in_one_run(tmp_path: Path) -> None:
    words = ("--use", "healing=lazy", "--against", "builtin", "--repetitions", "2", "--time-scale", "0.6")
    document = answer("experiment", "run", "link-cut", *words, "--out", str(tmp_path), timeout_s=300)
    lazy, builtin = document["arms"]["healing lazy"], document["arms"]["builtin"]
    assert lazy["repetitions"] == builtin["repetitions"] == 2
    assert lazy["outage_ms_max"] > 900  # it waits a second
    assert builtin["outage_ms_max"] < lazy["outage_ms_max"]
    assert (lazy["refusals"], builtin["refusals"], document["violations"]) == (0, 0, [])
    assert [r["arm"] for r in document["results"]] == ["healing lazy", "builtin", "builtin", "healing lazy"]
    assert [e["name"] for e in document["provenance"]["extensions"]] == ["lazy"]
    assert unknown(document, "experiments/NAME/results.json", ORIGIN_HEADING) == []
    with (tmp_path / "phases.csv").open(newline="") as file:
        assert {row["arm"] for row in csv.DictReader(file)} == {"healing lazy", "builtin"}
    page = (tmp_path / "report.html").read_text()
    assert "Side by side" in page


def test_faults_steps_and_metrics_of_others_own(tmp_path: Path) -> None:
    file = tmp_path / "parts.yaml"
    file.write_text(SCENARIO)
    uses = ("fault=loss-delay", "metric=longest-gap", "pce=yen", f"step={BAD}/scenario_parts.py:Looks")
    words = [word for use in uses for word in ("--use", use)]
    document = answer("experiment", "run", str(file), *words, "--out", str(tmp_path / "out"), timeout_s=200)
    (repetition,) = document["results"]
    assert repetition["complete"]
    assert document["violations"] == []
    assert [fault["action"] for fault in repetition["faults"]] == ["loss-delay", "looks", "loss-delay end"]
    assert any(finding.startswith("looks") for finding in repetition["findings"])
    assert repetition["metrics"]["longest-gap"] > 0
    impaired = next(p for p in repetition["probes"] if p["connection"] == "enterprise-app/cell1-compute")
    before, *during, after = impaired["phases"]
    assert before["lost"] == 0
    assert 0 < sum(phase["lost"] for phase in during) < sum(phase["sent"] for phase in during)
    assert after["lost"] < after["sent"] / 2  # lifting it takes a moment
    assert repetition["recovered_s"] is not None


@pytest.mark.parametrize(
    ("name", "code"), [("LowerClass", "class"), ("Sloth", "late"), ("Crasher", "crashed"), ("Mutator", "mutated")]
)
def test_what_a_liar_answers_is_on_no_switch(name: str, code: str) -> None:
    with network_up(options=("--use", f"pce={BAD}/liars.py:{name}", "--deadline", "1")):
        before = answer("link", "list")
        told = qslice("slice", "create", "--example", "enterprise-app", "--json", timeout_s=60)
        assert told.returncode != 0
        refusal = json.loads(told.stdout)
        assert refusal["problem"]["code"] == "extension_failed"
        assert refusal["problem"]["status"] == 503
        assert "pce " in refusal["error"]
        assert answer("slice", "list") == []
        assert answer("link", "list") == before
        log = (REPOSITORY / ".state" / "logs" / "controller.log").read_text()
        assert f": {code}: " in log
