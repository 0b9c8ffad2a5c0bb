"""The keys that a KMS holds: pools ready for delivery, and delivered keys that wait for their other end.

Pure: no clock, no I/O. Two invariants are kept, and property-tested against a model: a key is given at most once to
each SAE that it is for, and a pool never holds more than ``max_key_count`` keys.
"""

from __future__ import annotations

import itertools
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from kms.errors import KeysNotFoundError, UnauthorisedError
from kms.keys.key import Key, KeySource, KeyState
from kms.keys.waiting_counts import Amount, WaitingCounts


@dataclass(frozen=True)
class PoolId:
    """A pool belongs to two sites, in either order, and one key source."""

    a: str
    b: str
    source: KeySource
    _hash: int = field(init=False, repr=False, compare=False)  # taken once: a key request looks it up five times

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise ValueError(f"a pool joins two different sites, not {self.a} with itself")
        if self.a > self.b:
            first, second = self.b, self.a
            object.__setattr__(self, "a", first)
            object.__setattr__(self, "b", second)
        object.__setattr__(self, "_hash", hash((self.a, self.b, self.source)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def sites(self) -> tuple[str, str]:
        return self.a, self.b


class PoolState(Enum):
    """How full a pool is, by watermarks in parts of the number of keys to which it is filled."""

    READY = "READY"
    WARNING = "WARNING"  # below a half
    CHARGING = "CHARGING"  # below a quarter: it is filled before anything else
    EMPTY = "EMPTY"

    @classmethod
    def of(cls, stored: int, target: int) -> PoolState:
        if stored == 0:
            return cls.EMPTY
        if stored < target * 0.25:
            return cls.CHARGING
        return cls.WARNING if stored < target * 0.5 else cls.READY


class KeyInventory:
    """Every key of the KMS between its making and the last fetch."""

    def __init__(
        self, max_key_count: int, available_lifetime_s: float, awaiting_lifetime_s: float,
        is_here: Callable[[str], bool] = lambda site: True,
    ) -> None:  # fmt: skip
        """``is_here`` says whose copies this inventory holds; in the distributed form those of one site."""
        self._is_here = is_here
        self.max_key_count = max_key_count
        self._available_lifetime_s = available_lifetime_s
        self._awaiting_lifetime_s = awaiting_lifetime_s
        self._pools: dict[PoolId, deque[Key]] = {}
        self.waiting = WaitingCounts()
        self._awaiting: dict[uuid.UUID, Key] = {}
        # The same keys by their delivery; oldest delivery first, but for those that were put back.
        self._deliveries: dict[uuid.UUID, dict[uuid.UUID, Key]] = {}

    # Pools

    @property
    def pool_ids(self) -> tuple[PoolId, ...]:
        return tuple(self._pools)

    def open(self, pool_id: PoolId) -> None:
        """Make the pool known, empty, unless it is already."""
        self._pools.setdefault(pool_id, deque())

    def stored(self, pool_id: PoolId) -> int:
        return len(self._pools.get(pool_id, ()))

    def stock(self, pool_id: PoolId, keys: Iterable[Key]) -> int:
        """Put fresh keys into a pool until it is full; how many went in."""
        pool = self._pools.setdefault(pool_id, deque())
        ends = {site for site in pool_id.sites if self._is_here(site)}
        before = len(pool)
        for key in keys:
            if len(pool) >= self.max_key_count:
                break
            if key.state is not KeyState.AVAILABLE or set(key.copies) != ends:
                raise ValueError(f"key {key.key_id} is not a fresh key of this pool")
            pool.append(key)
        return len(pool) - before

    def take(self, pool_id: PoolId, count: int, suits: Callable[[Key], bool] | None = None) -> tuple[Key, ...]:
        """Up to ``count`` keys out of the pool, oldest first, or of those that suit. The caller delivers them or gives
        them back.
        """
        pool = self._pools.get(pool_id, deque())
        if suits is None:
            return tuple(pool.popleft() for _ in range(min(count, len(pool))))
        taken = tuple(itertools.islice(filter(suits, pool), count))
        if taken:
            ids = {key.key_id for key in taken}
            self._pools[pool_id] = deque(key for key in pool if key.key_id not in ids)
        return taken

    def give_back(self, pool_id: PoolId, keys: Sequence[Key]) -> None:
        """Undo :meth:`take`. What no longer fits, because the pool was refilled meanwhile, is dropped."""
        pool = self._pools[pool_id]
        for key in reversed(keys):
            if len(pool) < self.max_key_count:
                pool.appendleft(key)

    def drop_pools_with(self, site: str) -> None:
        """Forget the keys that wait in the site's pools: it has lost its copies of them."""
        for pool_id, pool in self._pools.items():
            if site in pool_id.sites:
                pool.clear()

    # Delivered keys

    @property
    def awaiting_count(self) -> int:
        return len(self._awaiting)

    def __iter__(self) -> Iterator[Key]:
        """The delivered keys that wait for a slave."""
        return iter(tuple(self._awaiting.values()))

    def await_slaves(self, keys: Iterable[Key]) -> None:
        """Hold keys that were delivered to their master (or were, before a restart) for their slaves."""
        held = tuple(keys)
        for key in held:
            if key.state is not KeyState.AWAITING_SLAVE:
                raise ValueError(f"key {key.key_id} is {key.state.value}")
        self._hold(held)

    def remaining(self, delivery_id: uuid.UUID) -> tuple[Key, ...]:
        """Those of a delivery's keys that still wait for somebody."""
        return tuple(self._deliveries.get(delivery_id, {}).values())

    def find(self, key_ids: Sequence[uuid.UUID], master: str, slave: str) -> tuple[Key, ...]:
        """The keys that ``slave`` may fetch of ``master``'s, in the order asked for. Changes nothing.

        Raises :class:`KeysNotFoundError` when one is missing, fetched already or another master's, and
        :class:`UnauthorisedError` when the originating request did not name ``slave``.
        """
        found: list[Key] = []
        missing: list[str] = []
        for key_id in key_ids:
            key = self._awaiting.get(key_id)
            if (
                key is None
                or key.known_delivery.master != master
                or (slave not in key.awaiting and slave in key.known_delivery.named)
            ):
                missing.append(str(key_id))
            else:
                found.append(key)
        if missing:
            raise KeysNotFoundError(tuple(missing))
        for key in found:
            if slave not in key.known_delivery.named:
                raise UnauthorisedError(f"key {key.key_id} was not requested for {slave}")
        return tuple(found)

    def fetch(self, keys: Sequence[Key], slave: str) -> tuple[Key, ...]:
        """Mark keys that :meth:`find` returned as fetched by ``slave``; the keys as they are after it."""
        after = tuple(key.fetched(slave) for key in keys)
        self._drop([key for key in after if key.state is KeyState.CONSUMED])
        self._hold([key for key in after if key.state is not KeyState.CONSUMED])
        return after

    def note_arrival(self, keys: Iterable[Key]) -> None:
        """Keep what is known of keys once copies have come to further sites; those that are gone stay gone."""
        held = ((self._awaiting.get(key.key_id), key) for key in keys)
        # Who still waits is as it is now: others may have fetched meanwhile.
        self._hold([replace(key, awaiting=now.awaiting) for now, key in held if now is not None])

    def put_back(self, key: Key, slave: str) -> None:
        """Undo :meth:`fetch` of one key for ``slave``, when it could not be recorded and so was not answered."""
        current = self._awaiting.get(key.key_id)
        others = frozenset() if current is None else current.awaiting
        again = Key(
            key.key_id, key.source, key.size_bits, key.made_at, key.copies, KeyState.AWAITING_SLAVE, key.delivery,
            others | {slave}, key.crossings, key.relays,
        )  # fmt: skip
        self._hold([again])

    def expire(self, now: float) -> tuple[Key, ...]:
        """Drop what outlived its time; the keys as they are after it."""
        expired: list[Key] = []
        for pool in self._pools.values():
            while pool and pool[0].made_at + self._available_lifetime_s <= now:
                expired.append(pool.popleft().expired())
        for held in tuple(self._deliveries.values()):
            first = next(iter(held.values()))
            if first.known_delivery.at + self._awaiting_lifetime_s <= now:
                keys = tuple(held.values())
                self._drop(keys)
                expired += [key.expired() for key in keys]
        return tuple(expired)

    def _hold(self, keys: Sequence[Key]) -> None:
        """Take the keys in, or in place of what is held under their ids."""
        for delivery_id, group in _by_delivery(keys):
            held = self._deliveries.get(delivery_id)
            if held is None:
                held = self._deliveries[delivery_id] = {}
            else:
                _count(self.waiting.remove, [was for key in group if (was := held.get(key.key_id)) is not None])
            _count(self.waiting.add, group)
            for key in group:
                self._awaiting[key.key_id] = held[key.key_id] = key

    def _drop(self, keys: Sequence[Key]) -> None:
        for delivery_id, group in _by_delivery(keys):
            held = self._deliveries[delivery_id]
            _count(self.waiting.remove, [held.pop(key.key_id) for key in group])
            for key in group:
                del self._awaiting[key.key_id]
            if not held:
                del self._deliveries[delivery_id]


def _by_delivery(keys: Sequence[Key]) -> Iterable[tuple[uuid.UUID, Sequence[Key]]]:
    """Most often all are of one delivery, which is then one object: nothing is hashed for each key."""
    if not keys:
        return ()
    first = keys[0].delivery
    if len(keys) == 1 or all(key.delivery is first for key in keys):
        return ((keys[0].known_delivery.delivery_id, keys),)
    groups: dict[uuid.UUID, list[Key]] = {}
    for key in keys:
        groups.setdefault(key.known_delivery.delivery_id, []).append(key)
    return groups.items()


def _count(change: Callable[[str, frozenset[str], Amount], None], keys: Sequence[Key]) -> None:
    """Add or remove keys of one delivery, those that wait for the same slaves at once."""
    if not keys:
        return
    number, first = len(keys), keys[0]
    master = first.known_delivery.master
    if number == 1 or all(k.awaiting is first.awaiting and k.size_bits == first.size_bits for k in keys):
        change(master, first.awaiting, Amount(number, number * first.size_bits))
        return
    for (awaiting, size_bits), each in Counter((key.awaiting, key.size_bits) for key in keys).items():
        change(master, awaiting, Amount(each, each * size_bits))
