"""The cipher suites: what seals and opens the octets of an ESP packet.

All of them take a salt of 4 octets, send an IV of 8 (the sequence number) and an ICV of 16, so that a packet is of one
length under each of them. Which one is used is told to both ends and bound into every key: ends that were told
different suites derive different keys, and reject each other's first message. Nothing is negotiated, so nothing can be
negotiated down.
"""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

Octets = bytes | bytearray | memoryview

SALT_BYTES = 4
IV_BYTES = 8
ICV_BYTES = 16
CIPHER_KEY_BYTES = 32
MASTER_KEY_BYTES = 32

_BLOCK_ONE = b"\0\0\0\1"  # RFC 3686, 4: the block counter begins at one
_EXTENDED = "-esn"


class Aead(Protocol):
    """Seals and opens; InvalidTag when what came is not what was sent. The ``into`` forms take one buffer for both."""

    def encrypt(self, nonce: bytes, data: Octets, associated_data: bytes) -> bytes: ...
    def decrypt(self, nonce: bytes, data: Octets, associated_data: bytes) -> bytes: ...
    def encrypt_into(self, nonce: bytes, data: Octets, associated_data: bytes, buf: Octets) -> int: ...
    def decrypt_into(self, nonce: bytes, data: Octets, associated_data: bytes, buf: Octets) -> int: ...


class Composed(ABC):
    """What is put together here, for a library that seals many packets into places of their own."""

    @abstractmethod
    def encrypt(self, nonce: bytes, data: Octets, associated_data: bytes) -> bytes: ...

    @abstractmethod
    def decrypt(self, nonce: bytes, data: Octets, associated_data: bytes) -> bytes: ...

    def encrypt_into(self, nonce: bytes, data: Octets, associated_data: bytes, buf: Octets) -> int:
        sealed = self.encrypt(nonce, data, associated_data)
        memoryview(buf)[:] = sealed
        return len(sealed)

    def decrypt_into(self, nonce: bytes, data: Octets, associated_data: bytes, buf: Octets) -> int:
        opened = self.decrypt(nonce, data, associated_data)
        memoryview(buf)[:] = opened
        return len(opened)


class CtrHmac(Composed):
    """AES-256 in counter mode (RFC 3686), then HMAC-SHA-256 cut to 16 octets (RFC 4868) under a key of its own.

    The ICV is over the packet as it is sent; with extended numbers their upper halves follow (RFC 4303, 2.2.1). It is
    looked at before anything is decrypted.
    """

    def __init__(self, key: bytes) -> None:
        self._aes = algorithms.AES(key[:CIPHER_KEY_BYTES])
        self._authentication = key[CIPHER_KEY_BYTES:]

    def encrypt(self, nonce: bytes, data: Octets, associated_data: bytes) -> bytes:
        text = self._crypt(nonce, data)
        return text + self._icv(nonce, text, associated_data)

    def decrypt(self, nonce: bytes, data: Octets, associated_data: bytes) -> bytes:
        text = bytes(data[:-ICV_BYTES])
        if not hmac.compare_digest(self._icv(nonce, text, associated_data), bytes(data[-ICV_BYTES:])):
            raise InvalidTag
        return self._crypt(nonce, text)

    def _crypt(self, nonce: bytes, data: Octets) -> bytes:
        return Cipher(self._aes, modes.CTR(nonce + _BLOCK_ONE)).encryptor().update(data)

    def _icv(self, nonce: bytes, text: bytes, associated_data: bytes) -> bytes:
        spi, high, low = associated_data[:4], associated_data[4:-4], associated_data[-4:]
        said = b"".join((spi, low, nonce[SALT_BYTES:], text, high))
        return hmac.digest(self._authentication, said, "sha256")[:ICV_BYTES]


class NullGmac(Composed):
    """AES-256-GMAC (RFC 4543, ENCR_NULL_AUTH_AES_GMAC): everything is authenticated and nothing is hidden."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def encrypt(self, nonce: bytes, data: Octets, associated_data: bytes) -> bytes:
        said = b"".join((associated_data, nonce[SALT_BYTES:], data))
        return bytes(data) + self._aead.encrypt(nonce, b"", said)

    def decrypt(self, nonce: bytes, data: Octets, associated_data: bytes) -> bytes:
        text = bytes(data[:-ICV_BYTES])
        self._aead.decrypt(nonce, bytes(data[-ICV_BYTES:]), b"".join((associated_data, nonce[SALT_BYTES:], text)))
        return text


@dataclass(frozen=True)
class Suite:
    """One row of the table. ``key_bytes`` is the whole key, that for encryption before that for authentication."""

    name: str
    rfc: str
    key_bytes: int
    make: Callable[[bytes], Aead]
    hides: bool = True
    """False: the inner packets can be read on the way."""
    is_split: bool = False
    """Encryption and authentication have keys from two keys of the KMS (paper 003, algorithms 4 and 7)."""
    is_extended: bool = False
    """Sequence numbers of 64 bits, of which the lower half is sent (RFC 4303, 2.2.1; RFC 4304)."""

    code: str = ""
    """Of an extension's: version and SHA-256 of its source."""

    @property
    def identity(self) -> str:
        """What keys are bound to: ends of one name and different code share none."""
        return f"{self.name} {self.code}" if self.code else self.name

    @property
    def master_bytes(self) -> int:
        """How much key an exchange takes from the KMS."""
        return MASTER_KEY_BYTES * (2 if self.is_split else 1)

    @property
    def max_sequence(self) -> int:
        return 2**64 - 1 if self.is_extended else 2**32 - 1

    @property
    def soft_sequence(self) -> int:
        """A new key is asked for here, long before the last number.

        2^36 full packets under one key of AES-GCM leave an attacker an advantage below 2^-40 (quadratic in the
        blocks, SP 800-38D and its analyses).
        """
        return 2**36 if self.is_extended else 2**31


_BASIC = (
    Suite("aes-256-gcm", "4106", 32, AESGCM),
    Suite("chacha20-poly1305", "7634", 32, ChaCha20Poly1305),
    Suite("aes-256-ctr-hmac-sha-256", "3686, 4868", 64, CtrHmac, is_split=True),
    Suite("null-aes-256-gmac", "4543", 32, NullGmac, hides=False),
)
SUITES: dict[str, Suite] = {
    suite.name: suite
    for basic in _BASIC
    for suite in (basic, replace(basic, name=basic.name + _EXTENDED, is_extended=True))
}
"""By name: each of the four with sequence numbers of 32 bits, and with those of 64."""

DEFAULT = SUITES["aes-256-gcm"]

_STRENGTH = ("none", "dh", "qra", "qkd")


def roles(key_source: str) -> tuple[str, str]:
    """The sources of a split suite's two keys: for encryption, and for authentication.

    The strongest of several authenticates and the others encrypt, as in paper 003, where the classical key encrypts
    and the quantum key authenticates. A single source gives both keys.
    """
    sources = key_source.split("+")
    if len(sources) == 1:
        return key_source, key_source
    strongest = max(sources, key=lambda s: _STRENGTH.index(s) if s in _STRENGTH else -1)
    return "+".join(s for s in sources if s != strongest), strongest
