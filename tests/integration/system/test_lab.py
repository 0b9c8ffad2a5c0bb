"""The exercises of `qslice lab` on a real network: right solutions pass their checks, wrong ones do not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.lab.course import check, reset, start
from scripts.lab.eavesdropper import sections_of
from scripts.testbed import Testbed
from scripts.testbed.paths import REPOSITORY
from tests.support.launcher import environment
from tests.support.wait import PATIENCE

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

NO_EAVESDROPPER = 0.016  # the error rate of an untouched section


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with Testbed("metro-ring") as made:
        yield made


@pytest.fixture(autouse=True)
def as_before(testbed: Testbed) -> Iterator[None]:
    yield
    reset()
    assert (testbed.slices(), testbed.faults()) == ((), ())


def request(name: str, **asked: Any) -> dict[str, Any]:
    connection = {"name": "data", "latency_ms": 20, **asked}
    return {"name": name, "sNSSAI": {"sst": 1, "sd": "0000E1"}, "connections": [connection]}


def application(**access: Any) -> dict[str, Any]:
    return {
        "name": "lab1", "sNSSAI": {"sst": 1, "sd": "0000E1"}, "cells": ["cell1", "cell2"], "core": "core2",
        "compute": {"site": "metro2", "vcpus": 4, "memory_gb": 8},
        "connections": {
            "control": {"security": "dh", "bandwidth_mbps": 1, "latency_ms": 20},
            "access": {"security": "qra", "bandwidth_mbps": 10, "latency_ms": 10, **access},
            "backhaul": {"security": "qkd", "bandwidth_mbps": 20, "latency_ms": 15},
        },
    }  # fmt: skip


def complaints(number: int, *answers: str) -> list[str]:
    return [finding.what for finding in check(number, answers).findings if not finding.ok]


def test_a_slice_that_satisfies_the_needs(testbed: Testbed) -> None:
    assert complaints(1) == ["lab1 exists"]
    testbed.create(application(security="dh"))
    wrong = [f"{cell} - metro2: {what}" for what in ("keys", "keys in use at both ends") for cell in ("cell1", "cell2")]
    # A busy machine may lose a packet of those that a check sends: it says so, and the next one does not.
    testbed.wait_until(lambda: complaints(1) == wrong, 20 * PATIENCE, "only the keys are wrong")
    testbed.delete("lab1")
    testbed.create(application())
    testbed.wait_until(lambda: complaints(1) == [], 20 * PATIENCE, "nothing is wrong")


def test_a_cut_and_its_reroute_explained(testbed: Testbed) -> None:
    start(2)
    before = testbed.connection("lab2/data")
    cut = before.path[1]
    said = (f"cut={cut}", f"path={','.join(before.path)}", "class=qra", "cause=failure")
    wrong = complaints(2, *said)
    assert {"the channel is cut", "the cut moved the connection", "the cause of the move"} <= set(wrong)
    before = testbed.connection("lab2/data")  # on a busy machine a failed probe may have moved it meanwhile
    cut = before.path[1]
    testbed.cut(cut)
    testbed.wait_until(lambda: cut not in (now := testbed.connection("lab2/data")).path and now.path, 10 * PATIENCE)
    said = (f"cut={cut}", f"path={','.join(before.path)}", "class=qra", "cause=failure")
    # The move is told when it is done: a moment after the new path.
    testbed.wait_until(lambda: complaints(2, *said) == ["the path in use now"], 10 * PATIENCE, "the move is told")
    now = testbed.connection("lab2/data")
    assert complaints(2, said[0], f"path={','.join(now.path)}", *said[2:]) == []


def test_an_eavesdropper_found_by_the_error_rate(testbed: Testbed) -> None:
    testbed.wait_until(lambda: all(s.state == "active" for s in testbed.keys().sections.values()), 60 * PATIENCE)
    start(3)
    (attacked,) = (s for s in sections_of(testbed) if s["eavesdropped_fraction"] > 0)
    assert testbed.faults() == (), "no list of faults gives her away"

    def seen() -> tuple[str, float]:
        section = max(testbed.keys().sections.values(), key=lambda s: s.qber or 0.0)
        return section.id, 4 * ((section.qber or 0.0) - NO_EAVESDROPPER)

    testbed.wait_until(lambda: abs(seen()[1] - attacked["eavesdropped_fraction"]) < 0.06, 90 * PATIENCE, "QBER settles")
    section, share = seen()
    assert section == attacked["id"]
    assert testbed.keys().sections[section].state == "active", "too little to stop the section"
    assert complaints(3, f"section={section}", f"share={share}") == []
    assert complaints(3, f"section={section}", f"share={share + 0.3}") == ["the share"]
    other = next(s.id for s in testbed.keys().sections.values() if s.id != section)
    assert complaints(3, f"section={other}", f"share={share}") == ["the section", "the share"]


def test_a_request_that_is_refused_and_the_most_that_fits(tmp_path: Path) -> None:
    asked = {"from": "cell2", "to": "core2", "security": "qkd", "protection": "1:1"}

    def file(name: str, mbps: float, **changes: Any) -> str:
        (tmp_path / name).write_text(json.dumps(request("images", **{**asked, "bandwidth_mbps": mbps, **changes})))
        return str(tmp_path / name)

    hospital = file("refused.json", 150)
    assert complaints(4, f"refused={hospital}", f"fits={file('fits.json', 100)}") == []
    for name, mbps, changes, said in (
        ("less.json", 60, {}, "the second request is the greatest that fits"),
        ("more.json", 120, {}, "the second request is the greatest that fits"),
        ("other.json", 100, {"protection": "none"}, "the second request differs in the bandwidth alone"),
    ):
        assert complaints(4, f"refused={hospital}", f"fits={file(name, mbps, **changes)}") == [said]
    fits = file("fits.json", 100)
    assert complaints(4, f"refused={fits}", f"fits={fits}") == ["the hospital's request"]


@pytest.mark.counts_packets
def test_a_slice_that_survives_a_cut_without_loss(testbed: Testbed) -> None:
    asked = {"from": "cell1", "to": "core2", "security": "qra", "bandwidth_mbps": 10}
    testbed.create(request("lab5", **asked, protection="restoration"))
    assert complaints(5) == ["a backup path stands ready on other fibres", "no packet is lost"]
    testbed.delete("lab5")
    testbed.create(request("lab5", **asked, protection="1:1"))
    assert complaints(5) == []


def test_the_command_says_what_holds(testbed: Testbed) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli.main", "lab", "check", "1", "--json"],
        cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=60 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)["checks"][0] == {
        "name": "lab1 exists", "ok": False, "detail": "there is no such slice: create it, then check again"
    }  # fmt: skip
