"""Each suite: what is sealed can be opened, alone and together; no altered bit passes; no nonce comes twice."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kms.tunnel.errors import AuthenticationFailed, Duplicate, Replayed, SequenceExhausted
from kms.tunnel.packet.cipher_suites import SUITES, Suite
from kms.tunnel.packet.esp import InboundSa, OutboundSa, datagram_bytes
from kms.tunnel.packet.frame_buffer import Frames
from kms.tunnel.packet.replay_window import whole_number
from tests.property.tunnel.test_frames import COUNTS, filled, received
from tests.support.tunnel_world import A, B, World, both, inner_packet, up

LOW = 2**32
EVERY = st.sampled_from(list(SUITES.values()))
EXTENDED = st.sampled_from([suite for suite in SUITES.values() if suite.is_extended])
NEAR_THE_WRAP = st.builds(lambda high, around: high * LOW + around, st.integers(1, 9), st.integers(-60, 60))


def sender(suite: Suite, sequence: int = 0) -> OutboundSa:
    return OutboundSa(300, bytes(range(suite.key_bytes)), b"salt", suite=suite, sequence=sequence)


def receiver(suite: Suite, top: int = 0, window: int = 64) -> InboundSa:
    inbound = InboundSa(300, bytes(range(suite.key_bytes)), b"salt", replay_window=window, suite=suite)
    if top:
        inbound._window.commit(top)
    return inbound


@settings(deadline=None)
@given(EVERY, COUNTS, st.integers(20, 300), st.integers(0, 2**33), st.randoms(use_true_random=False))
def test_together_and_apart_are_the_same(suite: Suite, count: int, length: int, sequence: int, random: Random) -> None:
    sequence = min(sequence, suite.max_sequence - count)
    packets = [random.randbytes(length) for _ in range(count)]
    one, many = sender(suite, sequence), sender(suite, sequence)
    apart = [one.seal(packet) for packet in packets]
    frames, shape = filled(packets)
    many.seal_frames(shape, count, length)
    assert bytes(frames.view[: count * shape.size]) == b"".join(apart)
    together, alone = receiver(suite, sequence), receiver(suite, sequence)
    opened = together.open_frames(received(apart), count)
    assert opened is not None
    assert [(bytes(row), opened[1]) for row in opened[0]] == [alone.open(datagram) for datagram in apart]
    assert together.highest_sequence == alone.highest_sequence == sequence + count
    assert together.open_frames(received(apart), count) is None
    for datagram in apart:
        with pytest.raises((Duplicate, Replayed)):
            together.open(datagram)


@given(EVERY, st.binary(min_size=20, max_size=100), st.integers(min_value=0), st.integers(0, 7))
def test_one_altered_bit_is_enough(suite: Suite, packet: bytes, position: int, bit: int) -> None:
    datagram = bytearray(sender(suite).seal(packet))
    datagram[4 + position % (len(datagram) - 4)] ^= 1 << bit
    inbound = receiver(suite)
    with pytest.raises((AuthenticationFailed, Replayed)):
        inbound.open(bytes(datagram))
    assert inbound.highest_sequence == 0


@settings(deadline=None, max_examples=20)
@given(EVERY, st.integers(1, 44))
def test_the_last_number_is_the_last(suite: Suite, count: int) -> None:
    outbound = sender(suite, suite.max_sequence - 1)
    assert receiver(suite, suite.max_sequence - 1).open(outbound.seal(b"last"))[0] == b"last"
    shape = Frames(65507, in_place=True).shape(datagram_bytes(20))
    with pytest.raises(SequenceExhausted):
        outbound.seal(b"one too many")
    with pytest.raises(SequenceExhausted):
        outbound.seal_frames(shape, count, 20)
    assert outbound.sequence == suite.max_sequence


# Extended numbers: the upper half is never sent


def appendix_a2(top: int, window: int, low: int) -> int:
    """RFC 4303, A2.2, written down as it stands there: the upper half for a received lower half."""
    tl, th = top % LOW, top // LOW
    if tl >= window - 1:  # case A: the window lies in one subspace
        return th if low >= tl - window + 1 else th + 1
    # case B: it spans two
    return th - 1 if low >= (tl - window + 1) % LOW else th


@given(st.integers(0, 2**40) | NEAR_THE_WRAP, st.sampled_from([32, 64, 1024, 8192]), st.integers(0, LOW - 1))
def test_the_upper_half_is_inferred_as_in_the_rfc(top: int, window: int, low: int) -> None:
    high = appendix_a2(top, window, low)
    assert whole_number(top, window, low) == max(high, 0) * LOW + low


@given(st.integers(0, 2**40) | NEAR_THE_WRAP, st.sampled_from([32, 1024]), st.integers(-1023, LOW - 8192))
def test_every_number_of_the_window_and_far_ahead_of_it_is_recognised(top: int, window: int, offset: int) -> None:
    number = top + offset
    assume(number > 0 and offset > -window)
    assert whole_number(top, window, number % LOW) == number


@given(EXTENDED, NEAR_THE_WRAP, st.permutations(range(40)))
def test_what_is_overtaken_around_a_wrap_is_opened_once(suite: Suite, sequence: int, order: list[int]) -> None:
    outbound, inbound = sender(suite, sequence), receiver(suite, sequence)
    datagrams = [outbound.seal(bytes([n])) for n in range(40)]
    for n in order:
        assert inbound.open(datagrams[n])[0] == bytes([n])
    for datagram in datagrams:
        with pytest.raises(Duplicate):
            inbound.open(datagram)
    assert inbound.highest_sequence == sequence + 40


@given(EXTENDED, st.integers(1, 2**31))
def test_a_packet_from_another_turn_of_the_lower_half_does_not_pass(suite: Suite, sequence: int) -> None:
    """The same lower half, but the upper one that the receiver infers is not that of the sender."""
    datagram = sender(suite, sequence).seal(b"old")
    inbound = receiver(suite, sequence + LOW)
    with pytest.raises((AuthenticationFailed, Replayed)):
        inbound.open(datagram)


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda s: s.name)
@settings(deadline=None, max_examples=12)
@given(
    operations=st.lists(
        st.tuples(st.sampled_from(["one", "many", "crash", "wrap", "time"]), st.integers(2, 40)), max_size=15
    ),
    seed=st.integers(0, 2**32),
)
def test_no_nonce_is_used_twice(suite: Suite, operations: list[tuple[str, int]], seed: int) -> None:
    """World looks at each datagram; neither a crash nor the end of the numbers, or of their lower half, repeats one."""
    world = up(World(seed=seed, **both(suite=suite)))
    packet = inner_packet(A, B, bytes(80))
    for operation, amount in operations:
        current = world.a.session.current
        if operation == "one":
            world.send(world.a, packet)
        elif operation == "many":
            _, shape = filled([packet] * amount)
            if world.a.session.outbound.seal_frames(shape, amount, len(packet), world.now):
                for row in shape.rows[:amount]:
                    world._transmit(world.a, bytes(row))
            world.settle(world.a)
        elif operation == "crash":
            world.restart(world.a if amount % 2 else world.b)
        elif operation == "wrap" and current is not None:
            end = LOW if suite.is_extended and amount % 3 else suite.max_sequence
            current.outbound._sequence = max(current.outbound.sequence, end - amount)
        world.run(amount / 100)
    world.run(5.0)
    delivered = world.b.session.counters.rx_packets
    world.send(world.a, packet)
    world.run(0.1)
    assert world.b.session.counters.rx_packets == delivered + 1
