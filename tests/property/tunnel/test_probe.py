"""Probes under loss, repetition, reordering, replay and forgery: what is believed is true, and soon."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kms.tunnel.protocol import messages
from kms.tunnel.protocol.continuity.check import Continuity, ContinuityCheck
from kms.tunnel.protocol.continuity.clear_echo import EchoSession
from tests.support.tunnel_world import End, Weather, World, both, kind_of, up

PERIOD_S = 0.5
KNOWN_WITHIN_S = 2 * PERIOD_S + PERIOD_S / 8
MILD = st.builds(
    Weather,
    loss=st.floats(0.0, 0.05),
    duplication=st.floats(0.0, 1.0),
    delay_s=st.floats(0.0, 0.03),
    jitter_s=st.floats(0.0, 0.02),
)
WILD = st.builds(
    Weather,
    loss=st.floats(0.0, 0.6),
    duplication=st.floats(0.0, 1.0),
    delay_s=st.floats(0.0, 0.2),
    jitter_s=st.floats(0.0, 0.5),
)
DIRECTIONS = st.sampled_from([{"a"}, {"b"}, {"a", "b"}])
QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def silence(world: World, senders: set[str]) -> None:
    """Nothing that these ends send arrives."""
    world.intercept = lambda end, datagram: None if end.name in senders else datagram


def reaches(world: World) -> tuple[bool | None, bool | None]:
    return world.a.session.continuity.reachable, world.b.session.continuity.reachable


def test_both_ends_know_within_a_round_trip_of_the_first_key() -> None:
    world = up(World())
    world.run(PERIOD_S)
    assert reaches(world) == (True, True)
    assert world.a.session.continuity.rtt_s == pytest.approx(0.002, abs=1e-6)


@QUICK
@given(st.integers(0, 2**32), MILD)
def test_on_a_way_that_works_nobody_ever_says_otherwise(seed: int, weather: Weather) -> None:
    world = up(World(seed=seed, **both(rekey_s=1.0)))
    world.weather = weather
    for _ in range(100):
        world.run(0.2)
        assert False not in reaches(world)
    assert reaches(world) == (True, True)


@QUICK
@given(st.integers(0, 2**32), DIRECTIONS, st.floats(0.0, PERIOD_S), MILD)
def test_a_direction_that_fails_is_known_in_time_and_named(
    seed: int, senders: set[str], moment_s: float, weather: Weather
) -> None:
    world = up(World(seed=seed))
    world.run(2.0 + moment_s)
    silence(world, senders)
    world.run(KNOWN_WITHIN_S + 0.1)
    assert reaches(world)[0] is False
    continuity_a, continuity_b = world.a.session.continuity, world.b.session.continuity
    if senders == {"a"}:
        world.run(2 * PERIOD_S)
        assert (continuity_a.failing, world.b.session.continuity.failing) == ("out", "in")
        assert continuity_a.hears_peer is True
    elif senders == {"b"}:
        world.run(2 * PERIOD_S)
        assert (continuity_a.failing, world.b.session.continuity.failing) == ("in", "out")
    else:
        assert (continuity_a.failing, continuity_b.failing) == ("in", "in")
    world.weather = weather
    world.intercept = lambda _, datagram: datagram
    world.run(3 * PERIOD_S)
    if weather.loss == 0:
        assert reaches(world) == (True, True)


@QUICK
@given(st.integers(0, 2**32), WILD)
def test_a_way_that_is_dead_is_never_called_alive_whatever_is_replayed(seed: int, weather: Weather) -> None:
    """The attacker has recorded everything and plays it to both ends, in any order, after the cut."""
    world = up(World(seed=seed, **both(rekey_s=0.7, lifetime_s=100.0)))
    world.weather = weather
    world.run(3.0)
    recorded = [("a", d) for d in world.b.sent] + [("b", d) for d in world.a.sent]
    silence(world, {"a", "b"})
    world.run(1.0)  # what was under way has arrived
    chance = random.Random(seed)
    chance.shuffle(recorded)
    for name, datagram in recorded:
        world.inject(world.a if name == "a" else world.b, datagram)
        world.run(0.01)
    world.run(KNOWN_WITHIN_S)
    assert reaches(world) == (False, False)
    for name, datagram in recorded:
        world.inject(world.a if name == "a" else world.b, datagram)
        assert reaches(world) == (False, False)


FORGERIES: list[Callable[[random.Random, bytes], bytes]] = [
    lambda chance, d: d[:40] + (int.from_bytes(d[32:40], "big") + 1).to_bytes(8, "big") + d[48:],
    lambda chance, d: d[:32] + (int.from_bytes(d[32:40], "big") + 1000).to_bytes(8, "big") + d[40:],  # another number
    lambda chance, d: d[:40] + bytes(4) + d[44:],  # "I heard you just now"
    lambda chance, d: d[:-16] + chance.randbytes(16),
    lambda chance, d: d[:9] + bytes([13 - d[9]]) + d[10:],  # a probe as its reply, and the other way
]


@QUICK
@given(st.integers(0, 2**32), st.sampled_from(FORGERIES))
def test_what_is_altered_or_reflected_changes_nothing(
    seed: int, forge: Callable[[random.Random, bytes], bytes]
) -> None:
    chance = random.Random(seed)
    world = up(World(seed=seed, **both(rekey_s=100.0, lifetime_s=1000.0)))

    def alter(end: End, datagram: bytes) -> bytes | None:
        if not isinstance(kind_of(datagram), messages.Probe | messages.ProbeReply):
            return datagram
        world.at(world.now + 0.001, lambda: world.inject(end, datagram))  # reflected to its sender
        altered = forge(chance, datagram)
        return altered if altered != datagram else None

    world.run(1.0)
    sent = len(world.a.sent) + len(world.b.sent)
    world.intercept = alter
    world.run(2 * KNOWN_WITHIN_S)
    assert reaches(world) == (False, False)
    assert len(world.a.sent) + len(world.b.sent) - sent < 2 * 2 * KNOWN_WITHIN_S * 8 / PERIOD_S + 4


def test_a_flood_of_probes_is_answered_at_a_bounded_rate_and_never_at_length() -> None:
    world = up(World())
    world.run(1.0)
    key = next(iter(world.a.session._book.by_spi.values())).control.initiator  # the peer itself has gone mad
    spi = world.a.session._book.current.outbound.spi  # type: ignore[union-attr]
    tag = messages.connection_tag("slice/conn")
    before = len(world.b.sent)
    probes = [messages.encode_probe(tag, messages.Probe(spi, 10_000 + n, 0.0), key) for n in range(2000)]
    for probe in probes:
        world.inject(world.b, probe)
        world.run(0.0005)
    answers = world.b.sent[before:]
    assert len(answers) <= 1.0 / (PERIOD_S / 32) + 8
    assert all(len(answer) <= len(probes[0]) for answer in answers)


def test_a_process_that_was_not_run_does_not_take_its_own_sleep_for_a_failure() -> None:
    check = ContinuityCheck(PERIOD_S, is_leader=True)
    check.start(0.0)
    number = check.handle_timer(0.0, 0)
    assert number is not None
    assert check.answered(number, 0.001)
    assert check.handle_timer(5.0, 0) is not None  # ten periods late
    assert check.continuity.reachable is True


def test_traffic_that_arrives_is_proof_where_probes_are_drowned() -> None:
    """A meter that polices a connection at a tenth of what is sent drops probes with it."""
    check = ContinuityCheck(PERIOD_S, is_leader=True)
    check.start(0.0)
    now, packets = 0.0, 0
    while now < 10.0:
        packets += 3
        check.handle_timer(now, packets)
        now += 0.01
    assert check.continuity.hears_peer is True


def test_without_a_key_nothing_is_known_and_with_one_it_is_again() -> None:
    world = up(World(**both(rekey_s=1.0, lifetime_s=3.0)))
    world.run(1.0)
    assert reaches(world) == (True, True)
    world.keys.is_dry = True
    world.run(5.0)
    assert reaches(world) == (None, None)
    assert world.a.session.continuity == Continuity()
    world.keys.is_dry = False
    world.run(3.0)
    assert reaches(world) == (True, True)


def test_the_cost_of_a_quiet_connection_is_one_question_and_one_answer_a_period() -> None:
    world = up(World(**both(rekey_s=1000.0, lifetime_s=10000.0)))
    world.run(10.0)
    before = len(world.a.sent), len(world.b.sent)
    world.run(100.0)
    assert len(world.a.sent) - before[0] <= 100 / PERIOD_S + 2
    assert len(world.b.sent) - before[1] <= 100 / PERIOD_S + 2


@QUICK
@given(st.integers(0, 2**32), st.binary(max_size=300))
def test_echoes_in_the_clear_find_the_same_failures(seed: int, junk: bytes) -> None:
    chance = random.Random(seed)
    ends = [EchoSession("s/c", PERIOD_S, is_leader=leader, entropy=chance.randbytes(7)) for leader in (True, False)]
    dead: set[int] = set()
    now = 100.0
    for end in ends:
        end.start(now)

    def run(duration_s: float) -> None:
        nonlocal now
        until = now + duration_s
        while now < until:
            for n, end in enumerate(ends):
                question = end.handle_timer(now)
                if question is not None and n not in dead:
                    answer = ends[1 - n].receive(question, now)
                    if answer is not None:
                        assert len(answer) == len(question)
                        if 1 - n not in dead:
                            assert end.receive(answer, now) is None
            now += 0.01

    run(2.0)
    assert [end.continuity.reachable for end in ends] == [True, True]
    assert ends[0].receive(junk, now) is None
    dead.add(0)
    run(KNOWN_WITHIN_S + 0.1)
    assert [end.continuity.failing for end in ends] == ["out", "in"]
    dead.clear()
    run(2.0)
    assert [end.continuity.reachable for end in ends] == [True, True]
