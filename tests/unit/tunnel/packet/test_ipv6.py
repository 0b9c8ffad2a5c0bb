"""IPv6 beside IPv4 in one session: what passes, what is dropped and counted, and that ends must agree on it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from kms.tunnel.packet.traffic_padding import Padding
from tests.property.tunnel.test_frames import filled, received, through
from tests.support.tunnel_world import (
    A6,
    B6,
    INITIATOR,
    RESPONDER,
    STRANGER6,
    A,
    B,
    World,
    dual,
    inner_packet,
    up,
)

MTU = 1438
SIX, FOUR = inner_packet(A6, B6, b"six"), inner_packet(A, B, b"four")


def changed(packet: bytes, at: int, octets: bytes) -> bytes:
    return packet[:at] + octets + packet[at + len(octets) :]


MALFORMED = {
    "nothing": b"",
    "a nibble": b"\x60",
    "half a header": SIX[:20],
    "a header less an octet": SIX[:39],
    "shorter than it says": SIX[:-1],
    "longer than it says": SIX + b"\0",
    "no length": changed(SIX, 4, b"\0\0"),
    "version 4": changed(SIX, 0, b"\x45"),
    "version 5": changed(SIX, 0, b"\x50"),
    "version 7": changed(SIX, 0, b"\x70"),
    "foreign source": inner_packet(STRANGER6, B6, b"x"),
    "foreign destination": inner_packet(A6, STRANGER6, b"x"),
    "the way back": inner_packet(B6, A6, b"x"),
    "to all nodes": changed(SIX, 24, bytes.fromhex("ff020000000000000000000000000001")),
}


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"repairs": True}, {"padding": Padding.MTU, "mtu": MTU},
        {"padding": Padding.CONSTANT_RATE, "mtu": MTU, "padding_pps": 2000.0},
    ],
)  # fmt: skip
def test_both_families_pass_both_ways(changes: dict[str, Any]) -> None:
    world = up(World(**dual(**changes)))
    there = [make(bytes([n]) * n) for n in range(40) for make in (lambda p: inner_packet(A6, B6, p),
                                                                  lambda p: inner_packet(A, B, p))]  # fmt: skip
    back = [inner_packet(B6, A6, bytes([n]) * 1000) for n in range(20)]
    for packet in there:
        world.send(world.a, packet)
        world.run(0.001)
    for packet in back:
        world.send(world.b, packet)
        world.run(0.001)
    world.run(0.2)
    assert (world.b.delivered, world.a.delivered) == (there, back)
    for end, other, packets in ((world.a, world.b, there), (world.b, world.a, back)):
        sent, got = end.session.counters, other.session.counters
        assert sent.tx_packets == got.rx_packets == len(packets)
        assert sent.tx_bytes == got.rx_bytes == sum(map(len, packets))
        assert (sent.tx_selector_drops, got.rx_selector_drops) == (0, 0)


def test_a_copy_of_each_is_told_from_a_replay() -> None:
    world = up(World(**dual(expects_copies=True)))
    world.weather.duplication = 1.0
    for n in range(20):
        world.send(world.a, inner_packet(A6, B6, bytes([n])))
    world.run(0.1)
    assert world.b.delivered == [inner_packet(A6, B6, bytes([n])) for n in range(20)]
    assert world.b.session.counters.rx_copies >= 20
    assert world.b.session.counters.rx_replay_drops == 0


def test_what_is_lost_is_sent_again() -> None:
    world = up(World(**dual(repairs=True)))
    packets = [inner_packet(A6, B6, bytes([n]) * 100) for n in range(60)]
    for n, packet in enumerate(packets):
        world.weather.loss = 1.0 if 20 <= n < 40 else 0.0
        world.send(world.a, packet)
        world.run(0.001)
    world.run(0.1)
    assert sorted(world.b.delivered) == packets
    assert world.b.session.counters.rx_repaired == 20


def test_packets_of_either_family_wait_for_the_first_key() -> None:
    world = World(**dual())
    world.start()
    for packet in (SIX, FOUR):
        world.send(world.a, packet)
    world.run(0.1)
    assert world.b.delivered == [SIX, FOUR]


def test_extension_headers_and_fragments_pass_as_they_are() -> None:
    world = up(World(**dual()))
    packets = [changed(SIX, 6, bytes((kind,))) for kind in (0, 43, 44, 51, 60, 135)]
    for packet in packets:
        world.send(world.a, packet)
    world.run(0.1)
    assert world.b.delivered == packets


@pytest.mark.parametrize("packet", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_of_the_connection_does_not_enter(packet: bytes) -> None:
    world = up(World(**dual()))
    world.send(world.a, packet)
    world.run(0.1)
    assert world.b.delivered == []
    assert world.a.session.counters.tx_selector_drops == 1
    if len(packet) >= 20:
        assert not world.a.session.outbound.seal_frames(filled([packet] * 3)[1], 3, len(packet), world.now)
    assert world.a.session.counters.tx_packets == 0


# Padding makes a packet of any length that it says it has.
LENGTHS_ALONE = {"shorter than it says", "longer than it says", "no length"}
CASES = [
    pytest.param(packet, next_header, padding, id=f"{name}-{next_header}-{padding.value}")
    for padding in (Padding.NONE, Padding.MTU)
    for next_header in (4, 41)
    for name, packet in MALFORMED.items()
    if padding is Padding.NONE or name not in LENGTHS_ALONE
]


@pytest.mark.parametrize(("packet", "next_header", "padding"), CASES)
def test_what_is_not_of_the_connection_does_not_leave(packet: bytes, next_header: int, padding: Padding) -> None:
    """An authentic peer has sealed it: alone, and in a run."""
    world = up(World(**dual(padding=padding, mtu=MTU)))
    current = world.a.session.current
    assert current is not None
    is_cut = padding is not Padding.NONE
    for pad_to in {0, MTU if is_cut else 0}:
        world.inject(world.b, current.outbound.seal(packet, next_header, pad_to))
    run = [current.outbound.seal(packet, next_header) for _ in range(4)]
    opened = world.b.session.inbound.open_frames(received(run), 4, world.now)
    assert opened is None if is_cut else opened is not None and len(opened) == 0
    world.run(0.1)
    assert world.b.delivered == []
    assert world.b.session.counters.rx_selector_drops == (2 if is_cut else 5)
    assert world.b.session.counters.rx_packets == 0


@pytest.mark.parametrize(("packet", "next_header"), [(SIX, 4), (FOUR, 41), (SIX, 6), (FOUR, 17)])
def test_what_esp_says_is_inside_must_be_inside(packet: bytes, next_header: int) -> None:
    world = up(World(**dual()))
    current = world.a.session.current
    assert current is not None
    if next_header in (4, 41):
        world.inject(world.b, current.outbound.seal(packet, next_header))
        run = [current.outbound.seal(packet, next_header) for _ in range(3)]
        opened = world.b.session.inbound.open_frames(received(run), 3, world.now)
        assert opened is not None
        assert len(opened) == 0
        assert world.b.session.counters.rx_selector_drops == 4
    assert world.b.delivered == []


def test_frames_of_either_family_and_never_of_both_at_once() -> None:
    world = up(World(**dual()))
    sixes = [inner_packet(A6, B6, bytes([n]) * 100) for n in range(5)]
    fours = [inner_packet(A, B, bytes([n]) * 120) for n in range(5)]
    assert through(world, sixes) == sixes
    assert through(world, fours) == fours
    assert through(world, [sixes[0], fours[0], sixes[1]]) is None
    assert world.b.session.counters.rx_packets == 10


def test_without_addresses_of_its_own_no_ipv6_passes() -> None:
    world = up(World())
    world.send(world.a, SIX)
    current = world.a.session.current
    assert current is not None
    world.inject(world.b, current.outbound.seal(SIX, 41))
    assert world.b.delivered == []
    assert world.a.session.counters.tx_selector_drops == world.b.session.counters.rx_selector_drops == 1


@pytest.mark.parametrize("others", [{}, {"local_address6": B6, "peer_address6": STRANGER6}])
def test_ends_that_were_told_different_addresses_get_no_sa(others: dict[str, Any]) -> None:
    world = World(
        initiator=replace(INITIATOR, local_address6=A6, peer_address6=B6), responder=replace(RESPONDER, **others)
    )
    world.start()
    world.run(1.0)
    assert world.a.session.current is None
    assert world.b.session.current is None


def test_rubbish_that_a_peer_has_sealed_raises_nothing() -> None:
    world, source = up(World(**dual())), random.Random(6)
    current = world.a.session.current
    assert current is not None
    for n in range(3000):
        packet = bytearray(source.choice((SIX, FOUR)))
        for _ in range(source.randrange(1, 4)):
            packet[source.randrange(len(packet))] = source.randrange(256)
        sealed = current.outbound.seal(bytes(packet[: source.randrange(len(packet) + 1)]), source.choice((4, 41)))
        got = world.b.session.inbound.receive_datagram(sealed, world.now)
        counters = world.b.session.counters
        assert counters.rx_packets + counters.rx_selector_drops == n + 1
        assert got is None or got[0] >> 4 in (4, 6)
