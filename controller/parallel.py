"""Running calls to drivers side by side, and timing the stages of an operation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from controller.drivers import DriverError
from controller.model import ControllerError


class Stopwatch:
    """Milliseconds since the request came in, by stage."""

    def __init__(self, steady: Callable[[], float], start: float) -> None:
        self._steady = steady
        self._start = start
        self.laps_ms: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        self.laps_ms[stage] = round((self._steady() - self._start) * 1000, 3)


class Call:
    """One call to a driver, to be made on a thread of its own; keeps the error it ended with."""

    def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments
        self.error: ControllerError | None = None

    def __call__(self) -> None:
        try:
            self._function(*self._arguments)
        except ControllerError as error:
            self.error = error


class Parallel:
    """Calls that run at once from the moment this is made."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls
        self._threads = [threading.Thread(target=call, daemon=True) for call in calls]
        for thread in self._threads:
            thread.start()

    def join(self, deadline_s: float) -> None:
        """Until all have ended; raises the first error, or DriverError when the deadline passes."""
        end = time.monotonic() + deadline_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                raise DriverError(f"a tunnel agent gave no answer within {deadline_s:g} s")
        for call in self._calls:
            if call.error is not None:
                raise call.error
