"""Carrier by the kernel's word: its messages, real links, and how its word and the switches' go together."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.monitoring.link_state import LinkMonitor
from controller.southbound.carrier import IFF_LOWER_UP, IFF_UP, RTM_DELLINK, RTM_NEWLINK, CarrierWatch, carriers
from tests.support.wait import wait_until
from topologies.catalog import ukqntel

TOPOLOGY = ukqntel()
CHANNEL = TOPOLOGY.channel("cell1-agg1-ch1")
HERE, THERE = (TOPOLOGY.port_of(site, CHANNEL.id) for site in CHANNEL.ends)
LINKED = IFF_UP | IFF_LOWER_UP


def message(name: str, flags: int, kind: int = RTM_NEWLINK) -> bytes:
    """As linux/rtnetlink.h has it, with an attribute (IFLA_MTU) before the name."""
    octets = name.encode() + b"\0"
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 1, 7, flags, 0)
    body += struct.pack("=HHI", 8, 4, 1500)
    body += struct.pack("=HH", 4 + len(octets), 3) + octets + bytes(-len(octets) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "kind", "has_carrier"),
    [
        (LINKED, RTM_NEWLINK, True),
        (IFF_UP, RTM_NEWLINK, False),  # the far end is gone
        (IFF_LOWER_UP, RTM_NEWLINK, False),  # taken down here
        (LINKED, RTM_DELLINK, False),
    ],
)
def test_a_link_has_carrier_when_it_is_there_and_up_at_both_layers(flags: int, kind: int, has_carrier: bool) -> None:
    assert list(carriers(message("s1-eth1", flags, kind))) == [("s1-eth1", has_carrier)]


def test_one_datagram_may_tell_of_many_links_and_of_other_things() -> None:
    done = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)  # NLMSG_DONE, as at the end of a dump
    datagram = message("a", LINKED) + message("longer-name", 0) + done
    assert dict(carriers(datagram)) == {"a": True, "longer-name": False}


@given(st.binary(max_size=200), st.integers(0, 60))
def test_whatever_follows_or_is_cut_off_a_whole_message_is_read(noise: bytes, cut: int) -> None:
    whole = message("s1-eth1", LINKED) + noise
    found = list(carriers(whole[: len(whole) - cut]))
    assert found[:1] == [("s1-eth1", True)] or cut > len(noise)


@pytest.mark.needs_root
def test_the_kernel_tells_of_carrier_that_goes_and_comes_back() -> None:
    seen: dict[str, bool] = {}
    with _veth("qc0", "qc1"):
        watch = CarrierWatch()
        reader = threading.Thread(target=_read, args=(watch, seen, "qc-end"), daemon=True)
        reader.start()
        try:
            wait_until(lambda: seen.get("qc0") is True and seen.get("qc1") is True, 5.0)
            _ip("link", "set", "qc1", "down")
            wait_until(lambda: seen.get("qc0") is False and seen.get("qc1") is False, 5.0)
            _ip("link", "set", "qc1", "up")
            wait_until(lambda: seen.get("qc0") is True and seen.get("qc1") is True, 5.0)
        finally:
            with _veth("qc-end", "qc-end1"):
                reader.join(5.0)
            watch.close()
    assert not reader.is_alive()


@pytest.mark.needs_root
def test_words_that_were_lost_are_asked_for_again() -> None:
    with _veth("qc0", "qc1"):
        watch = CarrierWatch(buffer_bytes=1)
        try:
            for _ in range(20):
                _ip("link", "set", "qc1", "down")
                _ip("link", "set", "qc1", "up")
            _ip("link", "set", "qc1", "down")
            seen: dict[str, bool] = {}
            while seen.get("qc1") is not False or seen.get("qc0") is not False or "lo" not in seen:
                seen.update(watch.news())
        finally:
            watch.close()


class _veth:
    """A veth pair, up."""

    def __init__(self, a: str, b: str) -> None:
        self._a, self._b = a, b

    def __enter__(self) -> None:
        _ip("link", "add", self._a, "type", "veth", "peer", "name", self._b)
        for name in (self._a, self._b):
            _ip("link", "set", name, "up")

    def __exit__(self, *_: object) -> None:
        _ip("link", "del", self._a)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _read(watch: CarrierWatch, seen: dict[str, bool], until: str) -> None:
    while until not in seen:
        seen.update(watch.news())


# --- beside the switches' words ---------------------------------------------------------------------------------------


@pytest.fixture
def links() -> LinkMonitor:
    return LinkMonitor(TOPOLOGY, hold_down_s=1.0)


def test_a_channel_is_down_by_the_kernels_word_alone(links: LinkMonitor) -> None:
    assert links.carrier({HERE.interface: False, "eth0": False}, 0.0) == {CHANNEL.id: False}
    assert links.silent == frozenset()  # without carrier: that is no silence
    assert links.carrier({HERE.interface: True}, 1.0) == {}
    assert links.due(2.0) == {CHANNEL.id: True}


def test_an_older_word_of_the_switch_does_not_take_the_kernels_back(links: LinkMonitor) -> None:
    links.carrier({HERE.interface: False, THERE.interface: False}, 0.0)
    for port in (HERE, THERE):  # the switches have not noticed yet
        assert links.report(port.site, port.number, True, 0.01) == {}
    assert not links.is_up(CHANNEL.id)
    assert links.due(100.0) == {}


def test_the_switches_have_to_agree_before_a_channel_is_up_again(links: LinkMonitor) -> None:
    links.carrier({HERE.interface: False}, 0.0)
    links.report(HERE.site, HERE.number, False, 0.01)
    links.carrier({HERE.interface: True}, 5.0)
    assert links.due(10.0) == {}
    links.report(HERE.site, HERE.number, True, 10.0)
    assert links.due(11.0) == {CHANNEL.id: True}


def test_a_cut_so_short_that_the_switch_never_noticed_ends_all_the_same(links: LinkMonitor) -> None:
    links.carrier({HERE.interface: False}, 0.0)
    links.carrier({HERE.interface: True}, 0.001)
    assert links.due(1.1) == {CHANNEL.id: True}
