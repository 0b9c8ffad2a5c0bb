"""Frames go from a client's port to the same client's port at the other card, sealed in between, and to no other."""

from __future__ import annotations

import random
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from kms.tunnel.cards.frames_in import ClientDelivery
from kms.tunnel.cards.frames_out import FramesOut
from kms.tunnel.dataplane.paths.batching import SOL_UDP, UDP_GRO
from kms.tunnel.dataplane.paths.datagram_sender import DatagramSender
from kms.tunnel.dataplane.paths.inbound_path import InboundPath
from kms.tunnel.packet.ethernet import tag_of
from tests.support.tunnel_world import World, both, up

BUFFER_BYTES = 4 << 20
CIRCUITS = (1, 7)
ADDRESSES = b"\x02to to\x02fromm"


@dataclass
class Port:
    """A client's port: ``switch`` is what the switch holds of it, ``card`` what the card does."""

    switch: socket.socket
    card: socket.socket

    def arrived(self) -> list[bytes]:
        found = []
        while select.select([self.switch], [], [], 0)[0]:
            found.append(self.switch.recv(70_000))
        return found


@dataclass
class Bench:
    """Two cards whose sessions are up; ``between`` are their sockets."""

    world: World
    near: dict[int, Port]
    far: dict[int, Port]
    out: FramesOut
    into: InboundPath
    between: tuple[socket.socket, socket.socket]
    to_cards: list[bytes] = field(default_factory=list)

    def read(self, port: Port, circuit: int) -> None:
        """What waits at a near port goes out as that circuit's."""
        self.out.read_port(port.card.fileno(), int.from_bytes(tag_of(circuit)), self.world.now)

    def carry(self) -> None:
        """What waits at the near ports goes to the far ones."""
        for circuit, port in self.near.items():
            self.read(port, circuit)
        while select.select([self.between[1]], [], [], 0)[0]:
            self.into.read_socket(self.world.now)


def frame(number: int, length: int) -> bytes:
    return (ADDRESSES + b"\x08\x00" + number.to_bytes(4, "big")).ljust(length, b"%c" % (number & 0xFF))


@pytest.fixture
def bench() -> Iterator[Bench]:
    world = up(World(**both(carries_frames=True)))
    with ExitStack() as stack:
        ends: list[dict[int, Port]] = []
        for _ in range(2):
            ports = {}
            for circuit in CIRCUITS:
                pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                for one in pair:
                    stack.enter_context(one)
                    one.setblocking(False)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
                ports[circuit] = Port(*pair)
            ends.append(ports)
        a, b = (stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
        for one in (a, b):
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            one.bind(("127.0.0.1", 0))
        a.connect(b.getsockname())
        b.connect(a.getsockname())
        b.setsockopt(SOL_UDP, UDP_GRO, 1)
        to_cards: list[bytes] = []
        errors: list[OSError] = []
        inbound = world.b.session.inbound
        fds = {tag_of(circuit): port.card.fileno() for circuit, port in ends[1].items()}
        delivery = ClientDelivery(fds, inbound.counters, to_cards.append, errors.append)
        outbound = world.a.session.outbound
        out = FramesOut(outbound, DatagramSender(a, outbound.counters, errors.append))
        into = InboundPath(delivery, b, inbound, errors.append)
        yield Bench(world, ends[0], ends[1], out, into, (a, b), to_cards)
        assert not errors


def test_each_frame_comes_out_once_in_order_at_its_clients_port_as_it_went_in(bench: Bench) -> None:
    chance, number = random.Random(5), 0
    for _ in range(60):
        sent: dict[int, list[bytes]] = {circuit: [] for circuit in CIRCUITS}
        for circuit in CIRCUITS:
            for length in chance.choices((60, 61, 1514, 1518, 1614), k=chance.choice((0, 1, 3))):
                for _ in range(chance.choice((1, 2, 5, 40))):
                    number += 1
                    sent[circuit].append(frame(number, length))
                    bench.near[circuit].switch.send(sent[circuit][-1])
        bench.carry()
        assert {circuit: port.arrived() for circuit, port in bench.far.items()} == sent
    assert number > 1000
    assert bench.world.b.session.counters.rx_packets == bench.world.a.session.counters.tx_packets == number


def test_all_clients_of_a_card_are_sealed_under_one_key(bench: Bench) -> None:
    for circuit in CIRCUITS:
        for n in range(10):
            bench.near[circuit].switch.send(frame(n, 100))
    for circuit, port in bench.near.items():
        bench.read(port, circuit)
    bench.between[1].setsockopt(SOL_UDP, UDP_GRO, 0)
    seen = []
    while select.select([bench.between[1]], [], [], 0)[0]:
        datagram = bench.between[1].recv(70_000)
        size = len(datagram) // 10 if len(datagram) > 1000 else len(datagram)  # GSO of the loopback interface
        seen += [datagram[at : at + size] for at in range(0, len(datagram), size)]
    assert len(seen) == 20
    assert len({datagram[:4] for datagram in seen}) == 1
    assert ADDRESSES not in b"".join(seen)


@pytest.mark.parametrize("count", [1, 20])
def test_a_circuit_that_the_other_card_does_not_have_ends_there(bench: Bench, count: int) -> None:
    for n in range(count):
        bench.near[1].switch.send(frame(n, 200))
    bench.read(bench.near[1], 9)
    bench.carry()
    assert [port.arrived() for port in bench.far.values()] == [[], []]
    assert bench.world.b.session.counters.rx_device_drops == count


@pytest.mark.parametrize("count", [1, 20])
def test_what_is_for_the_card_itself_goes_to_no_port(bench: Bench, count: int) -> None:
    for n in range(count):
        bench.near[1].switch.send(frame(n, 200))
    bench.read(bench.near[1], 0)
    bench.carry()
    assert [port.arrived() for port in bench.far.values()] == [[], []]
    assert len(bench.to_cards) == count


def test_a_frame_too_long_to_be_whole_is_dropped_and_counted(bench: Bench) -> None:
    bench.near[1].switch.send(frame(1, 2044))
    bench.near[1].switch.send(frame(2, 3000))
    bench.near[1].switch.send(frame(3, 2043))
    bench.carry()
    assert bench.far[1].arrived() == [frame(3, 2043)]
    assert bench.world.a.session.counters.tx_selector_drops == 2


def test_without_a_key_nothing_leaves_and_nothing_waits_for_one(bench: Bench) -> None:
    world = bench.world
    world.a.session.handle_timer(world.now + 1e6)
    assert world.a.session.current is None
    for n in range(30):
        bench.near[7].switch.send(frame(n, 300))
    bench.carry()
    assert bench.far[7].arrived() == []
    assert world.a.session.counters.tx_no_sa_drops == 30
    assert not select.select([bench.between[1]], [], [], 0)[0]
