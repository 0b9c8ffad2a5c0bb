"""This side of :mod:`scripts.measure.probes.host_prober`: one prober per host, commands as method calls."""

from __future__ import annotations

import itertools
import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scripts.measure.errors import MeasurementError
from scripts.measure.programs.children import Children
from scripts.measure.system import System

PROGRAM = Path(__file__).with_name("host_prober")
# A prober that ends is noticed at once; these are for machines that are slow.
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 60.0


def new_token() -> str:
    """A fresh 64-bit name for a stream, a flow or a probe, in hex."""
    return secrets.token_hex(8)


class HostProber:
    """A running prober. Commands may be in flight together; answers come back by id."""

    def __init__(self, host: str, process: subprocess.Popen[bytes]) -> None:
        self.host = host
        self._process = process
        self._ids = itertools.count(1)
        self._pending: dict[int, Future[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"prober-{host}", daemon=True)
        self._reader.start()

    def submit(self, op: str, **fields: Any) -> Future[dict[str, Any]]:
        """Send a command; the future holds its answer, or MeasurementError."""
        assert self._process.stdin is not None
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            command_id = next(self._ids)
            self._pending[command_id] = future
            line = json.dumps({"id": command_id, "op": op, **fields}).encode() + b"\n"
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except (BrokenPipeError, ValueError) as error:
                del self._pending[command_id]
                raise MeasurementError(f"the prober on {self.host} is gone") from error
        return future

    def call(self, op: str, *, answer_within_s: float = ANSWER_TIMEOUT_S, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        return result_of(self.submit(op, **fields), f"{op} on {self.host}", answer_within_s)

    def join(self) -> None:
        """Wait for the reader after the process has ended."""
        self._reader.join(ANSWER_TIMEOUT_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._lock:
                future = self._pending.pop(answer["id"], None)
            if future is None:
                continue
            if "error" in answer:
                future.set_exception(MeasurementError(f"{self.host}: {answer['error']}"))
            else:
                future.set_result(answer["result"])
        with self._lock:
            abandoned, self._pending = list(self._pending.values()), {}
        why = self._last_words() if abandoned else ""
        for future in abandoned:
            future.set_exception(MeasurementError(f"the prober on {self.host} ended: {why}"))

    def _last_words(self) -> str:
        """The last line of its standard error, where it writes what ended it and nothing else."""
        assert self._process.stderr is not None
        lines = self._process.stderr.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line), "it did not say why")


def result_of(future: Future[dict[str, Any]], what: str, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
    """The answer in ``future``; MeasurementError when it does not come in time."""
    try:
        return future.result(timeout_s)
    except FutureTimeoutError as error:
        raise MeasurementError(f"{what}: no answer within {timeout_s:g} s") from error


class Probers:
    """A prober on each of ``hosts``; leaving the block ends them all."""

    def __init__(self, system: System, hosts: Iterable[str]) -> None:
        self._children = Children(system)
        self._hosts = tuple(hosts)
        self._probers: dict[str, HostProber] = {}

    def __enter__(self) -> Self:
        try:
            for host in self._hosts:
                argv = [sys.executable, "-I", "-S", str(PROGRAM)]
                process = self._children.start(host, argv, stdin=subprocess.PIPE)
                self._probers[host] = HostProber(host, process)
            for greeting in [(p, p.submit("hello")) for p in self._probers.values()]:
                result_of(greeting[1], f"prober on {greeting[0].host}", START_TIMEOUT_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._children.end()
        for prober in self._probers.values():
            prober.join()
        self._children.close_pipes()

    def __getitem__(self, host: str) -> HostProber:
        return self._probers[host]

    def items(self) -> Iterable[tuple[str, HostProber]]:
        return self._probers.items()
