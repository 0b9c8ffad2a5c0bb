"""Child processes in host namespaces that never outlive the block that started them."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from scripts.measure.errors import MeasurementError
from scripts.measure.system import System

GRACE_S = 2.0


class Children:
    """Processes of one measurement; leaving the block ends those that still run, on Ctrl-C too."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, host: str, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[bytes]:
        """Start ``argv`` in the host's namespace; standard output and error are pipes unless told otherwise."""
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = self._system.popen(host, argv, **(options | kwargs))
        self._running.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self.close_pipes()

    def end(self) -> None:
        """End what still runs: first asked, then killed."""
        for process in self._running:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
        deadline = time.monotonic() + GRACE_S
        for process in self._running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close_pipes(self) -> None:
        """Close the pipes to processes that have ended; no thread may be reading them any more."""
        for process in self._running:
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def finish(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[str, str]:
    """Standard output and error of a process run to its end; MeasurementError when it does not end in time."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"{_name(process)} did not end within {timeout_s:g} s") from error
    return out.decode(errors="replace"), err.decode(errors="replace").strip()


def wait_for_output(process: subprocess.Popen[bytes], text: bytes, timeout_s: float) -> None:
    """Return once the process has printed ``text``; MeasurementError when it ends or is silent for too long."""
    assert process.stdout is not None
    fd = process.stdout.fileno()
    seen = b""
    deadline = time.monotonic() + timeout_s
    while text not in seen:
        readable, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(fd, 4096) if readable else b""
        if not chunk:
            said = seen.decode(errors="replace").strip()
            raise MeasurementError(f"{_name(process)} was not ready within {timeout_s:g} s; it said {said!r}")
        seen += chunk


def _name(process: subprocess.Popen[bytes]) -> str:
    return " ".join(map(str, process.args)) if isinstance(process.args, list | tuple) else str(process.args)
