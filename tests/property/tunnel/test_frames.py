"""Many packets at once give what one after the other gives, octet by octet and number by number."""

from __future__ import annotations

from ipaddress import IPv4Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.tunnel.errors import Duplicate, Replayed, SequenceExhausted
from kms.tunnel.packet.cipher_suites import DEFAULT
from kms.tunnel.packet.esp import InboundSa, OutboundSa, datagram_bytes
from kms.tunnel.packet.frame_buffer import Frames, FrameShape
from kms.tunnel.packet.ip_header import AddressPair
from kms.tunnel.packet.replay_window import ReplayWindow
from kms.tunnel.packet.selector import Selector
from tests.support.tunnel_world import A6, B6, A, B, World, inner_packet, up

KEY, SALT, MAX_SEQUENCE = bytes(range(32)), b"salt", DEFAULT.max_sequence
COUNTS = st.integers(2, 44)
LENGTHS = st.integers(20, 1438)


def outbound(sequence: int = 0) -> OutboundSa:
    return OutboundSa(300, KEY, SALT, sequence=sequence)


def inbound(window: int = 64) -> InboundSa:
    return InboundSa(300, KEY, SALT, replay_window=window)


def filled(packets: list[bytes]) -> tuple[Frames, FrameShape]:
    """Inner packets of one length where they are to be sealed."""
    frames = Frames(65507, in_place=True)
    shape = frames.shape(datagram_bytes(len(packets[0])))
    for n, packet in enumerate(packets):
        shape.texts[n, : len(packet)] = list(packet)
    return frames, shape


def received(datagrams: list[bytes]) -> FrameShape:
    """Datagrams of one length as they come."""
    frames = Frames(131072, in_place=False)
    whole = b"".join(datagrams)
    frames.view[: len(whole)] = whole
    return frames.shape(len(datagrams[0]))


@given(COUNTS, LENGTHS, st.integers(0, MAX_SEQUENCE - 44), st.randoms(use_true_random=False))
def test_sealing_and_opening_together_and_apart_are_the_same(
    count: int, length: int, sequence: int, random: Random
) -> None:
    packets = [random.randbytes(length) for _ in range(count)]
    one, many = outbound(sequence), outbound(sequence)
    apart = [one.seal(packet) for packet in packets]
    frames, shape = filled(packets)
    many.seal_frames(shape, count, length)
    assert bytes(frames.view[: count * shape.size]) == b"".join(apart)
    assert one.sequence == many.sequence == sequence + count
    receiver, other = inbound(), inbound()
    opened = receiver.open_frames(received(apart), count)
    assert opened is not None
    assert [(bytes(row), opened[1]) for row in opened[0]] == [other.open(datagram) for datagram in apart]
    assert receiver.highest_sequence == other.highest_sequence
    assert receiver.open_frames(received(apart), count) is None
    for datagram in apart:
        with pytest.raises((Duplicate, Replayed)):
            receiver.open(datagram)


@given(COUNTS, st.integers(0, 43))
def test_numbers_that_do_not_suffice_are_not_begun(count: int, missing: int) -> None:
    missing = min(missing, count - 1)
    sa = outbound(MAX_SEQUENCE - missing)
    frames, shape = filled([bytes(20)] * count)
    before = bytes(frames.view)
    with pytest.raises(SequenceExhausted):
        sa.seal_frames(shape, count, 20)
    assert (sa.sequence, bytes(frames.view)) == (MAX_SEQUENCE - missing, before)


@given(COUNTS, st.data())
def test_one_altered_octet_keeps_the_whole_run_closed_and_changes_nothing(count: int, data: st.DataObject) -> None:
    sender, receiver = outbound(), inbound()
    datagrams = [sender.seal(bytes(60)) for _ in range(count)]
    which, at = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, len(datagrams[0]) - 1))
    altered = bytearray(datagrams[which])
    altered[at] ^= data.draw(st.integers(1, 255))
    assert receiver.open_frames(received([*datagrams[:which], bytes(altered), *datagrams[which + 1 :]]), count) is None
    assert receiver.highest_sequence == 0
    assert receiver.open_frames(received(datagrams), count) is not None


@given(st.sampled_from([32, 33, 64, 8192]), st.lists(st.tuples(st.integers(1, 100), st.integers(1, 128)), max_size=6))
def test_a_run_moves_the_window_as_its_numbers_would(size: int, runs: list[tuple[int, int]]) -> None:
    together, apart = ReplayWindow(size), ReplayWindow(size)
    for gap, count in runs:
        first = together.top + gap
        assert together.is_ahead(first)
        together.commit_run(first, count)
        for number in range(first, first + count):
            apart.commit(number)
    assert together.top == apart.top

    def verdict(window: ReplayWindow, number: int) -> type[Exception] | None:
        try:
            window.check(number)
        except (Duplicate, Replayed) as error:
            return type(error)
        return None

    for number in range(max(1, together.top - size - 5), together.top + 5):
        assert verdict(together, number) is verdict(apart, number)


@given(COUNTS, LENGTHS, st.sampled_from([AddressPair(A, B), AddressPair(A6, B6)]), st.data())
def test_the_selector_sees_every_packet(count: int, length: int, pair: AddressPair, data: st.DataObject) -> None:
    selector = Selector([AddressPair(A, B), AddressPair(A6, B6)])
    length = max(length, pair.family.header_bytes)
    packets = [inner_packet(*pair, bytes(length - pair.family.header_bytes)) for _ in range(count)]
    shape = filled(packets)[1]
    rows = shape.texts[:count, :length]
    assert selector.admits_all(rows) is pair.family
    which, at = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, length - 1))
    rows[which, at] ^= data.draw(st.integers(1, 255))
    alone = [selector.admits(bytes(row)) is pair.family for row in rows]
    same_length_of_header = rows[which, 0] == rows[0, 0] and rows[0, 0] in (0x45, 0x60)
    assert (selector.admits_all(rows) is not None) == all(alone) or not same_length_of_header
    assert selector.admits_all(rows) is None or all(alone)


def through(world: World, packets: list[bytes]) -> list[bytes] | None:
    """From a to b as frames."""
    _, shape = filled(packets)
    if not world.a.session.outbound.seal_frames(shape, len(packets), len(packets[0]), world.now):
        return None
    datagrams = [bytes(row) for row in shape.rows[: len(packets)]]
    opened = world.b.session.inbound.open_frames(received(datagrams), len(packets), world.now)
    return None if opened is None else [bytes(row) for row in opened]


def test_frames_and_single_packets_share_numbers_and_counters() -> None:
    world = up(World())
    packets = [inner_packet(A, B, bytes([n]) * 80) for n in range(10)]
    assert through(world, packets) == packets
    world.send_payload(world.a, b"one")
    world.run(0.1)
    assert [packet[20:] for packet in world.b.delivered] == [b"one"]
    assert through(world, packets) == packets
    assert world.a.session.counters.tx_packets == world.b.session.counters.rx_packets == 21
    assert world.a.session.counters.tx_bytes == world.b.session.counters.rx_bytes == 2 * 10 * 100 + 23


def test_foreign_packets_do_not_go_out_as_frames() -> None:
    world = up(World())
    packets = [inner_packet(A, B, bytes(80)), inner_packet(IPv4Address("10.200.9.9"), B, bytes(80))]
    assert through(world, packets) is None
    assert world.a.session.counters.tx_packets == 0


def test_a_peer_that_seals_foreign_packets_gets_none_of_them_through() -> None:
    world = up(World())
    world.a.session.outbound._selector = Selector([AddressPair(IPv4Address("10.200.9.9"), B)])
    packets = [inner_packet(IPv4Address("10.200.9.9"), B, bytes(80))] * 3
    assert through(world, packets) == []
    assert world.b.session.counters.rx_selector_drops == 3


def test_without_an_sa_no_frame_goes_out() -> None:
    world = World()
    packets = [inner_packet(A, B, bytes(80))] * 3
    assert through(world, packets) is None
    up(world)
    world.a.session.close()
    assert through(world, packets) is None


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("one"), st.integers(1, 3)), st.tuples(st.just("many"), COUNTS),
        st.tuples(st.just("crash a"), st.just(0)), st.tuples(st.just("crash b"), st.just(0)),
        st.tuples(st.just("wrap"), st.integers(0, 60)), st.tuples(st.just("time"), st.integers(1, 4000)),
    ),
    max_size=25,
)  # fmt: skip


@given(OPERATIONS, st.integers(0, 2**32))
def test_no_counter_is_used_twice_under_one_key(operations: list[tuple[str, int]], seed: int) -> None:
    """Not by a crash, the end of the numbers, sending alone and together; World looks at each datagram."""
    world = up(World(seed=seed))
    packet = inner_packet(A, B, bytes(80))
    for operation, amount in operations:
        current = world.a.session._book.current
        if operation == "one":
            for _ in range(amount):
                world.send(world.a, packet)
        elif operation == "many":
            _, shape = filled([packet] * amount)
            if world.a.session.outbound.seal_frames(shape, amount, len(packet), world.now):
                for row in shape.rows[:amount]:
                    world._transmit(world.a, bytes(row))
            world.settle(world.a)
        elif operation.startswith("crash"):
            world.restart(world.a if operation.endswith("a") else world.b)
        elif operation == "wrap" and current is not None:
            current.outbound._sequence = max(current.outbound.sequence, MAX_SEQUENCE - amount)
        else:
            world.run(amount / 1000)
