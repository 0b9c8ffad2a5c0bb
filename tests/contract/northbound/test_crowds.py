"""More connections than the controller has room, or descriptors, for: those who want something are served."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.openflow_switch import OpenFlowSwitch
from tests.support.running_controller import RunningController
from tests.support.wait import wait_until
from topologies.catalog import ukqntel

MAX_CONNECTIONS, MAX_STRANGERS = 512, 256  # the controller's; its modules would bring eventlet into this process
DPID = ukqntel().dpid("cell1")


@pytest.fixture(scope="module", autouse=True)
def many_sockets() -> Iterator[None]:
    """This process holds more of them than it usually may."""
    own = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (own[1], own[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, own)


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningController]:
    """With the usual limits: whoever is silent may be so for a minute."""
    with RunningController(tmp_path_factory.mktemp("crowds")) as running:
        yield running


def times_connected(controller: RunningController) -> int:
    """By its log: to be counted by ``/v1/healthz`` a switch must hold rules."""
    return controller.log_path.read_text().count("switch cell1 connected")


@contextmanager
def silent(port: int, number: int, word: bytes = b"") -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(number)]
        for each in sockets:
            with suppress(OSError):  # it has had to make room already
                each.sendall(word)
        yield sockets


def test_fault_08_accepting_goes_on_after_descriptors_ran_out(tmp_path: Path) -> None:
    with RunningController(tmp_path) as controller:
        used = max(int(each) for each in os.listdir(f"/proc/{controller.pid}/fd"))
        resource.prlimit(controller.pid, resource.RLIMIT_NOFILE, (used + 6, used + 6))
        exhaust(controller, "the API", controller.port)
        exhaust(controller, "OpenFlow", controller.openflow_port)
        # Said once a minute, not ten times a second.
        assert controller.log_path.read_text().count("the API: a connection could not be accepted") < 5


def exhaust(controller: RunningController, name: str, port: int) -> None:
    """Take all its descriptors by connections to ``port``, give them back, and use both servers."""
    with silent(port, 20):
        wait_until(lambda: f"{name}: a connection could not be accepted" in controller.log_path.read_text(), 20)
    assert controller.call("GET", "/v1/healthz")[0] == 200
    before = times_connected(controller)
    with OpenFlowSwitch(controller.openflow_port, DPID):
        wait_until(lambda: times_connected(controller) > before, 20)


def test_fault_08_the_controller_raises_its_own_limit(tmp_path: Path) -> None:
    own = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, own[1]))
    try:
        with RunningController(tmp_path) as started_with_few:
            assert resource.prlimit(started_with_few.pid, resource.RLIMIT_NOFILE) == (own[1], own[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, own)


@pytest.mark.parametrize(
    "word",
    [
        b"",
        b"GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
    ],
    ids=["silence", "half a head", "no body"],
)
def test_fault_08_who_says_nothing_keeps_nobody_from_the_api(controller: RunningController, word: bytes) -> None:
    with silent(controller.port, MAX_CONNECTIONS + 50, word):
        assert controller.call("GET", "/v1/healthz")[0] == 200


def test_fault_08_a_reader_of_events_is_not_the_one_who_makes_room(controller: RunningController) -> None:
    with controller.connect() as reader:
        reader.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: b"qslice_event_followers 1" in controller.call("GET", "/metrics")[2], 20)
        with silent(controller.port, MAX_CONNECTIONS + 50):
            assert b"qslice_event_followers 1" in controller.call("GET", "/metrics")[2]


def test_fault_08_who_connects_as_a_switch_and_says_nothing_keeps_no_switch_out(controller: RunningController) -> None:
    before = times_connected(controller)
    with silent(controller.openflow_port, MAX_STRANGERS + 50), OpenFlowSwitch(controller.openflow_port, DPID) as switch:
        wait_until(lambda: times_connected(controller) > before, 30)
        assert not switch.ended.is_set()


def test_fault_08_a_switch_that_never_says_which_it_is_is_ended(controller: RunningController) -> None:
    with silent(controller.openflow_port, 1) as (sock,):
        sock.settimeout(60)
        received = b""
        while octets := sock.recv(4096):
            received += octets
    assert received[:2] == bytes((4, 0))  # the controller's hello, and then the end
