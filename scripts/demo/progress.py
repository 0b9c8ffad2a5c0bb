"""Saying on standard error what the demo is doing, with the time it takes and the time it was expected to take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text


class Step:
    """One step under way; ``detail`` is shown when it ends, ``ok`` decides how."""

    def __init__(self) -> None:
        self.detail = ""
        self.ok = True


class Progress(Protocol):
    def step(self, title: str, expected_s: float) -> AbstractContextManager[Step]:
        """A step of the work for the length of the block."""

    def note(self, text: str) -> None:
        """A line of its own."""


class ConsoleProgress:
    """On a terminal a spinner with elapsed and expected seconds; elsewhere one line per finished step."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)

    @contextlib.contextmanager
    def step(self, title: str, expected_s: float) -> Iterator[Step]:
        step = Step()
        started = time.monotonic()
        try:
            with self._spinner(title, expected_s):
                yield step
        except BaseException:
            step.ok = False
            raise
        finally:
            self._finished(title, step, time.monotonic() - started)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def _spinner(self, title: str, expected_s: float) -> AbstractContextManager[object]:
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            return contextlib.nullcontext()
        expected = TextColumn(f"of about {expected_s:.0f} s")
        bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            expected,
            console=self._console,
            transient=True,
        )
        bars.add_task(title, total=None)
        return bars

    def _finished(self, title: str, step: Step, took_s: float) -> None:
        sign, colour = ("✓", "green") if step.ok else ("✗", "red")
        line = Text.assemble(
            (sign, colour), f" {title:<36} {took_s:5.1f} s  ", (step.detail, "dim" if step.ok else colour)
        )
        self._console.print(line, soft_wrap=True)


class SilentProgress:
    """For tests and for callers that want no output."""

    @contextlib.contextmanager
    def step(self, title: str, expected_s: float) -> Iterator[Step]:
        yield Step()

    def note(self, text: str) -> None:
        pass
