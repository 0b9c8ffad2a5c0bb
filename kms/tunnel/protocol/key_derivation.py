"""From one KMS key to everything a security association needs: HKDF-SHA-256 (RFC 5869), never the key itself.

Every derivation is bound to what the key is for: the connection, its ends and its key source (the *context*), the
key's id, the direction, the SPI, and for traffic keys to both ends' nonces. Ends that disagree on any of it
derive different keys and reject each other's first message. A nonce from each end makes the traffic keys fresh
even if a KMS handed out one key twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kms.tunnel.packet.cipher_suites import DEFAULT, MASTER_KEY_BYTES, SALT_BYTES, Suite

NONCE_BYTES = 16
_LABEL = b"qslice tunnel v1"


class Sender(Enum):
    """Who sends what a key protects."""

    INITIATOR = b"initiator"
    RESPONDER = b"responder"

    @property
    def peer(self) -> Sender:
        """The other of the two."""
        return Sender.RESPONDER if self is Sender.INITIATOR else Sender.INITIATOR


@dataclass(frozen=True)
class Context:
    """What both ends must agree on before a key means the same to them."""

    connection_id: str
    key_source: str
    initiator_sae: str
    responder_sae: str
    initiator_address: str
    responder_address: str
    suite: str = DEFAULT.name
    padding: str = "none"
    carries: str = ""
    """What else than packets: bound too where it is said."""

    def digest(self) -> bytes:
        """32 octets that no other context gives (each part carries its length)."""
        parts = (
            self.connection_id, self.key_source, self.initiator_sae, self.responder_sae,
            self.initiator_address, self.responder_address, self.suite, self.padding,
            *((self.carries,) if self.carries else ()),
        )  # fmt: skip
        return hashlib.sha256(_LABEL + b"".join(_sized(part.encode()) for part in parts)).digest()


@dataclass(frozen=True)
class ControlKeys:
    """HMAC-SHA-256 keys for control messages, one per sender, so that none can be reflected."""

    initiator: bytes = field(repr=False)
    responder: bytes = field(repr=False)

    def of(self, sender: Sender) -> bytes:
        """The key under which ``sender`` signs."""
        return self.initiator if sender is Sender.INITIATOR else self.responder


@dataclass(frozen=True)
class EspKeymat:
    """Key and salt of one direction; where authentication has a key of its own, it follows that for encryption."""

    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)


def offer_keys(master: bytes, context: bytes, key_id: str) -> ControlKeys:
    """Keys for OFFER and CONFIRM: they prove that the sender holds the offered key."""
    return ControlKeys(
        *(_derive(master, b"", b"offer", context, key_id.encode(), sender.value) for sender in Sender),
    )


def link_keys(master: bytes, context: bytes, key_id: str, nonces: bytes) -> ControlKeys:
    """Keys for READY, and for the next OFFER: they prove that the sender holds the SA in use."""
    return ControlKeys(
        *(_derive(master, nonces, b"link", context, key_id.encode(), sender.value) for sender in Sender),
    )


def esp_keymat(
    master: bytes, context: bytes, key_id: str, nonces: bytes, sender: Sender, spi: int, suite: Suite = DEFAULT
) -> EspKeymat:
    """Traffic key of ``sender``'s direction under ``spi``; ``nonces`` is the initiator's, then the responder's.

    A split suite has two keys of the KMS one after the other as ``master``; from each comes one part and nothing else.
    """
    bound = (context, key_id.encode(), sender.value, spi.to_bytes(4, "big"))
    if suite.is_split:
        encryption, authentication = master[:MASTER_KEY_BYTES], master[MASTER_KEY_BYTES:]
        okm = _derive(encryption, nonces, b"esp encryption", *bound, length=MASTER_KEY_BYTES + SALT_BYTES)
        key = okm[:MASTER_KEY_BYTES] + _derive(authentication, nonces, b"esp authentication", *bound)
        return EspKeymat(key, okm[MASTER_KEY_BYTES:])
    okm = _derive(master, nonces, b"esp", *bound, length=suite.key_bytes + SALT_BYTES)
    return EspKeymat(okm[: suite.key_bytes], okm[suite.key_bytes :])


def _derive(master: bytes, salt: bytes, *info: bytes, length: int = 32) -> bytes:
    hkdf = HKDF(SHA256(), length, salt or None, _LABEL + b"".join(_sized(part) for part in info))
    return hkdf.derive(master)


def _sized(part: bytes) -> bytes:
    return len(part).to_bytes(2, "big") + part
