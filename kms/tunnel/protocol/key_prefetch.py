"""Keys fetched ahead of their use, so that short pauses between keys do not cost a question to the KME each.

A key lies here for a few seconds at most, is taken once, and is forgotten when its time is over, when the connection
wants keys of another kind, or when the peer turns out not to have its twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

MAX_KEYS_AHEAD = 10
AHEAD_S = 1.0
KEPT_S = 5.0
"""How long a key may lie: keys for a second, and time for the exchanges in which they are used to be repeated."""


def keys_at_once(rekey_s: float) -> int:
    """How many keys one question to the KME asks for: those of a second, at most MAX_KEYS_AHEAD, at least one."""
    return max(1, min(MAX_KEYS_AHEAD, ceil(AHEAD_S / rekey_s)))


@dataclass(frozen=True)
class StockedKey:
    """A key, the random octets for the exchange in which it will be used, and until when it may be begun."""

    key_id: str
    key: bytes = field(repr=False)
    entropy: bytes = field(repr=False)
    until: float


class KeyStock:
    """The oldest first; what is too much makes the oldest give way."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._keys: dict[str, StockedKey] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, keys: Sequence[StockedKey]) -> None:
        for key in keys:
            self._keys[key.key_id] = key
        while len(self._keys) > self._capacity:
            del self._keys[next(iter(self._keys))]

    def take(self, now: float, key_id: str | None = None) -> StockedKey | None:
        """The key of that id, or the oldest; None when there is none whose time is not over. It is gone from here."""
        self.expire(now)
        if key_id is None:
            key_id = next(iter(self._keys), None)
        return self._keys.pop(key_id, None) if key_id is not None else None

    def expire(self, now: float) -> None:
        for key_id in [key_id for key_id, key in self._keys.items() if key.until <= now]:
            del self._keys[key_id]

    def next_expiry(self) -> float | None:
        return min((key.until for key in self._keys.values()), default=None)

    def clear(self) -> None:
        self._keys.clear()
