"""Where traffic is sealed: between hosts, between the cards of wavelengths, or both."""

from __future__ import annotations

from enum import Enum

CARD_REKEY_S = 3.0
"""How often a wavelength's key is renewed (papers 001 and 002)."""
CARD_KEY_BITS = 256
"""What that takes each time."""


class EncryptionMode(Enum):
    """What seals; the values are those of the setting ``encryption.mode``."""

    HOST = "host"
    """Tunnels from host to host, a key for each connection."""
    CHANNEL = "channel"
    """A pair of cards for each wavelength, whose key all its clients share (papers 001 and 002)."""
    BOTH = "both"

    @property
    def hosts_seal(self) -> bool:
        return self is not EncryptionMode.CHANNEL

    @property
    def cards_seal(self) -> bool:
        return self is not EncryptionMode.HOST
