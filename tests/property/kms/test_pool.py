"""The inventory against a model that says, per key and SAE, whether it may still be had."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from kms.errors import KeysNotFoundError, UnauthorisedError
from kms.keys.inventory import KeyInventory, PoolId
from kms.keys.key import Delivery, Key, KeySource, KeyState

POOL = PoolId("b", "a", KeySource.parse("qra"))
MAX_KEY_COUNT = 5
AVAILABLE_LIFETIME_S, AWAITING_LIFETIME_S = 50.0, 20.0
SAES = ("s1", "s2", "s3")
MASTERS = ("m1", "m2")


class InventoryMachine(RuleBasedStateMachine):
    delivered = Bundle("delivered")
    taken = Bundle("taken")

    def __init__(self) -> None:
        super().__init__()
        self.inventory = KeyInventory(MAX_KEY_COUNT, AVAILABLE_LIFETIME_S, AWAITING_LIFETIME_S)
        self.now = 1_000.0
        self.made = 0
        # The model: keys ready, in order, with the time they were made; and what each SAE may still fetch.
        self.ready: list[tuple[uuid.UUID, float]] = []
        self.owed: dict[uuid.UUID, tuple[str, set[str], set[str], float]] = {}  # master, named, awaiting, since
        self.given: set[tuple[uuid.UUID, str]] = set()

    @rule(count=st.integers(1, 7))
    def stock(self, count: int) -> None:
        keys = []
        for _ in range(count):
            self.made += 1
            copy = self.made.to_bytes(32, "big")
            keys.append(Key(uuid.UUID(int=self.made), POOL.source, 256, self.now, {"a": copy, "b": copy}))
        went_in = self.inventory.stock(POOL, keys)
        assert went_in == min(count, MAX_KEY_COUNT - len(self.ready))
        self.ready += [(key.key_id, self.now) for key in keys[:went_in]]

    @rule(target=taken, count=st.integers(0, 7))
    def take(self, count: int) -> tuple[Key, ...]:
        keys = self.inventory.take(POOL, count)
        expected, self.ready = self.ready[:count], self.ready[count:]
        assert [(k.key_id, k.made_at) for k in keys] == expected
        return keys

    @rule(keys=consumes(taken))
    def give_back(self, keys: tuple[Key, ...]) -> None:
        if POOL not in self.inventory.pool_ids:
            return
        self.inventory.give_back(POOL, keys)
        room = MAX_KEY_COUNT - len(self.ready)
        kept = [(k.key_id, k.made_at) for k in keys][max(0, len(keys) - room) :]
        self.ready = kept + self.ready

    @rule(target=delivered, keys=consumes(taken), master=st.sampled_from(MASTERS),
          slaves=st.frozensets(st.sampled_from(SAES), min_size=1))  # fmt: skip
    def deliver(self, keys: tuple[Key, ...], master: str, slaves: frozenset[str]) -> object:
        delivery = Delivery(uuid.uuid4(), master, "a", slaves, self.now)
        after = [key.delivered(delivery, frozenset({"b"})) for key in keys]
        self.inventory.await_slaves(after)
        for key in after:
            self.owed[key.key_id] = master, set(slaves), set(slaves), self.now
        return multiple(*(key.key_id for key in after))

    @rule(key_ids=st.lists(delivered, min_size=1, max_size=3, unique=True), master=st.sampled_from(MASTERS),
          slave=st.sampled_from(SAES))  # fmt: skip
    def fetch(self, key_ids: list[uuid.UUID], master: str, slave: str) -> None:
        missing = [i for i in key_ids if not self.is_held(i, master, slave)]
        stranger = any(slave not in self.owed[i][1] for i in key_ids if i in self.owed)
        if missing:
            with pytest.raises(KeysNotFoundError):
                self.inventory.find(key_ids, master, slave)
        elif stranger:
            with pytest.raises(UnauthorisedError):
                self.inventory.find(key_ids, master, slave)
        else:
            keys = self.inventory.find(key_ids, master, slave)
            assert [k.key_id for k in keys] == key_ids
            for key in keys:
                assert key.copies["b"] == key.key_id.int.to_bytes(32, "big")
                assert (key.key_id, slave) not in self.given
                self.given.add((key.key_id, slave))
                self.owed[key.key_id][2].discard(slave)
                if not self.owed[key.key_id][2]:
                    del self.owed[key.key_id]
            after = self.inventory.fetch(keys, slave)
            assert all((k.state is KeyState.CONSUMED) == (k.key_id not in self.owed) for k in after)

    @rule(key_id=delivered, slave=st.sampled_from(SAES))
    def fetch_that_could_not_be_recorded(self, key_id: uuid.UUID, slave: str) -> None:
        master, _, awaiting, _ = self.owed.get(key_id, ("", set(), set(), 0.0))
        if slave in awaiting:
            (key,) = self.inventory.find([key_id], master, slave)
            self.inventory.fetch([key], slave)
            self.inventory.put_back(key, slave)

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        expired = {key.key_id for key in self.inventory.expire(self.now)}
        old = {i for i, made_at in self.ready if made_at + AVAILABLE_LIFETIME_S <= self.now}
        old |= {i for i, owed in self.owed.items() if owed[3] + AWAITING_LIFETIME_S <= self.now}
        # Keys that were given back may stand behind younger ones, and then go a little later.
        assert expired <= old
        self.ready = [(i, made_at) for i, made_at in self.ready if i not in expired]
        for key_id in old & set(self.owed):
            assert key_id in expired
            del self.owed[key_id]

    def is_held(self, key_id: uuid.UUID, master: str, slave: str) -> bool:
        if key_id not in self.owed:
            return False
        owner, named, awaiting, _ = self.owed[key_id]
        return owner == master and (slave not in named or slave in awaiting)

    @invariant()
    def the_counts_agree(self) -> None:
        assert self.inventory.stored(POOL) == len(self.ready) <= MAX_KEY_COUNT
        assert self.inventory.awaiting_count == len(self.owed)
        assert {key.key_id for key in self.inventory} == set(self.owed)
        by_delivery = {key.known_delivery.delivery_id for key in self.inventory}
        assert {k.key_id for d in by_delivery for k in self.inventory.remaining(d)} == set(self.owed)


TestInventory = InventoryMachine.TestCase


def test_a_pools_sites_have_no_order() -> None:
    assert PoolId("a", "b", POOL.source) == PoolId("b", "a", POOL.source)
    with pytest.raises(ValueError):
        PoolId("a", "a", POOL.source)


def test_a_key_of_another_pool_is_not_stocked() -> None:
    inventory = KeyInventory(1, 1.0, 1.0)
    with pytest.raises(ValueError, match="not a fresh key"):
        inventory.stock(POOL, [Key(uuid.uuid4(), POOL.source, 256, 0.0, {"a": bytes(32)})])
