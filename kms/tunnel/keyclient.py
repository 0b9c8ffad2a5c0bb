"""What the tunnel needs of a key management entity."""

from __future__ import annotations

from typing import Protocol


class KeyClient(Protocol):
    """An ETSI GS QKD 014 client. Both calls raise KeyRefused when there is no key."""

    async def enc_key(self, slave_sae: str, key_source: str) -> tuple[str, bytes]:
        """A fresh key shared with ``slave_sae``: its id and its 32 octets."""
        ...

    async def dec_key(self, master_sae: str, key_id: str) -> bytes:
        """The key that ``master_sae`` was given under ``key_id``."""
        ...
