"""What agents are forked from, when it ends or hangs: agents are started again all the same."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scripts.errors import EnvironmentLacks
from scripts.testbed.life import agents
from scripts.testbed.life.agents import AgentStarter
from scripts.testbed.life.run import AGENTS, RunOptions, Runtime, Service
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import Process, RunRecord
from topologies.catalog import load


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Stands for a fork server that is there and says nothing."""
    with subprocess.Popen(["sleep", "infinity"]) as process:
        yield process
        process.kill()


def test_a_fork_server_that_does_not_answer_in_time_is_given_no_more_orders(
    sleeper: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "spawn", lambda *_, **__: sleeper)
    monkeypatch.setattr(agents, "ANSWER_TIMEOUT_S", 0.01)
    starter = AgentStarter(tmp_path / "fork-server.log")
    orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(socket, "socketpair", lambda *_: (orders, theirs.dup()))
    with theirs:
        starter.open()
        assert starter.is_alive()
        with pytest.raises(EnvironmentLacks, match="tunnel-x was not started: timed out"):
            starter.start("tunnel-x", tmp_path / "x.json", tmp_path / "x.log", os.getpid(), append=False)
        assert not starter.is_alive()
        assert not starter.is_ready()
        assert sleeper.wait(5) == -signal.SIGKILL, "it is not there to carry the order out later"


class Starter:
    """Whose fork server has ended, until it is opened."""

    def __init__(self, sleeper: subprocess.Popen[bytes]) -> None:
        self._sleeper = sleeper
        self._is_open = False

    def is_alive(self) -> bool:
        return self._is_open

    is_ready = is_alive

    def open(self) -> subprocess.Popen[bytes]:
        self._is_open = True
        return self._sleeper

    def start(self, *_: Any) -> subprocess.Popen[bytes]:
        assert self._is_open
        return self._sleeper


def test_the_control_sockets_thread_starts_another_fork_server_when_it_has_ended(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    layout = Layout(state=tmp_path / "state", run=tmp_path / "run")
    layout.make()
    ended = subprocess.Popen(["sleep", "infinity"])
    runtime = Runtime(load("ukqntel"), layout, RunOptions())
    runtime._record = RunRecord(
        phase="ready", supervisor=Process.of(os.getpid()), topology={}, datapath="netdev", netem=False, api_url="",
        bridges=(), interfaces=(), ovs_ssl_before=None, state=str(layout.state),
        processes={"tunnel-x": Process.of(ended.pid)},
    )  # fmt: skip
    runtime._children["tunnel-x"] = ended
    runtime._services["tunnel-x"] = Service(None, os.getpid(), lambda: True, lambda: True)
    runtime._agents = Starter(sleeper)  # type: ignore[assignment]
    with ThreadPoolExecutor(1) as thread:  # as signals' handlers are the main thread's alone
        thread.submit(runtime.restart, "tunnel-x").result()
    assert {"tunnel-x", AGENTS} == {name for name, p in runtime.record.processes.items() if p.pid == sleeper.pid}
