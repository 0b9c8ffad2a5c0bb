"""Pads of QKD sections that were taken are those that arrived in answers: nothing is carried twice or in vain."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kms.delivery import key_delivery
from kms.delivery.requests import DeliveredKey, EncRequest
from kms.errors import ExhaustedError, KeysNotFoundError, ShortOfKeyError
from kms.keys.inventory import PoolId
from kms.keys.key import QKD, KeySource
from kms.sources.qkd.post_processing.authentication import ONE_TIME_KEY_BYTES as TAG
from tests.support.filled_sections import fill
from tests.unit.kms.delivery.test_service import World, bits

PLENTY = 20_000


class Meter:
    """What was put into the sections of a world and what has been taken out, in bytes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._put = Counter({name: len(s.buffer) for name, s in world.network.sections.items()})

    def fill(self, section: str, count: int) -> None:
        fill(self._world.network.sections[section], count)
        self._put[section] += count

    def taken(self) -> dict[str, int]:
        return {name: self._put[name] - len(s.buffer) for name, s in self._world.network.sections.items()}


@contextmanager
def haste(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(key_delivery, "_BETWEEN_ATTEMPTS_S", 0.0005)
        yield


def play(scenario: Callable[[World, Meter], Awaitable[None]], key_bytes: int = PLENTY) -> None:
    async def run() -> None:
        world = World(key_bytes, max_key_per_request=32)
        await scenario(world, Meter(world))

    asyncio.run(run())


def drain(world: World, section: str, left: int) -> None:
    buffer = world.network.sections[section].buffer
    buffer.take(len(buffer) - left)


def test_fault_06_waiting_for_a_poor_section_burns_no_key_of_the_rich_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World, meter: Meter) -> None:
        keys = await world.enc("a", "sae-a", "late", "qkd", number=32)
        await world.service.admit("c", "late", None)
        drain(world, "bc", 0)
        meter = Meter(world)
        # The section gives what some of the keys need, and again some, and at last enough.
        for n in range(1, 8):
            asyncio.get_running_loop().call_later(0.003 * n, meter.fill, "bc", 32 * 32 // 7 + TAG)
        twins = await world.dec("c", "late", "sae-a", keys)
        assert bits(twins) == bits(keys)
        assert meter.taken() == {"ab": 32 * 32 + TAG, "bc": 32 * 32 + TAG}

    with haste(monkeypatch):
        play(scenario)


def test_fault_06_a_fetch_that_fails_at_last_has_taken_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World, meter: Meter) -> None:
        keys = await world.enc("a", "sae-a", "late", "qkd", number=32)
        await world.service.admit("c", "late", None)
        drain(world, "bc", 500)
        meter = Meter(world)
        with pytest.raises(ShortOfKeyError):
            await world.dec("c", "late", "sae-a", keys)
        assert set(meter.taken().values()) == {0}
        assert bits(await world.dec("c", "late", "sae-a", keys[:5])) == bits(keys[:5])
        assert set(meter.taken().values()) == {5 * 32 + TAG}

    with haste(monkeypatch):
        play(scenario)


@pytest.mark.parametrize("size", [256, 512])
@pytest.mark.parametrize("source", ["qkd", "qkd+dh"])
def test_fault_06_a_multicast_that_is_short_for_its_second_site_takes_nothing_for_its_first(
    monkeypatch: pytest.MonkeyPatch, size: int, source: str
) -> None:
    async def scenario(world: World, meter: Meter) -> None:
        drain(world, "bc", 300)
        meter = Meter(world)
        with pytest.raises(ShortOfKeyError):
            await world.enc("a", "sae-a", "sae-b", source, also=("sae-c",), number=16, size=size)
        assert set(meter.taken().values()) == {0}

    with haste(monkeypatch):
        play(scenario)


def test_fault_06_slaves_of_one_site_have_the_key_brought_once() -> None:
    async def scenario(world: World, meter: Meter) -> None:
        keys = await world.enc("a", "sae-a", "late", "qkd", also=("roamer",), number=4)
        for slave in ("late", "roamer"):
            await world.service.admit("c", slave, None)
            assert bits(await world.dec("c", slave, "sae-a", keys)) == bits(keys)
        assert set(meter.taken().values()) == {4 * 32 + TAG}

    play(scenario)


def test_fault_06_what_was_made_for_a_delivery_that_could_not_be_recorded_goes_into_its_pool() -> None:
    async def scenario(world: World, meter: Meter) -> None:
        world.journal.is_broken = True
        with pytest.raises(Exception, match="disk full"):
            await world.enc("a", "sae-a", "sae-b", "qkd", number=4)
        world.journal.is_broken = False
        assert world.inventory.stored(PoolId("a", "b", QKD)) == 4
        await world.enc("a", "sae-a", "sae-b", "qkd", number=4)
        assert meter.taken() == {"ab": 4 * 32 + TAG, "bc": 0}

    play(scenario)


_STEP = st.one_of(
    st.tuples(st.just("order"), st.sampled_from(["sae-b", "sae-c", "late", "roamer"]), st.integers(1, 16),
              st.sampled_from([64, 256, 512]), st.booleans()),
    st.tuples(st.just("fetch"), st.integers(0, 30), st.sampled_from("abc"), st.just(0), st.just(False)),
    st.tuples(st.just("fill"), st.sampled_from(["ab", "bc"]), st.integers(0, 400), st.just(0), st.just(False)),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(_STEP, max_size=25))
@example([("order", "late", 1, 64, False), ("fetch", 0, "b", 0, False), ("order", "late", 1, 64, False),
          ("fetch", 1, "a", 0, False)])  # fmt: skip
def test_fault_06_conservation_over_any_history(steps: list[tuple[str, object, object, int, bool]]) -> None:
    """Every message that arrived has taken its keys' bits and one tag on each crossing, and nothing else has."""

    async def scenario(world: World, meter: Meter) -> None:
        expected: Counter[str] = Counter()
        orders: list[tuple[list[DeliveredKey], str, tuple[str, ...]]] = []  # with the sites that keep copies
        hops = {("a", "b"): ("ab",), ("a", "c"): ("ab", "bc"), ("b", "c"): ("bc",)}

        def count(a: str, b: str, size: int) -> None:
            expected.update(dict.fromkeys(hops.get((min(a, b), max(a, b)), ()), size + TAG))

        for kind, what, number, size, also in steps:
            if kind == "fill":
                meter.fill(str(what), int(str(number)))
            elif kind == "order":
                slave, many = str(what), int(str(number))
                slaves = (slave, "sae-c") if also and slave != "sae-c" else (slave,)
                homes = tuple(dict.fromkeys(world.service.registry.site_of(name) or "a" for name in slaves))
                request = EncRequest(many, size, slaves[1:], KeySource.parse("qkd"))
                try:
                    keys = await world.service.enc_keys("a", "sae-a", slave, request)
                except ExhaustedError:
                    continue
                for home in homes:
                    count("a", home, many * size // 8)
                orders.append((keys, slave, homes))
            elif orders:
                keys, slave, homes = orders[int(str(what)) % len(orders)]
                site = str(number) if not slave.startswith("sae-") else slave[-1]
                if not slave.startswith("sae-"):
                    await world.service.admit(site, slave, None)
                try:
                    twins = await world.dec(site, slave, "sae-a", keys)
                except (ExhaustedError, KeysNotFoundError):
                    continue
                assert bits(twins) == bits(keys)
                if site not in homes:  # the master's site keeps no copy unless a slave was expected there
                    count("a" if "a" in homes else homes[0], site, sum(len(key.key) for key in keys))
        # What is left in pools was made for requests that failed: none here.
        assert meter.taken() == {name: expected[name] for name in ("ab", "bc")}

    before = key_delivery._ATTEMPTS
    key_delivery._ATTEMPTS = 2
    try:
        play(scenario, key_bytes=600)
    finally:
        key_delivery._ATTEMPTS = before


def test_a_key_that_was_brought_is_stored_with_all_its_copies() -> None:
    """What is written down of a delivery after a part of it was brought elsewhere can be read again."""
    from kms.persistence import sqlite_store

    async def scenario(world: World, meter: Meter) -> None:
        keys = await world.enc("a", "sae-a", "late", "qkd", also=("roamer",), number=4)
        await world.service.admit("c", "late", None)
        await world.dec("c", "late", "sae-a", keys[:2])
        held = world.inventory.remaining(next(iter(world.inventory)).known_delivery.delivery_id)
        again = {k.key_id: k for k in sqlite_store._keys_from_json(uuid.uuid4(), sqlite_store._keys_to_json(held))}
        for key in held:
            assert (again[key.key_id].copies, again[key.key_id].crossings) == (key.copies, key.crossings)
        assert Counter(len(key.copies) for key in held) == {1: 2, 2: 2}

    play(scenario)
