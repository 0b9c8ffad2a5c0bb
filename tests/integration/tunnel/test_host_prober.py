"""The program that probes from inside a host, as it is run there, on the loopback interface."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from scripts.measure.errors import MeasurementError
from scripts.measure.probes.host_prober.packets import DATAGRAM
from scripts.measure.probes.probers import PROGRAM, HostProber, new_token

pytestmark = pytest.mark.needs_root


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-I", "-S", str(PROGRAM)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        yield process
        process.kill()


@pytest.fixture
def prober(process: subprocess.Popen[bytes]) -> HostProber:
    prober = HostProber("here", process)
    prober.call("hello")
    return prober


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_what_has_come_when_a_receiver_is_stopped_counts(
    prober: HostProber, process: subprocess.Popen[bytes], port: int
) -> None:
    flow = new_token()
    prober.call("receive", flow=flow, address="127.0.0.1", port=port)
    os.kill(process.pid, signal.SIGSTOP)  # the command and the datagrams are there when it looks again
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for sequence in range(100):
            sender.sendto(DATAGRAM.pack(bytes.fromhex(flow), sequence), ("127.0.0.1", port))
    stopped = prober.submit("receive_stop", flow=flow)
    os.kill(process.pid, signal.SIGCONT)
    assert stopped.result(60)["unique"] == 100
    assert prober.call("hello") == {}


def test_what_ended_it_is_told(prober: HostProber, process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    os.kill(process.pid, signal.SIGSTOP)
    process.stdin.write(b"no command\n")
    waiting = prober.submit("hello")
    os.kill(process.pid, signal.SIGCONT)
    with pytest.raises(MeasurementError, match=r"the prober on here ended: json\..*Error: "):
        waiting.result(60)
