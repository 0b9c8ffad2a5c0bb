"""Padding against traffic analysis: one length for all, one rate whatever is said, nothing of it delivered."""

from __future__ import annotations

import pytest

from kms.tunnel.packet.traffic_padding import MAX_LATE_S, QUEUE_PACKETS, Padding
from tests.property.tunnel.test_frames import filled, received
from tests.support.tunnel_world import STRANGER, A, B, End, World, both, inner_packet, payloads, up

MTU = 1438


def world_of(padding: Padding, **more: object) -> World:
    return up(World(**both(padding=padding, mtu=MTU, probe_s=0.0, **more)))


def esp_of(end: End) -> list[bytes]:
    return [datagram for datagram in end.sent if datagram[:4] != bytes(4)]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 100, MTU - 20])
def test_all_packets_are_as_long_as_the_longest(length: int) -> None:
    world = world_of(Padding.MTU)
    world.send_payload(world.a, bytes([7]) * length)
    world.run(0.05)
    assert {len(datagram) for datagram in esp_of(world.a)} == {1472}
    assert payloads(world.b.delivered) == [bytes([7]) * length]
    assert world.b.session.counters.rx_bytes == 20 + length


def test_one_at_a_time_where_they_are_padded() -> None:
    world = world_of(Padding.MTU)
    packet = inner_packet(A, B, bytes(80))
    _, shape = filled([packet] * 3)
    assert not world.a.session.outbound.seal_frames(shape, 3, len(packet), world.now)
    world.send(world.a, packet)
    rows = received(esp_of(world.a) * 2)
    assert world.b.session.inbound.open_frames(rows, 1, world.now) is None
    world.run(0.05)
    assert world.b.delivered == [packet]


def test_the_rate_does_not_tell_whether_anybody_talks() -> None:
    world = world_of(Padding.CONSTANT_RATE, padding_pps=500.0)
    world.run(1.0)
    before, counters = len(esp_of(world.a)), world.a.session.counters
    world.run(1.0)
    silent = len(esp_of(world.a)) - before
    for n in range(100):
        world.send_payload(world.a, bytes([n]) * 50)
        world.run(0.01)
    talking = len(esp_of(world.a)) - before - silent
    assert abs(silent - 500) <= 3
    assert abs(talking - 500) <= 3
    assert {len(datagram) for datagram in esp_of(world.a)} == {1472}
    world.run(0.1)
    assert payloads(world.b.delivered) == [bytes([n]) * 50 for n in range(100)]
    received_in_all = world.b.session.counters
    assert counters.tx_packets == received_in_all.rx_packets == 100
    assert received_in_all.rx_dummies >= counters.tx_dummies - 10 > 1000
    assert received_in_all.rx_selector_drops == 0


def test_more_than_the_rate_carries_is_dropped_and_counted() -> None:
    world = world_of(Padding.CONSTANT_RATE, padding_pps=100.0)
    for _ in range(QUEUE_PACKETS + 50):
        world.send_payload(world.a, b"x")
    assert world.a.session.counters.tx_padding_drops >= 49
    world.run(3.0)
    assert len(world.b.delivered) == world.a.session.counters.tx_packets <= QUEUE_PACKETS + 2


def test_slots_that_were_slept_through_are_not_made_up_for() -> None:
    world = world_of(Padding.CONSTANT_RATE, padding_pps=1000.0)
    world.run(0.5)
    sent = len(esp_of(world.a))
    world.now += 10.0  # nobody ran this process
    world.a.session.handle_timer(world.now)
    world.settle(world.a)
    assert len(esp_of(world.a)) - sent <= 1000 * MAX_LATE_S + 2


def test_after_the_last_key_no_slot_is_served_and_nothing_waits() -> None:
    world = world_of(Padding.CONSTANT_RATE, padding_pps=100.0, lifetime_s=3.0)
    world.keys.is_dry = True
    world.run(4.0)
    sent = len(esp_of(world.a))
    world.run(2.0)
    assert len(esp_of(world.a)) == sent
    world.keys.is_dry = False
    world.run(2.0)
    assert len(esp_of(world.a)) > sent


def test_a_dummy_is_dropped_in_silence_by_an_end_that_makes_none() -> None:
    world = up(World())
    current = world.a.session.current
    assert current is not None
    dummies = [current.outbound.seal(b"", 59, 100) for _ in range(4)]
    world.inject(world.b, dummies[0])
    rows = world.b.session.inbound.open_frames(received(dummies[1:]), 3, world.now)
    assert rows is not None
    assert len(rows) == 0
    counters = world.b.session.counters
    assert (counters.rx_dummies, counters.rx_selector_drops, counters.rx_malformed) == (4, 0, 0)


def test_padding_does_not_widen_the_selector() -> None:
    world = world_of(Padding.MTU)
    current = world.a.session.current
    assert current is not None
    for packet in (inner_packet(STRANGER, B, b"x"), inner_packet(A, B, b"x")[:10], b"", b"\x45\0\xff\xff" + bytes(16)):
        world.inject(world.b, current.outbound.seal(packet, 4, MTU))
    assert world.b.delivered == []
    assert world.b.session.counters.rx_selector_drops == 4


def test_ends_of_different_padding_get_no_sa() -> None:
    world = World(initiator=both(padding=Padding.MTU, mtu=MTU)["initiator"])
    world.start()
    world.run(1.0)
    assert world.a.session.current is None
