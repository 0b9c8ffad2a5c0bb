"""What is happening, on standard error: a bar where somebody watches, plain lines where nobody does."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from scripts.terminal import can_redraw


class Steps:
    """A job of ``total`` steps. Use it as a context manager and call it with the name of each step as it begins."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._console = Console(stderr=True)
        self._started = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Steps:
        if can_redraw():
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
                TimeElapsedColumn(), console=self._console, transient=True,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total)
        return self

    def __call__(self, step: str) -> None:
        """Say that ``step`` begins (and that the one before it has ended)."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"{self._title}: {step}", completed=self._done)
        else:
            print(f"[{time.monotonic() - self._started:6.1f} s] {self._title}: {step}", file=sys.stderr, flush=True)
        self._done += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is None:
            elapsed = time.monotonic() - self._started
            print(f"[{elapsed:6.1f} s] {self._title}: done", file=sys.stderr, flush=True)
