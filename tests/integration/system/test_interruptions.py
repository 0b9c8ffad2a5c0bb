"""Ended at any moment, in any way, a run leaves nothing; and one that was killed is cleaned up by the next command."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.testbed.run_record import read_record
from tests.support.launcher import LAYOUT, answer, argv, environment, footprint, left_since, qslice
from tests.support.wait import PATIENCE, wait_until
from topologies.catalog import metro_ring

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

MINE = """\
name: mine
sites:
  - {name: antenna, tier: cell}
  - {name: frankfurtammain, tier: core, vcpus: 8, memory_gb: 16}
fibres:
  - {a: antenna, b: frankfurtammain, km: 8, channels: [none, qkd]}
"""
INTERRUPTED = {
    "certificates": signal.SIGINT,
    "network": signal.SIGTERM,
    "key management": signal.SIGINT,
    "tunnels": signal.SIGTERM,
    "controller": signal.SIGINT,
}
"""Where a start is ended, and by what: both signals raise an interruption, which goes one way out, whatever raised it
(scripts/testbed/interrupts.py)."""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = footprint()
    yield
    left = left_since(before)
    qslice("down")
    assert left == {}


@pytest.mark.parametrize(("step", "number"), INTERRUPTED.items(), ids=INTERRUPTED.keys())
def test_interrupted_while_starting(step: str, number: signal.Signals) -> None:
    """A foreground run that is told to end as soon as it says that it has come to ``step``."""
    with subprocess.Popen(
        argv("up"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as up:
        assert up.stderr is not None
        for line in up.stderr:
            if step in line:
                up.send_signal(number)
                break
        error = up.stderr.read()
        assert up.wait(timeout=60 * PATIENCE) == 130, error
    assert "Traceback" not in error


def test_detached_start_is_interrupted() -> None:
    with subprocess.Popen(argv("up", "--detach"), stderr=subprocess.PIPE, text=True, env=environment()) as up:
        assert up.stderr is not None
        for line in up.stderr:
            if "tunnels" in line:
                up.send_signal(signal.SIGINT)
                break
        up.stderr.read()
        assert up.wait(timeout=60 * PATIENCE) == 130


@pytest.mark.parametrize("step", ["provision cdn", "iperf3 on every connection"])
def test_the_demo_is_interrupted(step: str, tmp_path: Path) -> None:
    command = argv("demo", "--report", str(tmp_path / "report"))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if step in line:
                demo.send_signal(signal.SIGINT)
                break
        error = demo.stderr.read()
        assert demo.wait(timeout=60 * PATIENCE) == 130, error
    assert "Traceback" not in error


@pytest.mark.parametrize("clean_up", ["down", "up"])
@pytest.mark.parametrize("lost", ["the supervisor", "the machine's power"])
def test_a_killed_run_is_cleaned_up_by_the_next_command(clean_up: str, lost: str, tmp_path: Path) -> None:
    """Open vSwitch's database survives the loss of power; what is under /run, the record, does not. The network is a
    user's own, whose names nobody else knows."""
    (tmp_path / "mine.yaml").write_text(MINE)
    assert qslice("up", "--detach", "--topo", str(tmp_path / "mine.yaml")).returncode == 0
    record = read_record(LAYOUT)
    assert record is not None
    os.kill(record.supervisor.pid, signal.SIGKILL)
    wait_until(lambda: not any(p.is_alive() for p in record.processes.values()), timeout_s=10)
    if lost == "the machine's power":
        shutil.rmtree(LAYOUT.run)
    assert qslice("status", "--json").stdout.strip() == '{\n  "running": false\n}'
    if clean_up == "up":
        assert qslice("up", "--detach").returncode == 0
    assert qslice("down").returncode == 0


@pytest.mark.parametrize(("port", "names"), [(8080, "--api-port"), (6653, "OpenFlow")])
def test_a_port_that_is_taken(port: int, names: str) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = qslice("up", "--detach")
    assert done.returncode == 3
    assert str(port) in done.stderr
    assert names in done.stderr


def test_another_api_port() -> None:
    assert qslice("up", "--detach", "--api-port", "18081", "--topo", "metro-ring").returncode == 0
    try:
        assert answer("status")["api"] == "http://127.0.0.1:18081"
        assert {c["id"] for c in answer("link", "list")} == {c.id for c in metro_ring().channels}
    finally:
        assert qslice("down").returncode == 0


def test_commands_without_a_run_say_how_to_start_one() -> None:
    for words in (["slice", "list"], ["link", "list"], ["keys"], ["exec", "cell1", "--", "true"]):
        done = qslice(*words)
        assert done.returncode == 3
        assert "qslice up" in done.stderr
    assert answer("down") == {"stopped": False, "removed": []}
    assert answer("status") == {"running": False}
