"""``bench provision`` on the real system, in small. (That it leaves a network alone that is up: test_system.)"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.launcher import footprint, left_since, qslice

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_ovs,
    pytest.mark.needs_tun,
    pytest.mark.slow,
    pytest.mark.counts_packets,
]


def test_two_runs_of_each_use_case(tmp_path: Path) -> None:
    before = footprint()
    done = qslice("bench", "provision", "--runs", "2", "--json", "--out", str(tmp_path), timeout_s=150)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    figures = report["figures"]
    assert report["bench"] == "provision"
    assert figures["runs"] == 2
    for case in ("enterprise-app", "cdn"):
        assert figures[f"{case}.failures"] == 0
        reserved, barriers, active = (figures[f"{case}.stages.{s}_ms.p50"] for s in ("reserved", "barriers", "active"))
        assert 0 < reserved < barriers < active
        # A packet needs the rules and the keys: none can have been delivered before both were there.
        assert figures[f"{case}.to_first_packet_ms.min"] > figures[f"{case}.stages.active_ms.min"]
        assert figures[f"{case}.teardown_ms.p50"] > 0
    assert (tmp_path / "histograms.png").stat().st_size > 10_000
    kept = json.loads((tmp_path / "provision.json").read_text())
    assert [len(kept["runs"][case]) for case in ("enterprise-app", "cdn")] == [2, 2]
    assert left_since(before) == {}


def test_three_slices_more_and_more(tmp_path: Path) -> None:
    done = qslice("bench", "provision", "--slices", "3", "--json", "--out", str(tmp_path), timeout_s=150)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert figures["fill.slices"] == 3
    assert figures["fill.failures"] == 0
    assert (tmp_path / "fill.png").exists()
