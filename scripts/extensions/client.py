"""The side that asks: an extension's process started, asked with a deadline, killed when it is late, started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from scripts.extensions.codec import Malformed, decode, encode
from scripts.extensions.errors import ExtensionError, Fault
from scripts.extensions.frames import Ended, TooLong, receive, send
from scripts.extensions.loading import Identity
from scripts.extensions.naming import Use
from scripts.extensions.protocols import CONTRACTS

ROOT = Path(__file__).resolve().parents[2]
START_S = 20.0  # importing numpy and the like on a busy machine
REST_S = 0.2  # before it is started again; twice as long after each loss, up to MOST_REST_S
MOST_REST_S = 5.0


class Worker:
    """One extension in its process. Every method may be called from any thread; questions are put one by one."""

    def __init__(self, use: Use, deadline_s: float | None = None) -> None:
        self.use = use
        self.contract = CONTRACTS[use.kind]
        self.deadline_s = self.contract.deadline_s if deadline_s is None else deadline_s
        self.identity: Identity | None = None
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._rest_s = REST_S
        self._rests_until = 0.0

    def start(self) -> Identity:
        """Start it, if it does not run, and say who it is. Raises ExtensionError."""
        with self._turn:
            return self._started()

    def ask(self, call: str, *values: Any) -> Any:
        """What the extension answers to a method of its kind. Raises ExtensionError; its process may be gone then."""
        method = self.contract.methods[call]
        question = {"call": call, "with": [encode(k, v) for k, v in zip(method.takes, values, strict=True)]}
        until = time.monotonic() + self.deadline_s
        if not self._turn.acquire(timeout=self.deadline_s):
            raise ExtensionError(Fault.LATE, f"{call}: it was busy for {self.deadline_s:g} s")
        try:
            if self._process is None:
                if time.monotonic() < self._rests_until:
                    raise ExtensionError(Fault.RESTING, f"{call}: its process was lost a moment ago")
                self._started()
                until = time.monotonic() + self.deadline_s
            raw = self._exchange(call, question, until)
        finally:
            self._turn.release()
        if "fault" in raw:
            raise ExtensionError(Fault(raw["fault"]), f"{call}: {raw['detail']}")
        try:
            said = decode(method.gives, raw["ok"], call)
        except (Malformed, KeyError) as error:
            raise ExtensionError(Fault.MALFORMED, str(error)) from error
        self._rest_s = REST_S
        return said

    def close(self) -> None:
        """End it."""
        with self._turn:
            self._end()

    def _exchange(self, call: str, question: Any, until: float) -> dict[str, Any]:
        assert self._socket is not None
        try:
            self._socket.settimeout(max(0.001, until - time.monotonic()))
            send(self._socket, question)
            raw = receive(self._socket, until)
        except TimeoutError:
            self._lose()
            raise ExtensionError(Fault.LATE, f"{call}: no answer within {self.deadline_s:g} s") from None
        except (Ended, ConnectionError):
            raise ExtensionError(Fault.CRASHED, f"{call}: its process ended{self._lose()}") from None
        except (TooLong, ValueError) as error:
            self._lose()
            raise ExtensionError(Fault.MALFORMED, f"{call}: {error}") from None
        if not isinstance(raw, dict):
            self._lose()
            raise ExtensionError(Fault.MALFORMED, f"{call}: no answer of the worker's")
        return raw

    def _started(self) -> Identity:
        if self._process is not None and self.identity is not None:
            return self.identity
        ours, its = socket.socketpair()
        argv = [
            sys.executable,
            "-m",
            "scripts.extensions.worker",
            str(its.fileno()),
            self.use.kind.value,
            self.use.target,
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        with its:
            self._process = subprocess.Popen(
                [*argv, *([self.use.folder] if self.use.folder else [])], stdin=subprocess.DEVNULL,
                pass_fds=(its.fileno(),), cwd="/", env=environment, start_new_session=True,
            )  # fmt: skip
        self._socket = ours
        try:
            hello = receive(ours, time.monotonic() + START_S)
        except TimeoutError:
            self._lose()
            raise ExtensionError(Fault.LATE, f"{self.use}: it was not there after {START_S:g} s") from None
        except (Ended, TooLong, ValueError):
            raise ExtensionError(
                Fault.BROKEN, f"{self.use}: its process ended while it was imported{self._lose()}"
            ) from None
        if "fault" in hello:
            self._lose()
            raise ExtensionError(Fault(hello["fault"]), f"{self.use.kind.value}: {hello['detail']}")
        said = hello["ok"]
        identity = Identity(**{**said, "texts": tuple((a, b) for a, b in said["texts"])})
        if self.identity not in (None, identity):  # results name what was there at first
            self._lose()
            raise ExtensionError(Fault.BROKEN, f"{self.use}: its source has been changed since it was started")
        self.identity = identity
        return identity

    def _lose(self) -> str:
        """End it for a while; how it ended."""
        status = self._end()
        self._rests_until = time.monotonic() + self._rest_s
        self._rest_s = min(2 * self._rest_s, MOST_REST_S)
        if status is None or status == -signal.SIGKILL:
            return ""
        return f" (signal {-status})" if status < 0 else f" (status {status})"

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
        # What it started goes along: it is the leader of a session of its own.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()
