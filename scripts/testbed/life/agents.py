"""The tunnels' agents: forked from one process that has imported all they need (:mod:`kms.tunnel.fork_server`)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from kms.tunnel.fork_server.orders import MAX_BYTES, AgentNotStarted, Answer, Order, decode_answer, send_order
from scripts.errors import EnvironmentLacks
from scripts.testbed.processes import open_log, spawn

FORK_SERVER = "kms.tunnel.fork_server"
ANSWER_TIMEOUT_S = 60.0
_PR_SET_CHILD_SUBREAPER = 36
_TITLE_ROOM_BYTES = 400  # a configuration's path and what stands before it
# NumPy's library of linear algebra starts threads as it is imported, and no process with threads can be forked safely.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_LIBC = ctypes.CDLL(None, use_errno=True)


class Agent:
    """An agent's process. It has become a child of this one's: as of any other, its end can be waited for."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        status = self._wait(0)
        assert status is not None
        return status

    def _wait(self, options: int) -> int | None:
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # waited for elsewhere (scripts.testbed.processes.end)
                self._status = 0
            else:
                self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status


class AgentStarter:
    """Starts agents, one at a time, from any thread."""

    def __init__(self, log: Path, module: str = FORK_SERVER) -> None:
        """``log`` is the fork server's own, ``module`` what is run for it."""
        self._log, self._module = log, module
        self._guard = threading.Lock()
        self._orders: socket.socket | None = None
        self._is_ready = False
        self.server: subprocess.Popen[bytes] | None = None

    def open(self) -> subprocess.Popen[bytes]:
        """Start the fork server, which takes a second to be ready; :meth:`is_ready` tells when it is."""
        self.close()
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._orders.settimeout(ANSWER_TIMEOUT_S)
        with theirs:
            self.server = spawn(
                self._module, [" " * _TITLE_ROOM_BYTES], self._log, stdin=theirs.fileno(), environment=_ONE_THREAD
            )  # fmt: skip
        return self.server

    def close(self) -> None:
        """Let the fork server end; agents go on."""
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        self._is_ready = False

    def is_alive(self) -> bool:
        """Whether there is one to give orders to."""
        return self._orders is not None and self.server is not None and self.server.poll() is None

    def is_ready(self) -> bool:
        """Whether orders are taken by now. False, too, when the fork server has ended."""
        if not self._is_ready and self._orders is not None and select.select([self._orders], [], [], 0)[0]:
            self._is_ready = bool(self._orders.recv(MAX_BYTES))
        return self._is_ready

    def start(self, name: str, config: Path, log: Path, namespace_of: int, append: bool) -> Agent:
        """An agent in the network namespace of that process, with its output in ``log``. Raises EnvironmentLacks."""
        with self._guard, contextlib.ExitStack() as descriptors:
            try:
                namespace = os.open(f"/proc/{namespace_of}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                descriptors.callback(os.close, namespace)
                output = open_log(log, append)
                descriptors.callback(os.close, output)
                with adopting():
                    answer = self._ask(Order(name, config, namespace, output))
            except (OSError, AgentNotStarted) as error:
                raise EnvironmentLacks(f"{name} was not started: {error}") from error
        if answer.error:
            raise EnvironmentLacks(f"{name} was not started: {answer.error}")
        return Agent(answer.pid)

    def _ask(self, order: Order) -> Answer:
        assert self._orders is not None
        try:
            send_order(self._orders, order)
            return decode_answer(self._orders.recv(MAX_BYTES))
        except (OSError, AgentNotStarted):
            self.close()  # an answer that came too late would be taken for that to the next order
            if self.server is not None:
                self.server.kill()  # nor may it come to, and carry the order out that has failed
            raise


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Descendants whose parent ends meanwhile become this process's children: agents do so before they are told of.

    Not for longer: what hosts' shells leave behind is init's to look after.
    """
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
