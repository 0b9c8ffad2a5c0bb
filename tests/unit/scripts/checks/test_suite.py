"""The suite's two parts beside each other: what belongs to which, how they end, and what is told of both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.checks.check import ROOT
from scripts.checks.pytest_parts import Counts, Job, Part, Reports, Tests
from tests import conftest
from tests.support.wait import PATIENCE, wait_until

NETWORKS = """<?xml version="1.0"?><testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"
time="4.56"><testcase classname="tests.a" name="one"/><testcase classname="tests.a" name="two"><failure>what
it was</failure></testcase>
<testcase classname="tests.a" name="three[x]"><error/></testcase></testsuite></testsuites>"""
REST = """<testsuites><testsuite name="pytest" errors="0" failures="1" skipped="0" tests="7" time="3.2">
<testcase classname="tests.b.Many" name="four"><failure/></testcase></testsuite></testsuites>"""


def test_what_a_machine_can_lack_is_made_on_networks_and_nothing_else() -> None:
    needs = {*conftest._NEEDS, *conftest._KERNEL_NEEDS}
    assert set(Part.NETWORKS.selection.split(" or ")) == needs
    assert Part.REST.selection == f"not ({Part.NETWORKS.selection})"


@pytest.fixture
def reports(tmp_path: Path) -> dict[str, Path]:
    files = {"networks": tmp_path / "networks.xml", "rest": tmp_path / "rest.xml"}
    for file, text in zip(files.values(), (NETWORKS, REST), strict=True):
        file.write_text(text)
    return files


def test_counts_add_up_and_the_longer_part_is_the_time(reports: dict[str, Path]) -> None:
    whole = Reports(reports)
    assert whole.counts == Counts(passed=10, failed=3, errors=1, skipped=3, seconds=4.6)
    assert str(whole.counts) == "3 failed, 1 errors, 10 passed, 3 skipped in 0:05"
    assert list(whole.failures) == [
        "tests.a::two (networks)", "tests.a::three[x] (networks)", "tests.b.Many::four (rest)"
    ]  # fmt: skip
    assert whole.failures["tests.a::two (networks)"] == "what\nit was"


def test_one_document_has_every_test(reports: dict[str, Path], tmp_path: Path) -> None:
    Reports(reports).write(tmp_path / "all.xml")
    suites = ET.parse(tmp_path / "all.xml").getroot().findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["networks", "rest"]
    assert [len(suite.findall("testcase")) for suite in suites] == [3, 1]


def test_why_is_what_was_wrong_and_where_also_if_the_clean_up_fails_too(tmp_path: Path) -> None:
    """As pytest writes it: such a test is there twice."""
    traceback = "    def test():\n&gt;       assert a == 2\nE       assert 1 == 2\n\ntests/a.py:3: AssertionError"
    cases = [
        f'<testcase classname="a" name="b">{what}</testcase>'
        for what in (f"<failure>{traceback}</failure>", "<error>it stays</error>")
    ]
    (tmp_path / "all.xml").write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    (why,) = Reports({"all": tmp_path / "all.xml"}).failures.values()
    assert why.splitlines() == [
        ">       assert a == 2", "E       assert 1 == 2", "tests/a.py:3: AssertionError", "it stays"
    ]  # fmt: skip


@pytest.mark.parametrize("content", [None, "", "<testsuites>", "<testsuites/>"])
def test_no_report_no_counts_but_what_there_is_is_told(reports: dict[str, Path], content: str | None) -> None:
    reports["networks"].unlink()
    if content is not None:
        reports["networks"].write_text(content)
    part = Reports(reports)
    assert part.counts is None
    assert list(part.failures) == ["tests.b.Many::four (rest)"]


FIRST = "import pathlib, time\nprint('first', flush=True)\nwhile not pathlib.Path('third').exists(): time.sleep(0.01)"
SECOND = "import os\nprint('second', os.nice(0))"
THIRD = "import os, pathlib, sys\nprint('third', os.nice(0))\npathlib.Path('third').touch()\nsys.exit(3)"


def test_all_run_at_once_and_are_printed_one_after_the_other(tmp_path: Path) -> None:
    jobs = {
        "first": Job([sys.executable, "-c", FIRST]),
        "second": Job([sys.executable, "-c", SECOND]),
        "third": Job([sys.executable, "-c", THIRD], is_nice=True),
    }
    shown = tmp_path / "shown"
    with shown.open("w") as output, Tests(tmp_path, dict(os.environ), output) as tests:
        statuses = tests.run_all(jobs)
    assert statuses == {"first": 0, "second": 0, "third": 3}
    assert shown.read_text() == f"first\nsecond {os.nice(0)}\nthird {min(19, os.nice(0) + 10)}\n"


# Stands for pytest: it says that it runs, and cleans up when interrupted, which takes until it is let go on.
RUNNING = """
import pathlib, signal, sys, time
name = pathlib.Path(__file__).parent / pathlib.Path(sys.argv[1]).stem
# Held back until it is waited for: pause() would sleep through one that comes just before it.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
name.with_suffix(".runs").touch()
signal.sigwait({signal.SIGINT})
name.with_suffix(".interrupted").touch()
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # a second one would end the cleaning
while not name.with_name("go-on").exists():
    time.sleep(0.01)
name.with_suffix(".cleaned").touch()
sys.exit(2)
"""
QSLICE_TEST = """
import sys
from scripts.checks import check
check.LANES = 1
check.lint_commands = lambda _: {}
check.pytest_command = lambda report, **_: [sys.executable, sys.argv[1], str(report)]
sys.exit(check.main(["--json", *sys.argv[2:]]))
"""


@contextmanager
def qslice_test(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A call whose pytests have come to run."""
    (folder / "running.py").write_text(RUNNING)
    argv = [sys.executable, "-c", QSLICE_TEST, str(folder / "running.py"), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            wait_until(lambda: names(folder, "runs") == ({"tests"} if words else {"networks", "rest"}), 30)
            yield process
        finally:
            (folder / "go-on").touch()
            process.kill()


def names(folder: Path, ending: str) -> set[str]:
    return {file.stem for file in folder.glob(f"*.{ending}")}


@pytest.mark.parametrize("words", [(), ("-k", "esp")], ids=["both", "one"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_signal_to_the_command_alone_ends_it_when_all_is_cleaned_up(
    tmp_path: Path, number: signal.Signals, words: tuple[str, ...]
) -> None:
    with qslice_test(tmp_path, *words) as process:
        process.send_signal(number)
        wait_until(lambda: names(tmp_path, "interrupted") == names(tmp_path, "runs"), 30)
        if number is not signal.SIGINT:
            process.send_signal(number)  # as timeout(1) does: the cleaning goes on
        assert process.poll() is None
        (tmp_path / "go-on").touch()
        document = json.loads(process.communicate(timeout=30 * PATIENCE)[0])
        assert process.returncode == 128 + number
        assert names(tmp_path, "cleaned") == names(tmp_path, "runs")
    assert document["ok"] is False
    assert document["tests"] is None


def test_a_command_that_is_killed_has_its_tests_clean_up(tmp_path: Path) -> None:
    with qslice_test(tmp_path) as process:
        # One with more would have them interrupted twice, once in their clean-up: when a thread ends, its children are
        # told, and they are then another's.
        assert len(os.listdir(f"/proc/{process.pid}/task")) == 1
        process.kill()
        (tmp_path / "go-on").touch()
        wait_until(lambda: names(tmp_path, "cleaned") == {"networks", "rest"}, 30)
