"""Starting and ending the processes of a run: each dies with its supervisor, none is ever killed by name."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from scripts.errors import EnvironmentLacks
from scripts.testbed.paths import REPOSITORY
from scripts.testbed.run_record import Process

POLL_S = 0.02
# What ends by itself is noticed at once: these are for what hangs. Machines may be slow, and networks large.
_START_S, _START_OF_SITE_S = 300.0, 10.0
_DOWN_S, _DOWN_OF_SITE_S = 30.0, 5.0


class Child(Protocol):
    """A process whose parent is this one."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self) -> int: ...


def spawn(
    module: str,
    arguments: list[str],
    log: Path,
    namespace_of: int | None = None,
    append: bool = False,
    niceness: int = 0,
    stdin: int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``python -m module arguments`` with its output in ``log``, in a host's namespace if asked.

    ``environment`` is beside our own.
    """
    into = ["nsenter", "-t", str(namespace_of), "-n", "--"] if namespace_of else []
    into = [*into, "nice", "-n", str(niceness)] if niceness else into
    # If this process is killed outright the kernel ends its children: nothing is left to find by name.
    argv = ["setpriv", "--pdeathsig", "TERM", *into, sys.executable, "-m", module, *arguments]
    with open(open_log(log, append), "wb") as output:
        child = subprocess.Popen(
            argv, stdin=stdin, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})}, cwd="/",
        )  # fmt: skip
    if niceness:
        # Where Linux schedules sessions as groups (sched(7), autogroups), niceness counts inside a session only.
        with contextlib.suppress(OSError):
            Path(f"/proc/{child.pid}/autogroup").write_text(str(niceness), encoding="ascii")
    return child


def open_log(log: Path, append: bool) -> int:
    """A descriptor to write to it. Raises OSError."""
    # Always to append, or what a log that was cut off gets next would begin with a hole (scripts.files.log_rotation).
    how = 0 if append else os.O_TRUNC
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | how, 0o600)


def start_timeout_s(sites: int) -> float:
    """Within which each part of a network of so many sites has to be ready."""
    return _START_S + sites * _START_OF_SITE_S


def down_timeout_s(sites: int) -> float:
    """Within which who holds such a network has to have ended it, before it is ended by force."""
    return _DOWN_S + sites * _DOWN_OF_SITE_S


def wait_ready(name: str, child: Child, log: Path, is_ready: Callable[[], bool], timeout_s: float) -> None:
    """Wait until ``is_ready``; EnvironmentLacks with the end of its log when the process ends or takes too long."""
    deadline = time.monotonic() + timeout_s
    while not is_ready():
        status = child.poll()
        if status is not None:
            raise EnvironmentLacks(f"{name} ended with status {status} while starting:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise EnvironmentLacks(f"{name} was not ready within {timeout_s:.0f} s:\n{tail(log)}")
        time.sleep(POLL_S)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented for a message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])


def end(process: Process, grace_s: float = 5.0, ask: signal.Signals = signal.SIGTERM) -> None:
    """Ask a process to end, and after ``grace_s`` seconds make it."""
    end_all([process], grace_s, ask)


def end_all(processes: Iterable[Process], grace_s: float = 5.0, ask: signal.Signals = signal.SIGTERM) -> None:
    """Ask several to end, all at once, and make those end that are left after ``grace_s`` seconds."""
    left = list(processes)
    for step in (ask, signal.SIGKILL):
        left = [process for process in left if process.is_alive()]
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, step)
        deadline = time.monotonic() + grace_s
        while left and time.monotonic() < deadline:
            for process in left:
                _reap(process.pid)
            left = [process for process in left if process.is_alive()]
            if left:
                time.sleep(POLL_S)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # somebody else's child
        os.waitpid(pid, os.WNOHANG)


def require_free_port(what: str, setting: str, port: int) -> None:
    """Raises EnvironmentLacks, which names the ``setting``, when somebody listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            hint = "with --api-port or the setting" if what == "the API" else "with the setting"
            raise EnvironmentLacks(
                f"port {port}, needed for {what}, is taken ({error.strerror}); choose another {hint} {setting}"
            ) from error
