"""How far a job is, on standard error: one line that is redrawn where somebody watches, lines where nobody does.

Nothing of it comes on standard output, which is the command's result alone. Where the terminal cannot redraw
(``TERM=dumb``) or is none, a line says what begins, and every ten seconds how far the job is; ``NO_COLOR`` is honoured.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as LiveProgress
from rich.table import Column
from rich.text import Text

from scripts.console.terminal import can_redraw, progress_console

LINE_EVERY_S = 10.0
WIDTH_WITH_BAR = 80
"""Columns; a narrower terminal shows the words and the time alone."""


class Progress:
    """A job under way, for the length of the block.

    ``total`` is the number of its pieces, ``expected_s`` how long it is expected to take. The time that is left follows
    from the latter, or from equal pieces (:meth:`advance`).
    """

    def __init__(
        self, title: str, *, total: int | None = None, expected_s: float | None = None, console: Console | None = None
    ) -> None:
        self._title, self._total, self._expected_s = title, total, expected_s
        self._console = console or progress_console()
        self._started = time.monotonic()
        self._done = self._begun = self._equal = 0
        self._text = ""
        self._last_line = 0.0
        self._live: LiveProgress | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None:
            self._print("done")

    def open(self) -> None:
        """The job begins."""
        self._started = time.monotonic()
        if can_redraw(self._console):
            self._live = LiveProgress(*self._columns(), console=self._console, transient=True, expand=True)
            self._live.add_task(self._title, total=self._bar_total())
            self._live.start()

    def close(self) -> None:
        """Take the redrawn line away; what comes after is lines."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """What happens now."""
        is_news = text != self._text
        self._text = text
        self._show(is_news)

    def begin(self, text: str) -> None:
        """The next of ``total`` unequal pieces begins, and the one before it has ended."""
        self._done, self._begun = self._begun, self._begun + 1
        self.say(text)

    def advance(self) -> None:
        """One of ``total`` equal pieces has ended."""
        self._done += 1
        self._equal += 1
        self._begun = max(self._begun, self._done)
        self._show(is_news=False)

    def expect(self, left_s: float) -> None:
        """From now on it is expected to take ``left_s`` seconds more."""
        self._expected_s = self.elapsed_s + left_s

    def note(self, text: str) -> None:
        """A line that stays."""
        self._print(text)

    def left(self) -> str:
        """The time that is left, in words; empty where it is not known."""
        elapsed_s = self.elapsed_s
        if self._total is not None and self._equal:
            left_s = elapsed_s / self._equal * max(0, self._total - self._equal)
        elif self._expected_s is not None:
            left_s = self._expected_s - elapsed_s
            if left_s < 0:
                return f"{self._expected_s:.0f} s were expected"
        else:
            return ""
        return f"about {left_s:.0f} s left"

    def _show(self, is_news: bool) -> None:
        if self._live is not None:
            words = f"{self._title}: {self._text}" if self._text else self._title
            self._live.update(
                self._live.task_ids[0], description=words, total=self._bar_total(), completed=self._completed()
            )
        elif is_news or self.elapsed_s - self._last_line >= LINE_EVERY_S:
            counted = f"{self._done} of {self._total}" if self._total is not None and self._done else ""
            self._print(", ".join(part for part in (self._text, counted, self.left()) if part))

    def _bar_total(self) -> float | None:
        return self._total if self._total is not None else 1.0 if self._expected_s is not None else None

    def _completed(self) -> float:
        if self._total is not None:
            return min(self._done, self._total)
        return min(1.0, self.elapsed_s / self._expected_s) if self._expected_s else 0.0

    def _print(self, text: str) -> None:
        self._last_line = self.elapsed_s
        line = f"[{self.elapsed_s:6.1f} s] {self._title}: {text}"
        self._console.print(line, markup=False, soft_wrap=True)

    def _columns(self) -> list[ProgressColumn]:
        words = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1))
        columns: list[ProgressColumn] = [SpinnerColumn(), words]
        if self._console.width >= WIDTH_WITH_BAR:
            columns.append(BarColumn(bar_width=20))
            if self._total is not None:
                columns.append(MofNCompleteColumn())
        return [*columns, TimeElapsedColumn(), _LeftColumn(self.left)]


class _LeftColumn(ProgressColumn):
    def __init__(self, left: Callable[[], str]) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._left = left

    def render(self, task: Task) -> Text:
        return Text(self._left())


class Step:
    """One step under way; ``detail`` is shown when it ends, ``ok`` decides how."""

    def __init__(self) -> None:
        self.detail = ""
        self.ok = True


class StepList:
    """Steps one after the other: each is a :class:`Progress` while it lasts and a line with its outcome then."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or progress_console()

    @contextlib.contextmanager
    def step(self, title: str, expected_s: float) -> Iterator[Step]:
        """A step of the work for the length of the block; one that raises has failed."""
        step = Step()
        progress = Progress(title, expected_s=expected_s, console=self._console)
        progress.open()
        try:
            yield step
        except BaseException:
            step.ok = False
            raise
        finally:
            progress.close()
            self._finished(title, step, progress.elapsed_s)

    def _finished(self, title: str, step: Step, took_s: float) -> None:
        sign, colour = ("✓", "green") if step.ok else ("✗", "red")
        line = Text.assemble(
            (sign, colour), f" {title:<36} {took_s:5.1f} s  ", (step.detail, "dim" if step.ok else colour)
        )
        self._console.print(line, soft_wrap=True)
