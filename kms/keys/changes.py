"""What the key service asks the store to write: deliveries, SAEs' homes, entries of the ledger."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from kms.keys.key import Key
from kms.keys.ledger import LedgerEntry


@dataclass(frozen=True)
class SaveDelivery:
    """What is left of a delivery: its keys that still await slaves. None left, and its row goes."""

    delivery_id: uuid.UUID
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class SaveHome:
    sae: str
    site: str


Change = SaveDelivery | SaveHome | LedgerEntry
