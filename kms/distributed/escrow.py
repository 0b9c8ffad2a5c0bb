"""Copies of keys that another KME ordered and has not assigned to anybody yet. Pure.

The KME that ordered a key, its *owner*, alone decides who gets it. Until it says so the copy here is nobody's; it is
lost when this KME restarts, and then the owner drops the key too.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from kms.errors import ExhaustedError, KeysForgottenError
from kms.keys.key import Key, KeySource
from kms.keys.waiting_counts import Amount

MAX_COPIES = 200_000
PSKS_LAST_S = 60.0


@dataclass(frozen=True)
class Psks:
    """QKD bits that wait for the exchange that mixes them in."""

    owner: str
    at: float
    crossings: int
    bits: tuple[bytes, ...] = field(repr=False)
    relays: int = 1


class Escrow:
    def __init__(self, site: str, lifetime_s: float) -> None:
        self._site = site
        self._lifetime_s = lifetime_s
        self._copies: dict[uuid.UUID, tuple[str, Key]] = {}
        self._psks: dict[str, Psks] = {}

    def __len__(self) -> int:
        return len(self._copies)

    def put(
        self, owner: str, key_ids: Sequence[uuid.UUID], copies: Sequence[bytes], source: KeySource, now: float,
        crossings: int = 0, relays: int = 1,
    ) -> None:  # fmt: skip
        """Keep the copies for their owner, who may send one again; ExhaustedError when there are too many already."""
        self._expire(now)
        is_anothers = any(self._copies.get(key_id, (owner, None))[0] != owner for key_id in key_ids)
        if len(self._copies) + len(key_ids) > MAX_COPIES or is_anothers:
            raise ExhaustedError(f"the KME of {self._site} takes no more keys")
        for key_id, copy in zip(key_ids, copies, strict=True):
            key = Key(key_id, source, 8 * len(copy), now, {self._site: copy}, crossings=crossings, relays=relays)
            self._copies[key_id] = owner, key

    def take(self, owner: str, key_ids: Sequence[uuid.UUID]) -> list[Key]:
        """The owner's keys, gone from here; KeysForgottenError, with none of them taken, when one is not there."""
        keys = self._find(owner, key_ids)
        for key_id in key_ids:
            del self._copies[key_id]
        return keys

    def amount(self, owner: str, key_ids: Sequence[uuid.UUID]) -> Amount:
        """How much :meth:`take` would take; KeysForgottenError like there."""
        keys = self._find(owner, key_ids)
        return Amount(len(keys), sum(key.size_bits for key in keys))

    def _find(self, owner: str, key_ids: Sequence[uuid.UUID]) -> list[Key]:
        found = [self._copies.get(key_id, ("", None)) for key_id in key_ids]
        keys = [key for holder, key in found if key is not None and holder == owner]
        if len(keys) != len(key_ids) or len(set(key_ids)) != len(key_ids):
            raise KeysForgottenError(f"the KME of {self._site} does not have all of the keys")
        return keys

    def drop_of(self, owner: str) -> None:
        """The owner has restarted, and knows nothing of what it ordered."""
        self._copies = {key_id: held for key_id, held in self._copies.items() if held[0] != owner}

    def put_psks(self, batch: str, psks: Psks) -> None:
        self._psks = {name: held for name, held in self._psks.items() if held.at > psks.at - PSKS_LAST_S}
        self._psks[batch] = psks

    def take_psks(self, owner: str, batch: str) -> Psks:
        psks = self._psks.get(batch)
        if psks is None or psks.owner != owner:
            raise KeysForgottenError(f"the KME of {self._site} does not have the QKD bits of a hybrid")
        return self._psks.pop(batch)

    def _expire(self, now: float) -> None:
        # In the order of their coming.
        for key_id, (_, key) in tuple(self._copies.items()):
            if key.made_at + self._lifetime_s > now:
                break
            del self._copies[key_id]
