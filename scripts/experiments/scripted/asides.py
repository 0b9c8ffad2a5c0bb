"""Entries of a timeline that break nothing: slices changed, commands in hosts, assertions. What came of them is told.

A change is asked for and answered before the timeline goes on; commands and assertions run beside it.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.errors import CommandError
from scripts.experiments.observe import look_around
from scripts.experiments.scripted.steps import Aside, Assertion, Change, Command
from scripts.experiments.traffic import Series
from scripts.testbed.running_system import RunningSystem

_POLL_S = 0.1
_WORDS_KEPT = 200  # of what a command says


@dataclass
class Asides:
    """Those of one repetition. ``findings`` and ``violations`` are complete after :meth:`finish`."""

    system: RunningSystem
    scale: float = 1.0  # of the times in the timeline
    findings: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _counts: list[tuple[Assertion, float]] = field(default_factory=list)

    def start(self, aside: Aside, at_s: float) -> str:
        """Do it, or have it done; what is to be said about it now."""
        match aside:
            case Change():
                return self._change(aside, at_s)
            case Command():
                self._beside(lambda: self._command(aside, at_s))
                return f"{aside.target}: {aside.words}"
            case Assertion():
                if aside.lost_at_most is not None:
                    self._counts.append((aside, at_s))
                if aside.asks_the_controller:
                    self._beside(lambda: self._assert(aside, at_s))
                return f"looking whether {aside.words}"

    def finish(self, series: Sequence[Series]) -> None:
        """Wait for what still runs (everything has a deadline), and count what was lost."""
        for thread in self._threads:
            thread.join()
        for aside, at_s in self._counts:
            lost = sum(
                sample.took_ms is None and sample.at_s <= at_s
                for one in series
                if one.connection == aside.target
                for sample in one.samples
            )
            wanted = aside.lost_at_most
            assert wanted is not None
            told = f"at {at_s:.1f} s: {aside.target} had lost {lost} probes"
            if lost > wanted:
                self.violations.append(f"{told}, more than {wanted}")
            else:
                self.findings.append(f"{told}, at most {wanted} as asserted")

    def _beside(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="aside", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _change(self, aside: Change, at_s: float) -> str:
        try:
            status, body = self.system.api("PATCH", f"/v1/slices/{aside.target}", dict(aside.patch))
        except CommandError as error:
            status, body = 0, str(error)
        told = f"at {at_s:.1f} s: slice {aside.target} "
        if status == 200:
            note = f"{told}was changed"
        else:
            detail = body.get("detail") if isinstance(body, Mapping) else body
            note = f"{told}was not changed: {status}: {detail}"
        is_as_expected = (status == 200) is not aside.refused
        (self.findings if is_as_expected else self.violations).append(note)
        return note

    def _command(self, aside: Command, at_s: float) -> None:
        told = f"at {at_s:.1f} s: {aside.target}: {aside.words}: "
        try:
            done = self.system.run(aside.target, aside.argv, aside.timeout_s)
        except subprocess.TimeoutExpired:
            self.violations.append(f"{told}had not ended after {aside.timeout_s:g} s")
            return
        except (CommandError, OSError) as error:
            self.violations.append(f"{told}{error}")
            return
        said = " ".join((done.stdout + done.stderr).split())[-_WORDS_KEPT:]
        told += f"status {done.returncode}" + (f": {said}" if said else "")
        if done.returncode == aside.status:
            self.findings.append(told)
        else:
            self.violations.append(f"{told}; {aside.status} was asserted")

    def _assert(self, aside: Assertion, at_s: float) -> None:
        began, within_s = time.monotonic(), aside.within_s * self.scale
        while True:
            wrong = aside.contradicted_by(self._view(aside.target))
            took_s = time.monotonic() - began
            if wrong is None:
                self.findings.append(f"at {at_s:.1f} s: {aside.words}: held after {took_s:.1f} s")
                return
            if took_s >= within_s:
                self.violations.append(f"at {at_s:.1f} s: {aside.words}: {wrong} after {took_s:.1f} s")
                return
            time.sleep(_POLL_S)

    def _view(self, connection: str) -> Mapping[str, Any] | None:
        views = look_around(self.system)
        return None if views is None else views.get(connection)
