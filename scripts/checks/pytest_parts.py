"""The test suite's two parts, run beside each other: tests that make networks, and the rest.

Networks, Open vSwitch and /run/qslice are the machine's, and there is one of each: tests that use them run one after
the other, in one process for each machine that there is to run them on (scripts/checks/lanes). All other tests keep to
directories and free ports of their own, so further processes run them meanwhile, at a lower priority. One prints as it
goes, the others at the end, so that all can be read.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import IO, Any

NEEDS = ("needs_root", "needs_ovs", "needs_tun", "needs_kernel_datapath")
"""Markers of tests that make networks, or what networks are made of."""

_ON_NETWORKS = " or ".join(NEEDS)
_BESIDE_NICENESS = 10
_LINES_OF_WHY = 20
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Part(Enum):
    """A part's name; every test belongs to exactly one."""

    NETWORKS = "networks"
    REST = "rest"

    @property
    def selection(self) -> str:
        """The part's tests, as an expression over pytest's markers."""
        return _ON_NETWORKS if self is Part.NETWORKS else f"not ({_ON_NETWORKS})"


@dataclass(frozen=True)
class Job:
    """A pytest that runs beside others; at a lower priority where it makes no networks, whose timers are in a hurry."""

    command: Sequence[str]
    is_nice: bool = False

    @property
    def words(self) -> list[str]:
        return ["nice", "-n", str(_BESIDE_NICENESS), *self.command] if self.is_nice else list(self.command)


class Tests:
    """Runs pytests to their ends. A signal to end is passed on to them as an interruption, and they are waited for, so
    that every test that runs cleans up after itself, whoever was signalled.
    """

    __test__ = False  # for pytest: this is none

    def __init__(self, folder: Path, environment: Mapping[str, str], output: IO[str]) -> None:
        self._folder, self._environment, self._output = folder, dict(environment), output
        self._processes: list[tuple[subprocess.Popen[bytes], bool]] = []
        self._previous: dict[signal.Signals, Any] = {}
        self.signals: list[signal.Signals] = []

    def __enter__(self) -> Tests:
        # Handlers even of what our own caller ignores (nohup): processes that we start then do not ignore it.
        self._previous = {number: signal.signal(number, self._on_signal) for number in _ENDING}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def run(self, command: Sequence[str]) -> int:
        """One, with our terminal where there is one; its exit status."""
        return self._start(command, stdout=self._output, has_terminal=sys.stdin.isatty()).wait()

    def run_all(self, jobs: Mapping[str, Job]) -> dict[str, int]:
        """All beside each other; their exit statuses. The first prints as it goes, each of the others is printed under
        its name when those before it have been."""
        (first, shown), *others = jobs.items()
        with contextlib.ExitStack() as files:
            running = {first: self._start(shown.words, stdout=self._output)}
            kept = {name: files.enter_context(tempfile.TemporaryFile()) for name, _ in others}
            for name, job in others:
                running[name] = self._start(job.words, stdout=kept[name], stderr=subprocess.STDOUT)
            statuses = {first: running[first].wait()}
            for name, file in kept.items():
                statuses[name] = running[name].wait()
                file.seek(0)
                print(f"== pytest: {name}", file=sys.stderr, flush=True)
                self._output.write(file.read().decode(errors="replace"))
                self._output.flush()
        return statuses

    def _start(
        self, command: Sequence[str], *, stdout: IO[Any], stderr: int | None = None, has_terminal: bool = False
    ) -> subprocess.Popen[bytes]:
        self._output.flush()
        process = subprocess.Popen(
            # Should we be killed, the tests are interrupted likewise.
            ["setpriv", "--pdeathsig", "INT", *command], cwd=self._folder, env=self._environment,
            stdin=None if has_terminal else subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            process_group=None if has_terminal else 0,
        )  # fmt: skip
        self._processes.append((process, has_terminal))
        if self.signals:
            _interrupt(process, has_terminal)
        return process

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        # timeout(1) signals its child and then its child's group, but tests are interrupted in their cleaning only by
        # a person who is tired of waiting.
        if self.signals and number != signal.SIGINT:
            return
        self.signals.append(signal.Signals(number))
        for process, has_terminal in self._processes:
            # Ctrl-C reaches all who have the terminal, and needs not be passed on to them.
            if not (has_terminal and number == signal.SIGINT):
                _interrupt(process, has_terminal)


def _interrupt(process: subprocess.Popen[bytes], has_terminal: bool) -> None:
    if process.poll() is not None:
        return
    if has_terminal:
        process.send_signal(signal.SIGINT)
    else:
        os.killpg(process.pid, signal.SIGINT)  # pytest and what its tests have started, as a terminal would


@dataclass(frozen=True)
class Counts:
    """What became of the tests; `errors` are those whose set-up or clean-up failed."""

    passed: int
    failed: int
    errors: int
    skipped: int
    seconds: float

    def __str__(self) -> str:
        parts = [f"{n} {what}" for n, what in ((self.failed, "failed"), (self.errors, "errors")) if n]
        minutes, seconds = divmod(round(self.seconds), 60)
        return f"{', '.join([*parts, f'{self.passed} passed, {self.skipped} skipped'])} in {minutes}:{seconds:02}"


class Reports:
    """The JUnit reports (by name) of pytests that ran beside each other, as one."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        found = {name: _read(file) for name, file in files.items()}
        self._suites = {name: suite for name, suite in found.items() if suite is not None}
        self._is_whole = len(self._suites) == len(files)

    @property
    def counts(self) -> Counts | None:
        """The sums; None where a pytest did not come to write its report."""
        if not self._is_whole:
            return None

        def total(attribute: str) -> int:
            return sum(int(suite.get(attribute, "0")) for suite in self._suites.values())

        failed, errors, skipped = total("failures"), total("errors"), total("skipped")
        seconds = max(float(suite.get("time", "0")) for suite in self._suites.values())
        return Counts(total("tests") - failed - errors - skipped, failed, errors, skipped, round(seconds, 1))

    @property
    def failures(self) -> dict[str, str]:
        """The tests that failed, or their set-up or clean-up, each with the name of its report; the end of why."""
        found: dict[str, str] = {}
        for name, suite in self._suites.items():
            for case in suite.iter("testcase"):
                if _complaints(case):  # a test that fails and whose clean-up fails is there twice
                    test = f"{case.get('classname')}::{case.get('name')} ({name})"
                    found[test] = "\n".join([*found.get(test, "").splitlines(), *_why(case)])
        return found

    def write(self, file: Path) -> None:
        """All of them in one document, a `testsuite` for each."""
        root = ET.Element("testsuites")
        for name, suite in self._suites.items():
            suite.set("name", name)
            root.append(suite)
        ET.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _complaints(case: ET.Element) -> list[ET.Element]:
    return [*case.findall("failure"), *case.findall("error")]


def _why(case: ET.Element) -> list[str]:
    """Of pytest's traceback the statements, what is wrong and where; of any other text all."""
    lines = [line for complaint in _complaints(case) for line in (complaint.text or "").splitlines()]
    telling = [line for line in lines if line.startswith((">", "E ")) or re.match(r"\S+:\d+: ", line)]
    return (telling or lines)[-_LINES_OF_WHY:]


def _read(file: Path) -> ET.Element | None:
    """The one `testsuite` that pytest writes."""
    try:
        return ET.parse(file).getroot().find("testsuite")  # noqa: S314 - our own pytest wrote it
    except (OSError, ET.ParseError):
        return None
