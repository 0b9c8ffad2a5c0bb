"""Lanes share the suite's tests: each runs in exactly one, with the others of its module, and counts packets last."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from scripts.checks.check import ROOT, lane_arguments
from scripts.checks.lanes.bundles import Bundle, Claims, Kind, bundles, shared
from scripts.checks.pytest_parts import Part

MODULES = st.sampled_from(["a.py", "b.py", "c.py", "d.py", "e.py"])
SUITES = st.lists(st.builds(Kind, MODULES, on_outer_machine=st.booleans(), counts_packets=st.booleans()), max_size=40)


def run_lanes(tests: Sequence[Kind], lanes: int, turns: Iterator[int]) -> list[list[Bundle]]:
    """What each lane runs, the outer machine's first, when they come for their next bundle in the order of ``turns``;
    behind its end each comes in its own."""
    taken: set[int] = set()

    def take(bundle: Bundle) -> bool:
        is_free = bundle.number not in taken
        taken.add(bundle.number)
        return is_free

    coming = [shared(bundles(tests), on_outer_machine=number == 0, take=take) for number in range(lanes)]
    ran: list[list[Bundle]] = [[] for _ in coming]
    for turn in turns:
        ran[turn % lanes] += [bundle for bundle in [next(coming[turn % lanes], None)] if bundle]
    for number, rest in enumerate(coming):
        ran[number] += rest
    return ran


@given(tests=SUITES, lanes=st.integers(1, 4), turns=st.lists(st.integers(0, 11)))
def test_every_test_runs_in_exactly_one_lane_whoever_comes_first(
    tests: list[Kind], lanes: int, turns: list[int]
) -> None:
    ran = run_lanes(tests, lanes, iter(turns))
    places = [[place for bundle in lane for place in bundle.tests] for lane in ran]
    assert sorted(place for lane in places for place in lane) == list(range(len(tests)))
    kinds = [[tests[place] for place in lane] for lane in places]
    assert not any(kind.on_outer_machine for lane in kinds[1:] for kind in lane)
    for lane in kinds:
        counting = [kind.counts_packets for kind in lane]
        assert counting == sorted(counting)
    stretches = Counter(
        stretch for lane in kinds for stretch, _ in groupby((kind.module, kind.counts_packets) for kind in lane)
    )
    assert set(stretches.values()) <= {1}  # a network that tests share is made once
    assert all(list(bundle.tests) == sorted(bundle.tests) for lane in ran for bundle in lane)


def test_large_bundles_come_first_and_the_outer_machines_own_before_them() -> None:
    tests = [Kind("a"), *[Kind("b")] * 3, Kind("c", on_outer_machine=True), *[Kind("d", counts_packets=True)] * 9]
    assert [tests[bundle.tests[0]].module for bundle in run_lanes(tests, 1, iter(()))[0]] == ["c", "b", "a", "d"]


def test_of_many_that_claim_a_bundle_at_once_one_has_it(tmp_path: Path) -> None:
    wanted = bundles([Kind(f"{number}.py") for number in range(50)])

    def lane(_: int) -> list[int]:
        claims = Claims(tmp_path)
        return [bundle.number for bundle in shared(wanted, on_outer_machine=True, take=claims.take)]

    with ThreadPoolExecutor(8) as pool:
        ran = list(pool.map(lane, range(8)))
    assert sorted(number for mine in ran for number in mine) == list(range(50))


SUITE = """
# needs_root: for the lanes to read it
import os, time
from pathlib import Path
import pytest

@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Path(os.environ["UP"]).open("a") as file:
        file.write(f"{__name__} up\\n")
    yield
    with Path(os.environ["UP"]).open("a") as file:
        file.write(f"{__name__} down\\n")

@pytest.mark.parametrize("number", range(4))
def test_on_it(network, number):
    time.sleep(0.05)  # for the other lane to come in between
"""
OUTER = "# needs_root\nimport pytest\n\n@pytest.mark.outer_machine\ndef test_outside():\n    pass\n"
FAILING = "# needs_root\ndef test_that_fails():\n    assert 1 == 2\n"
MARKERS = "[pytest]\nmarkers =\n    outer_machine: outside\n    counts_packets: counts\n"


def test_no_test_is_passed_over_by_every_lane(tmp_path: Path) -> None:
    """Lanes read only files that name a mark: a mark from elsewhere is refused by whoever collects."""
    (tmp_path / "marks.py").write_text("import pytest\n\nNETWORK = pytest.mark.needs_tun\n")
    (tmp_path / "test_hidden.py").write_text("from marks import NETWORK\n\n@NETWORK\ndef test_on_it():\n    pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    needs_tun: tun\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "tests.conftest", "--collect-only"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stdout
    assert "test_hidden.py: its tests need a machine" in done.stderr


def test_pytests_share_a_suite(tmp_path: Path) -> None:
    """Three of them: each test is in one's report, the failure too; a module's network is up once at a time."""
    for name in ("test_a", "test_b", "test_c", "test_d"):
        (tmp_path / f"{name}.py").write_text(SUITE)
    (tmp_path / "test_outer.py").write_text(OUTER)
    (tmp_path / "test_failing.py").write_text(FAILING)
    (tmp_path / "test_of_the_rest.py").write_text("raise AssertionError('no lane has to load this')\n")
    (tmp_path / "pytest.ini").write_text(MARKERS)
    (tmp_path / "claims").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "UP": str(tmp_path / "up")}
    lanes = [
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={number}.xml",
             *lane_arguments(Part.NETWORKS, tmp_path / "claims", on_outer_machine=number == 0)],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    said = [lane.communicate()[0] for lane in lanes]
    reports = [ET.parse(tmp_path / f"{number}.xml").getroot().findall(".//testcase") for number in range(3)]
    ran = [f"{case.get('classname')}::{case.get('name')}" for cases in reports for case in cases]
    assert len(ran) == len(set(ran)) == 4 * 4 + 2, said
    assert "test_outer::test_outside" in {f"{case.get('classname')}::{case.get('name')}" for case in reports[0]}
    failed = [number for number, cases in enumerate(reports) if any(case.find("failure") is not None for case in cases)]
    assert [lane.returncode for lane in lanes] == [int(number in failed) for number in range(3)]
    assert len(failed) == 1
    ups = (tmp_path / "up").read_text().splitlines()
    assert Counter(ups) == {f"test_{x} {word}": 1 for x in "abcd" for word in ("up", "down")}
    assert all(ups.index(f"test_{x} up") < ups.index(f"test_{x} down") for x in "abcd")
