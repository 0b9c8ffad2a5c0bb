"""Which key ids have been seen of late: eight octets each, in memory that is taken at once and does not grow."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable

_MARK_BYTES = 8


class SeenIds:
    """The last ``capacity`` of them, by a hash: that another is taken for one of them has a chance of 2^-54 or less,
    and then the exchange is made with the next key."""

    __slots__ = ("_at", "_marks")

    def __init__(self, capacity: int) -> None:
        self._marks = array("Q", bytes(_MARK_BYTES * capacity))
        self._at = 0

    def __contains__(self, key_id: str) -> bool:
        return _mark(key_id) in self._marks

    def add(self, key_id: str) -> None:
        self._marks[self._at] = _mark(key_id)
        self._at = (self._at + 1) % len(self._marks)

    def update(self, key_ids: Iterable[str]) -> None:
        for key_id in key_ids:
            self.add(key_id)


def _mark(key_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(key_id.encode(), digest_size=_MARK_BYTES).digest(), "big")
