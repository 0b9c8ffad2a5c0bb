"""What the process behind ``up --detach`` tells the command that started it, over a pipe: JSON lines.

``{"step": TEXT}`` as each step of the start begins; ``{"error": TEXT, "exit_status": N}`` when it has failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
from types import TracebackType
from typing import Self

from scripts.errors import CommandError, DidNotHold, EnvironmentLacks, WrongRequest


class StartReporter:
    """The writing end. A CommandError that ends the block before :meth:`close` is reported."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # what the run starts outlives the start
        self._descriptor: int | None = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, CommandError):
            self._tell({"error": str(error), "exit_status": error.exit_status})
        self.close()

    def close(self) -> None:
        """The start has succeeded, if nothing else was reported."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def step(self, text: str) -> None:
        self._tell({"step": text})

    def _tell(self, report: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        with contextlib.suppress(BrokenPipeError):  # whoever listened has been ended: the start goes on
            os.write(self._descriptor, json.dumps(report).encode() + b"\n")


class StartReports:
    """The reading end. Call :meth:`steps` again and again until the start has succeeded or ``is_over``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._input = descriptor, b""
        os.set_blocking(descriptor, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(descriptor, selectors.EVENT_READ)
        self.is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        os.close(self._descriptor)

    def steps(self, timeout_s: float) -> list[str]:
        """The steps that have begun since the last call; waits for one no longer than ``timeout_s``.

        Raises the CommandError with which the start has failed.
        """
        if not self._selector.select(timeout_s):
            return []
        chunk = os.read(self._descriptor, 1 << 16)
        self.is_over = not chunk
        *lines, self._input = (self._input + chunk).split(b"\n")
        reports = [json.loads(line) for line in lines]
        for report in reports:
            if "error" in report:
                raise _error_of(report["exit_status"])(report["error"])
        return [report["step"] for report in reports]


def _error_of(exit_status: int) -> type[CommandError]:
    return next(kind for kind in (WrongRequest, EnvironmentLacks, DidNotHold) if kind.exit_status == exit_status)
