"""Paper 003's key servers: both keys or neither, confirmed at both ends, bounded attempts, then an alert."""

from __future__ import annotations

import asyncio
import os
import uuid

import pytest

from kms.clients.paper003_key_servers import (
    ATTEMPTS,
    KeyPairCoordinator,
    KeyRole,
    KeyServer,
    KeyServerAlertError,
    NetworkFunction,
)
from kms.errors import KmeRefusedError, KmeUnavailableError

FOREVER = 10**9


class Kmes:
    """Keys by id, with faults that tests ask for; a client for each function."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.broken: dict[str, int] = {}  # by key source: how many more orders fail
        self.garbled = 0  # how many more fetches give another key

    async def enc_key(self, slave: str, source: str) -> tuple[str, bytes]:
        if self.broken.get(source, 0) > 0:
            self.broken[source] -= 1
            raise KmeUnavailableError("no key now")
        key_id = str(uuid.uuid4())
        self.keys[key_id] = os.urandom(32)
        return key_id, self.keys[key_id]

    async def dec_key(self, master: str, key_id: str) -> bytes:
        if self.garbled > 0:
            self.garbled -= 1
            return os.urandom(32)
        if key_id not in self.keys:
            raise KmeRefusedError("not found", 400)
        return self.keys.pop(key_id)


class World:
    def __init__(self) -> None:
        self.kmes = Kmes()
        self.a = NetworkFunction("fn-a", self.kmes)  # type: ignore[arg-type]
        self.b = NetworkFunction("fn-b", self.kmes)  # type: ignore[arg-type]
        self.qkd = KeyServer(KeyRole.QKEY, os.urandom)
        self.ckm = KeyServer(KeyRole.CKEY, os.urandom)
        self.coordinator = KeyPairCoordinator(self.qkd, self.ckm, refresh_s=10.0)

    def provide(self, now: float = 0.0) -> None:
        asyncio.run(self.coordinator.provide(self.a, self.b, now))

    def keys(self) -> tuple[bytes, bytes]:
        pairs = [(self.a.key("fn-b", role), self.b.key("fn-a", role)) for role in KeyRole]
        assert all(at_a == at_b for at_a, at_b in pairs)
        return pairs[0][0], pairs[1][0]


def test_both_ends_use_the_same_two_different_keys_and_they_are_refreshed() -> None:
    world = World()
    assert world.coordinator.is_due(world.a, world.b, 0.0)
    world.provide(0.0)
    first = world.keys()
    assert first[0] != first[1]
    assert not world.coordinator.is_due(world.a, world.b, 9.9)
    assert world.coordinator.is_due(world.a, world.b, 10.0)
    world.provide(10.0)
    assert len({*first, *world.keys()}) == 4
    assert len(world.a._keys) == 2  # the old ones are dropped


@pytest.mark.parametrize("failures", [1, ATTEMPTS - 1])
def test_a_fault_that_passes_is_tried_over(failures: int) -> None:
    world = World()
    world.kmes.broken = {"qkd": failures, "qra": failures}
    world.provide()
    world.keys()
    assert len(world.qkd.failures) == failures


def test_a_key_that_arrives_garbled_is_never_used() -> None:
    world = World()
    world.kmes.garbled = 1
    world.provide()
    world.keys()
    assert world.qkd.failures == ["the ends' receipts differ"]


@pytest.mark.parametrize(("broken", "intact"), [("qkd", "ckm"), ("qra", "qkd")])
def test_without_one_key_neither_is_used_and_the_other_is_not_thrown_away(broken: str, intact: str) -> None:
    world = World()
    world.provide()
    before = world.keys()
    world.kmes.broken = {broken: FOREVER}
    with pytest.raises(KeyServerAlertError, match="no key now"):
        world.provide(10.0)
    assert world.keys() == before
    given = len(getattr(world, intact).ledger)
    world.kmes.broken = {}
    world.provide(11.0)
    assert len(getattr(world, intact).ledger) == given
    assert not set(world.keys()) & set(before)


def test_attempts_are_bounded() -> None:
    world = World()
    world.kmes.broken = {"qkd": FOREVER}
    with pytest.raises(KeyServerAlertError):
        world.provide()
    assert FOREVER - world.kmes.broken["qkd"] == ATTEMPTS


def test_fault_22_a_key_has_one_name_whatever_the_case_of_its_letters() -> None:
    world = World()

    async def scenario() -> None:
        for spelt in (str.upper, str.lower, str.title):
            key_id = await world.a.order("fn-b", KeyRole.QKEY)
            await world.b.fetch("fn-a", key_id)
            assert world.a.receipt(spelt(key_id), b"n") == world.b.receipt(key_id, b"n")
            world.b.use("fn-a", KeyRole.QKEY, spelt(key_id))
            world.b.use("fn-a", KeyRole.QKEY, key_id)  # the same one again: it is not dropped as the one before
            assert world.b.key("fn-a", KeyRole.QKEY) == world.a._keys[key_id]
            world.a.drop(spelt(key_id))
            assert key_id not in world.a._keys

    asyncio.run(scenario())
