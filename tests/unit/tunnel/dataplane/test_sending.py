"""The sending loop on real sockets: packets and super-packets that wait for it in any order, alike or not."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from kms.tunnel.dataplane.paths.outbound_path import OutboundPath
from kms.tunnel.packet.segmentation import write_segments
from kms.tunnel.packet.virtio_header import NO_OFFLOAD, VnetHeader
from tests.support.tunnel_sockets import surroundings
from tests.support.tunnel_world import STRANGER, A, B, World, up
from tests.unit.tunnel.packet.test_gso import DATA, TIMESTAMPS, handed_over, segments

SIZE = 1300


class Door:
    """A UDP socket that can be full, which one on the loopback interface never is."""

    def __init__(self, udp: socket.socket) -> None:
        self._udp = udp
        self.is_shut = False
        self.calls = 0

    def send(self, datagram: bytes) -> int:
        self._pass()
        return self._udp.send(datagram)

    def sendmsg(self, *arguments: Any) -> int:
        self._pass()
        return self._udp.sendmsg(*arguments)

    def _pass(self) -> None:
        if self.is_shut:
            raise BlockingIOError
        self.calls += 1


@dataclass
class Bench:
    """``path`` reads what is written to ``device`` and sends through ``door`` to ``receiver``."""

    world: World
    path: OutboundPath
    door: Door
    device: socket.socket
    receiver: socket.socket

    def arrived(self) -> list[bytes]:
        """The inner packets, in the order in which they came."""
        found: list[bytes] = []
        while True:
            try:
                packet = self.world.b.session.inbound.receive_datagram(self.receiver.recv(2048), self.world.now)
            except BlockingIOError:
                return found
            assert packet is not None
            found.append(packet)


@pytest.fixture
def bench() -> Iterator[Bench]:
    world = up(World())
    with surroundings() as (host, tun, near, far):
        door = Door(near)
        path = OutboundPath(tun, cast("socket.socket", door), world.a.session.outbound, lambda _: None)
        yield Bench(world, path, door, host, far)


class Stream:
    """What a host hands over, each with what its segments are expected to be."""

    def __init__(self) -> None:
        self._sequence = 2**32 - 40_000
        self._identifier = 65_500
        self._clock = 7

    def super_packet(self, count: int, rest: int, *, source: Any = A, options: Any = None, flags: str = "A") -> Item:
        data = DATA[: count * SIZE + rest]
        self._identifier = (self._identifier + 50) % 2**16
        self._clock += 1
        below = IP(src=str(source), dst=str(B), id=self._identifier, flags="DF")
        above = TCP(sport=1, dport=2, seq=self._sequence, ack=self._clock, flags=flags, options=options or [])
        self._sequence = (self._sequence + len(data)) % 2**32
        packet, vnet = handed_over(below, above, data, SIZE)
        return Item(vnet, bytes(packet), segments(packet, vnet) if source is A else [])

    def timed(self, count: int, rest: int = 0, **fields: Any) -> Item:
        return self.super_packet(count, rest, options=[*TIMESTAMPS[:2], ("Timestamp", (self._clock, 3))], **fields)

    def of_udp(self, count: int) -> Item:
        packet, vnet = handed_over(IP(src=str(A), dst=str(B)), UDP(sport=3, dport=4), DATA[: count * SIZE], SIZE)
        return Item(vnet, bytes(packet), segments(packet, vnet))

    def single(self, length: int) -> Item:
        packet = bytes(IP(src=str(A), dst=str(B)) / UDP(sport=5, dport=6) / Raw(DATA[:length]))
        return Item(None, packet, [packet])


@dataclass(frozen=True)
class Item:
    vnet: VnetHeader | None
    packet: bytes
    expected: list[bytes]

    def wire(self) -> bytes:
        return (self.vnet.pack() if self.vnet else NO_OFFLOAD) + self.packet


def test_whatever_waits_in_whatever_order_leaves_once_and_in_order(bench: Bench) -> None:
    chance, stream = random.Random(5), Stream()
    kinds = [
        *[lambda: stream.timed(5)] * 8,
        lambda: stream.timed(5, flags="PA"),
        lambda: stream.timed(5, 700),
        lambda: stream.timed(4),
        lambda: stream.super_packet(5, 0),
        lambda: stream.timed(5, source=STRANGER),  # of the same length and layout
        lambda: stream.of_udp(5),
        lambda: stream.single(30),
        lambda: stream.single(1200),
    ]
    with patch("kms.tunnel.dataplane.paths.outbound_path.write_segments", wraps=write_segments) as cut:
        for _ in range(200):
            items = [chance.choice(kinds)() for _ in range(chance.randrange(1, 12))]
            for item in items:
                bench.device.send(item.wire())
            for _ in items:
                bench.path.read_device(bench.world.now)
            assert bench.arrived() == [packet for item in items for packet in item.expected]
        together = {call.args[1] for call in cut.call_args_list}
    assert together >= {1, 2, 3, 4}, "super-packets were to be cut together, and alone"
    assert bench.world.a.session.counters.tx_selector_drops > 0


def test_what_a_full_socket_does_not_take_leaves_later_in_order_and_in_as_few_calls(bench: Bench) -> None:
    stream = Stream()
    items = [stream.timed(5) for _ in range(7)] + [stream.single(30)]
    bench.door.is_shut = True
    for item in items:
        bench.device.send(item.wire())
    bench.path.read_device(bench.world.now)
    bench.path.sender.resume()
    assert (bench.path.sender.is_stalled, bench.arrived()) == (True, [])
    bench.door.is_shut = False
    bench.path.sender.resume()
    assert (bench.path.sender.is_stalled, bench.door.calls) == (False, len(items))
    assert bench.arrived() == [packet for item in items for packet in item.expected]


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    others=st.integers(0, 3), size=st.sampled_from([1, 2, 536, 1300, 32767, 65500, 65535]), flags=st.integers(0, 255),
    kind=st.sampled_from([1, 4, 5, 0x81, 3]), start=st.sampled_from([0, 20, 24, 40, 65535]),
    length=st.integers(0, 180),
)  # fmt: skip
@example(others=2, size=65500, flags=1, kind=1, start=20, length=180)
def test_no_virtio_header_whatever_it_says_stops_what_comes_with_it(
    bench: Bench, others: int, size: int, flags: int, kind: int, start: int, length: int
) -> None:
    stream = Stream()
    before, after = [stream.timed(3) for _ in range(others)], stream.timed(2)
    odd = VnetHeader(flags, kind, 0, size, start, 16).pack() + stream.timed(1).packet[:length]
    for data in (*(item.wire() for item in before), odd, after.wire()):
        bench.device.send(data)
    for _ in range(4):
        bench.path.read_device(bench.world.now)
    arrived = bench.arrived()
    expected = [packet for item in before for packet in item.expected]
    assert arrived[: len(expected)] == expected
    assert arrived[-2:] == after.expected
