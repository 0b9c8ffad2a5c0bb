"""The ledger: what happened to which key, when and for whom. Never what the key is."""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from kms.keys.key import Key, KeySource

REMEMBERED_ENTRIES = 4_000


class LedgerEvent(Enum):
    __hash__ = object.__hash__  # as of :class:`kms.keys.key.KeyState`

    DELIVERED_TO_MASTER = "delivered-to-master"
    FETCHED_BY_SLAVE = "fetched-by-slave"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One event and the keys of one source that it happened to.

    ``site`` is the KME's, ``sae`` the one that got the keys (None for an expiry).
    """

    at: float
    event: LedgerEvent
    key_ids: tuple[uuid.UUID, ...]
    source: KeySource
    size_bits: int
    site: str | None = None
    sae: str | None = None

    def to_dicts(self) -> Iterator[dict[str, object]]:
        """One document per key."""
        for key_id in self.key_ids:
            yield {
                "at": self.at,
                "event": self.event.value,
                "key_ID": str(key_id),
                "key_source": self.source.label,
                "size": self.size_bits,
                "site": self.site,
                "sae": self.sae,
            }


def entries_of(
    event: LedgerEvent, keys: Iterable[Key], site: str | None, sae: str | None, now: float
) -> list[LedgerEntry]:
    """What happened to ``keys`` at one moment: an entry per source and size."""
    groups: dict[tuple[KeySource, int], list[uuid.UUID]] = {}
    for key in keys:
        groups.setdefault((key.source, key.size_bits), []).append(key.key_id)
    return [LedgerEntry(now, event, tuple(ids), source, size, site, sae) for (source, size), ids in groups.items()]


class Ledger:
    """The last entries one by one, and of all entries how many keys they were about."""

    def __init__(self, remembered: int = REMEMBERED_ENTRIES) -> None:
        self._remembered = remembered
        self._held = 0  # keys in the entries that are remembered
        self._entries: deque[LedgerEntry] = deque()
        self._counts: Counter[tuple[LedgerEvent, str, str | None]] = Counter()

    def add(self, entry: LedgerEntry) -> None:
        self._entries.append(entry)
        self._held += len(entry.key_ids)
        while self._held > self._remembered and len(self._entries) > 1:
            self._held -= len(self._entries.popleft().key_ids)
        self._counts[entry.event, entry.source.label, entry.site] += len(entry.key_ids)

    def __iter__(self) -> Iterator[LedgerEntry]:
        return iter(self._entries)

    def __len__(self) -> int:
        """How many keys the remembered entries are about."""
        return self._held

    def counts(self) -> dict[tuple[LedgerEvent, str, str | None], int]:
        """Keys so far by event, key source and site."""
        return dict(self._counts)
