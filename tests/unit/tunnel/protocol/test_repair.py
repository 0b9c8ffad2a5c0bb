"""Packets that a short outage swallowed are sent again: late, once each, and only to whoever holds the keys."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kms.tunnel.protocol import messages
from kms.tunnel.protocol.key_derivation import Sender
from kms.tunnel.protocol.repair.retransmission_buffer import KEEP_S, MAX_TIMES, Range, ReceiveGaps, SentBuffer, runs
from tests.support.tunnel_world import End, World, both, payloads, up

LATENCY_S = 0.001


class Interrupted(World):
    """A network that loses everything in both directions while it is down."""

    def __init__(self, *, repairs: bool = True, rekey_s: float = 3.0) -> None:
        super().__init__(**both(repairs=repairs, rekey_s=rekey_s))
        self.is_down = False
        self.intercept = lambda _, datagram: None if self.is_down else datagram


def stream(world: Interrupted, packets: int, down: range) -> list[bytes]:
    """A packet each way every millisecond; the network is down from the first to the last of ``down``."""
    for n in range(packets):
        world.is_down = n in down
        for end in (world.a, world.b):
            world.send_payload(end, b"%d" % n)
        world.run(0.001)
    world.run(0.2)
    return [b"%d" % n for n in range(packets)]


def test_a_short_outage_delays_packets_and_loses_none() -> None:
    world = up(Interrupted())
    everything = stream(world, 300, range(100, 120))
    for end in (world.a, world.b):
        assert sorted(payloads(end.delivered)) == sorted(everything)
        assert end.session.counters.rx_repaired == 20
        assert end.session.counters.rx_replay_drops == 0


def test_without_repairs_the_outage_is_a_loss() -> None:
    world = up(Interrupted(repairs=False))
    stream(world, 300, range(100, 120))
    assert len(world.b.delivered) == 280
    assert world.a.session.counters.tx_repaired == 0


def test_what_was_sent_too_long_ago_is_not_sent_again() -> None:
    world = up(Interrupted())
    lost = round(2 * KEEP_S * 1000)
    stream(world, 500, range(100, 100 + lost))
    missing = 500 - len(world.b.delivered)
    assert lost / 4 < missing < lost


@given(st.integers(0, 250), st.integers(1, 60), st.sampled_from([0.1, 0.25, 3.0]))
def test_no_outage_shorter_than_what_is_kept_loses_or_doubles_a_packet(begin: int, length: int, rekey_s: float) -> None:
    world = up(Interrupted(rekey_s=rekey_s))
    everything = stream(world, 350, range(begin, begin + length))
    for end in (world.a, world.b):
        delivered = payloads(end.delivered)
        assert len(delivered) == len(set(delivered))
        # What an SA sent last before its successor took over, nobody misses: no later number of it comes.
        assert rekey_s < 3.0 or sorted(delivered) == sorted(everything)


def test_reordering_within_the_patience_asks_for_nothing() -> None:
    world = up(Interrupted())
    world.weather = replace(world.weather, jitter_s=0.0015)
    stream(world, 300, range(0))
    assert world.a.session.counters.tx_repaired == world.b.session.counters.tx_repaired == 0


def question(world: World, asker: End, *, missing: tuple[Range, ...], sender: Sender) -> bytes:
    """What ``asker`` would send, signed as ``sender``."""
    pair = asker.session._book.current
    assert pair is not None
    asked = messages.Repair(pair.outbound.spi, missing)
    return messages.encode_repair(messages.connection_tag("slice/conn"), asked, pair.control.of(sender))


def test_a_question_repeated_by_an_attacker_brings_each_packet_forth_a_few_times_at_most() -> None:
    world = up(Interrupted())
    for n in range(10):
        world.send_payload(world.a, b"%d" % n)
    replayed = question(world, world.b, missing=(Range(1, 10),), sender=Sender.RESPONDER)
    for _ in range(50):
        world.inject(world.a, replayed)
    world.run(0.05)
    assert world.a.session.counters.tx_repaired == 10 * MAX_TIMES
    assert payloads(world.b.delivered) == [b"%d" % n for n in range(10)]


def test_a_forged_or_reflected_question_brings_nothing_forth() -> None:
    world = up(Interrupted())
    world.send_payload(world.a, b"x")
    genuine = question(world, world.b, missing=(Range(1, 1),), sender=Sender.RESPONDER)
    forged = genuine[:-1] + bytes((genuine[-1] ^ 1,))
    reflected = question(world, world.b, missing=(Range(1, 1),), sender=Sender.INITIATOR)
    before = world.a.session.counters.control_auth_failures
    for datagram in (forged, reflected):
        world.inject(world.a, datagram)
    assert world.a.session.counters.control_auth_failures == before + 2
    assert world.a.session.counters.tx_repaired == 0


def test_repairs_can_be_switched_on_and_off_at_work() -> None:
    world = up(Interrupted(repairs=False))
    for name, end in (("b", world.b), ("a", world.a)):
        end.session.reconfigure(replace(world.settings[name], repairs=True), world.now)
        world.settle(end)
    world.run(0.2)
    everything = stream(world, 200, range(50, 60))
    assert sorted(payloads(world.b.delivered)) == sorted(everything)


def test_memory_is_bounded_whatever_comes() -> None:
    sent, gaps = SentBuffer(), ReceiveGaps()
    for n in range(20_000):
        sent.keep(n + 1, bytes(1400), 0.0)
    assert sum(map(len, sent.again([Range(1, 20_000), Range(15_000, 5_000)], 0.0))) <= 4 << 20
    gaps.arrived(4_000_000_000, 1, 0.0)
    assert sum(found.count for found in gaps.questions(1e-2)) <= 4096


@given(st.sets(st.integers(1, 60)), st.permutations(range(1, 61)))
def test_what_is_asked_for_is_what_has_been_skipped(lost: set[int], order: list[int]) -> None:
    gaps = ReceiveGaps()
    arrived = [n for n in order if n not in lost]
    for number in arrived:
        gaps.arrived(number, 1, 0.0)
    asked = {n for r in gaps.questions(0.005) for n in range(r.first, r.first + r.count)}
    skipped = {n for n in lost if n < max(arrived, default=0)}
    assert asked == skipped or len(runs(sorted(skipped))) > 24
