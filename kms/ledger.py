"""The ledger: what happened to which key, when and for whom. Never what the key is."""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from kms.keys import KeySource

REMEMBERED_ENTRIES = 10_000


class LedgerEvent(Enum):
    DELIVERED_TO_MASTER = "delivered-to-master"
    FETCHED_BY_SLAVE = "fetched-by-slave"
    EXPIRED = "expired"


@dataclass(frozen=True)
class LedgerEntry:
    """``site`` is the KME's, ``sae`` the one that got the key (None for an expiry)."""

    at: float
    event: LedgerEvent
    key_id: uuid.UUID
    source: KeySource
    size_bits: int
    site: str | None = None
    sae: str | None = None

    def to_dict(self) -> dict[str, object]:
        return {
            "at": self.at,
            "event": self.event.value,
            "key_ID": str(self.key_id),
            "key_source": self.source.label,
            "size": self.size_bits,
            "site": self.site,
            "sae": self.sae,
        }


class Ledger:
    """The last entries one by one, and of all entries the count."""

    def __init__(self, remembered: int = REMEMBERED_ENTRIES) -> None:
        self._entries: deque[LedgerEntry] = deque(maxlen=remembered)
        self._counts: Counter[tuple[LedgerEvent, str, str | None]] = Counter()

    def add(self, entry: LedgerEntry) -> None:
        self._entries.append(entry)
        self._counts[entry.event, entry.source.label, entry.site] += 1

    def __iter__(self) -> Iterator[LedgerEntry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def counts(self) -> dict[tuple[LedgerEvent, str, str | None], int]:
        """Entries so far by event, key source and site."""
        return dict(self._counts)
