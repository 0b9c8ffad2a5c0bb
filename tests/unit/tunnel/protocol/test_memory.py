"""What a session keeps of the keys that it has had: nothing of their SAs, and of the exchanges little."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from kms.tunnel.protocol.settings import Timing
from tests.support.tunnel_world import World, both, up

OF_AN_EXCHANGE_BYTES = 1024
REMEMBERED = 250  # exchanges: fewer than either end remembers at most
MANY = 1000
UNSETTLED = 100


@pytest.fixture
def world() -> Iterator[World]:
    tracemalloc.start()
    try:
        yield up(World(**both(rekey_s=0.1, lifetime_s=60.0)))
    finally:
        tracemalloc.stop()


def after(world: World, rekeys: int) -> int:
    """The octets that both sessions hold when there have been so many rekeys."""
    ends = (world.a, world.b)
    while min(end.session.counters.rekeys for end in ends) < rekeys:
        world.run(0.05)
    for end in ends:  # this is the test's own memory
        end.sent.clear()
        end.traffic_keys.clear()
    world.keys.made.clear()
    world.keys.asked.clear()
    gc.collect()
    ours = tracemalloc.Filter(True, "*/kms/tunnel/*")
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)


def test_what_is_remembered_of_an_exchange_is_less_than_a_kilobyte(world: World) -> None:
    early = after(world, 20)
    assert (after(world, 20 + REMEMBERED) - early) / REMEMBERED < OF_AN_EXCHANGE_BYTES


def test_a_thousand_keys_cost_what_a_few_do(world: World) -> None:
    early = after(world, 20)
    assert after(world, MANY) - early < REMEMBERED * OF_AN_EXCHANGE_BYTES


def test_offers_that_nobody_settles_keep_no_sa() -> None:
    """The responder receives under the new key at once; what becomes of it is decided by a proof that is lost here."""
    tracemalloc.start()
    try:
        world = up(World(**both(rekey_s=0.1, lifetime_s=10.0, timing=Timing(offer_timeout_s=0.5))))
        early = after(world, 20)
        offered = len(world.keys.made)
        world.intercept = lambda end, datagram: None if end is world.b else datagram
        while len(world.keys.made) < offered + UNSETTLED:
            world.run(1.0)
        world.intercept = lambda _, datagram: datagram
        grown = after(world, world.b.session.counters.rekeys + 40) - early
    finally:
        tracemalloc.stop()
    assert grown < UNSETTLED * 2 * OF_AN_EXCHANGE_BYTES
