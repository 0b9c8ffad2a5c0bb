"""The receiving loop on real sockets: datagrams that come one by one, joined, of other lengths, mixed."""

from __future__ import annotations

import os
import random
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from kms.tunnel.dataplane.paths.batching import SOL_UDP, UDP_GRO, UDP_SEGMENT
from kms.tunnel.dataplane.paths.delivery import TunDelivery
from kms.tunnel.dataplane.paths.inbound_path import ROOM_BYTES, InboundPath
from kms.tunnel.dataplane.paths.recvmmsg import ManyReceiver
from kms.tunnel.packet.esp import datagram_bytes
from kms.tunnel.packet.frame_buffer import Frames
from kms.tunnel.packet.room import make_room
from kms.tunnel.packet.virtio_header import VNET_BYTES
from tests.support.tunnel_sockets import surroundings
from tests.support.tunnel_world import STRANGER, A, B, World, inner_packet, up


@dataclass
class Bench:
    """``path`` receives from ``sender`` and writes to a device that ``written`` reads."""

    world: World
    path: InboundPath
    sender: socket.socket
    device: socket.socket
    receiver: socket.socket
    errors: list[OSError]

    def seal(self, payload: bytes) -> bytes:
        sealed = self.world.a.session.outbound.send_packet(inner_packet(A, B, payload), self.world.now)
        assert sealed is not None
        return sealed

    def send_joined(self, datagrams: list[bytes]) -> None:
        size = struct.pack("=H", len(datagrams[0]))
        self.sender.sendmsg([b"".join(datagrams)], [(SOL_UDP, UDP_SEGMENT, size)])

    def written(self) -> list[bytes]:
        """Payloads in the order in which they came out."""
        while select.select([self.receiver], [], [], 0)[0]:  # as the event loop does
            self.path.read_socket(self.world.now)
        found = []
        while True:
            try:
                found.append(self.device.recv(70000)[VNET_BYTES + 20 :])
            except BlockingIOError:
                return found


@pytest.fixture
def bench() -> Iterator[Bench]:
    world = up(World())
    with surroundings() as (host, tun, near, far):
        near.setsockopt(SOL_UDP, UDP_GRO, 1)
        errors: list[OSError] = []
        inbound = world.b.session.inbound
        delivery = TunDelivery(tun, inbound.counters, ROOM_BYTES, errors.append)
        yield Bench(world, InboundPath(delivery, near, inbound, errors.append), far, host, near, errors)


def test_whatever_comes_in_whatever_way_comes_out_once_and_in_order(bench: Bench) -> None:
    chance = random.Random(3)
    number, modes = 0, set()
    for _ in range(300):
        expected = []
        for _ in range(chance.randrange(1, 5)):
            size, count = chance.choice((0, 36, 600, 1410)), chance.choice((1, 2, 20, 40))
            payloads = [(number + n).to_bytes(4, "big") + bytes(size) for n in range(count)]
            number += count
            sealed = [bench.seal(payload) for payload in payloads]
            if count > 1 and chance.random() < 0.3:
                bench.send_joined(sealed)
            else:
                for datagram in sealed:
                    bench.sender.send(datagram)
            expected += payloads
        assert bench.written() == expected
        modes.add(bench.path._many is not None)
    assert modes == {True, False}, "both ways of receiving were to be tried"
    assert bench.errors == []
    assert bench.world.b.session.counters.rx_packets == number


def test_what_must_not_pass_among_many_that_come_one_by_one(bench: Bench) -> None:
    def many() -> list[bytes]:
        return [bench.seal(n.to_bytes(4, "big") + bytes(100)) for n in range(60)]

    for datagram in many():
        bench.sender.send(datagram)
    assert len(bench.written()) == 60
    assert bench.path._many is not None
    datagrams = many()
    datagrams[7] = datagrams[6]
    datagrams[20] = datagrams[20][:-1] + bytes((datagrams[20][-1] ^ 1,))
    datagrams[30] = b""
    datagrams[40] = datagrams[40][:50]
    datagrams[50] = os.urandom(60000)
    for datagram in datagrams:
        bench.sender.send(datagram)
    expected = [n for n in range(60) if n not in (7, 20, 30, 40, 50)]
    assert [int.from_bytes(payload[:4], "big") for payload in bench.written()] == expected
    counters = bench.world.b.session.counters
    assert (counters.rx_replay_drops, counters.rx_auth_failures, counters.rx_unknown_spi) == (1, 2, 1)
    for datagram in many():
        bench.sender.send(datagram)
    assert len(bench.written()) == 60


def test_rubbish_that_comes_one_by_one_in_all_lengths_is_dropped_and_counted(bench: Bench) -> None:
    chance = random.Random(4)
    for _ in range(200):
        for _ in range(chance.randrange(1, 4)):
            rubbish = os.urandom(chance.choice((0, 0, 1, 3, 4, 30, 36, 40, 1472, 9000)))
            for _ in range(chance.choice((1, 15, 16, 17, 40))):
                bench.sender.send(rubbish)
        genuine = [bench.seal(bytes((n,))) for n in range(chance.choice((1, 17)))]
        for datagram in genuine:
            bench.sender.send(datagram)
        assert len(bench.written()) == len(genuine)
    assert bench.errors == []


def test_gaps_do_not_make_everything_go_one_by_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    singly: list[bytes] = []
    receive = bench.world.b.session.inbound.receive_datagram

    def noted(datagram: bytes, now: float) -> bytes | None:
        singly.append(datagram)
        return receive(datagram, now)

    monkeypatch.setattr(bench.world.b.session.inbound, "receive_datagram", noted)
    datagrams = [bench.seal(n.to_bytes(4, "big") + bytes(100)) for n in range(44)]
    arriving = [n for n in range(44) if n not in (0, 10, 12, 30)]
    arriving[-1], arriving[-2] = arriving[-2], arriving[-1]
    for n in arriving:
        bench.sender.send(datagrams[n])
    assert [int.from_bytes(payload[:4], "big") for payload in bench.written()] == arriving
    assert [datagrams.index(datagram) for datagram in singly] == [11, 43, 42]
    for n in (30, 30, 12, 5):
        bench.sender.send(datagrams[n])
    assert [int.from_bytes(payload[:4], "big") for payload in bench.written()] == [30, 12]
    assert bench.world.b.session.counters.rx_replay_drops == 2


def test_a_closed_port_at_the_other_end_is_noted_and_passes(bench: Bench) -> None:
    for n in range(40):
        bench.sender.send(bench.seal(bytes((n,))))
    assert len(bench.written()) == 40
    assert bench.path._many is not None
    bench.sender.close()
    bench.receiver.send(b"to nobody")
    bench.path.read_socket(bench.world.now)
    assert [error.errno for error in bench.errors] == [111]


def test_what_is_longer_than_its_slot_is_whole() -> None:
    receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with receiver, sender:
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        many = ManyReceiver(receiver, make_room(1000), 100, 1000)
        assert many.capacity == 10
        with pytest.raises(BlockingIOError):
            many.receive()
        sent = [os.urandom(length) for length in (100, 99, 101, 0, 50000, 100)]
        for datagram in sent:
            sender.send(datagram)
        assert many.receive() == 6
        assert not many.are_regular(6)
        assert many.are_regular(1)
        assert [many.message(n) for n in range(6)] == [(datagram, len(datagram)) for datagram in sent]


def test_packets_that_are_alike_are_looked_at_all_the_same() -> None:
    session = up(World()).a.session
    shape = Frames(65507, in_place=True).shape(datagram_bytes(100))
    for source, target, expected in ((A, B, True), (STRANGER, B, False), (A, STRANGER, False)):
        shape.texts[:5, :100] = np.frombuffer(inner_packet(source, target, bytes(80)), np.uint8)
        assert session.outbound.seal_frames(shape, 5, 100, 1001.0, are_alike=True) is expected


def test_many_of_which_none_may_pass_stop_nothing_else(bench: Bench) -> None:
    """Genuine, but between others' addresses: their sender's selector is not there to stop them."""
    pair = bench.world.a.session.current
    assert pair is not None
    for length in (100, 1300):
        foreign = [pair.outbound.seal(inner_packet(STRANGER, B, bytes(length))) for _ in range(6)]
        for datagram in (*foreign, bench.seal(b"last")):
            bench.sender.send(datagram)
        assert bench.written() == [b"last"]
    assert bench.world.b.session.counters.rx_selector_drops == 12
    assert bench.errors == []


@pytest.mark.parametrize(("content", "next_header"), [(b"", 59), (b"", 4), (bytes(100), 59), (bytes(3), 41)])
def test_many_that_hold_no_packet_stop_nothing_else(bench: Bench, content: bytes, next_header: int) -> None:
    pair = bench.world.a.session.current
    assert pair is not None
    bench.send_joined([pair.outbound.seal(content, next_header) for _ in range(20)])
    for _ in range(20):
        bench.sender.send(pair.outbound.seal(content, next_header))
    bench.sender.send(bench.seal(b"last"))
    assert bench.written() == [b"last"]
    counters = bench.world.b.session.counters
    assert counters.rx_dummies + counters.rx_selector_drops == 40
    assert bench.errors == []
