"""Progress of something whose length is known: a bar with the remaining time, or a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from scripts.terminal import can_redraw

LINE_EVERY_S = 10.0


class Countdown:
    """Use it as a context manager; ``expected_s`` is an estimate that each ``left`` corrects."""

    def __init__(self, title: str, expected_s: float) -> None:
        self._title, self._total_s = title, expected_s
        self._started = time.monotonic()
        self._last_line = -LINE_EVERY_S
        self._last_text = ""
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if can_redraw():
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task(self._title, total=1.0, left="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def left(self, seconds: float) -> None:
        """From now on it is expected to take so long."""
        self._total_s = time.monotonic() - self._started + seconds

    def say(self, text: str) -> None:
        """What happens now."""
        elapsed = time.monotonic() - self._started
        remaining = max(0.0, self._total_s - elapsed)
        left = f"about {remaining:.0f} s left"
        if self._bar is not None:
            share = min(1.0, elapsed / max(self._total_s, 1e-9))
            self._bar.update(self._bar.task_ids[0], description=f"{self._title}: {text}", completed=share, left=left)
        elif text != self._last_text or elapsed - self._last_line >= LINE_EVERY_S:
            print(f"[{elapsed:6.1f} s, {left}] {self._title}: {text}", file=sys.stderr, flush=True)
            self._last_line, self._last_text = elapsed, text
