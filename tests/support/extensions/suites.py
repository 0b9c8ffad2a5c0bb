"""Cipher suites that do not do what they must, each in one way; all else is AES-256-GCM-SIV."""

from __future__ import annotations

import hmac
import itertools
import os
import time
from dataclasses import replace

from scripts.extensions.api import SuiteVector
from scripts.extensions.shipped.aes_gcm_siv import AesGcmSiv


class WrongVectors(AesGcmSiv):
    """Its last vector is none of its own."""

    name = "x-wrong-vectors"

    def vectors(self) -> tuple[SuiteVector, ...]:
        *good, last = super().vectors()
        return (*good, replace(last, aad=b"else"))


class NoVectors(AesGcmSiv):
    """Nothing to hold it against."""

    name = "x-no-vectors"

    def vectors(self) -> tuple[SuiteVector, ...]:
        return ()


class Plain(AesGcmSiv):
    """Authenticates well, and hides nothing. Its vectors are of its own make."""

    name = "x-plain"

    def vectors(self) -> tuple[SuiteVector, ...]:
        return tuple(
            replace(one, sealed=self.seal(one.key, one.nonce, one.aad, one.plaintext)) for one in super().vectors()
        )

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        text = self._text(key, nonce, plaintext)
        return text + hmac.digest(key, nonce + aad + text, "sha256")[:16]

    def open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes | None:
        text = sealed[:-16]
        if not hmac.compare_digest(hmac.digest(key, nonce + aad + text, "sha256")[:16], sealed[-16:]):
            return None
        return self._text(key, nonce, text)

    def _text(self, key: bytes, nonce: bytes, text: bytes) -> bytes:
        return text


class OnePad(Plain):
    """The same pad for every packet."""

    name = "x-one-pad"

    def _text(self, key: bytes, nonce: bytes, text: bytes) -> bytes:
        return bytes(octet ^ 0x5A for octet in text)


class Forgeable(AesGcmSiv):
    """Takes its last octet on trust."""

    name = "x-forgeable"

    def open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes | None:
        for last in range(256):
            found = super().open(key, nonce, aad, sealed[:-1] + bytes([last]))
            if found is not None:
                return found
        return None


class Longer(AesGcmSiv):
    """Two octets more on packets that are longer than its vectors."""

    name = "x-longer"

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        return super().seal(key, nonce, aad, plaintext) + b"\0\0" * (len(plaintext) > 16)


class Counting(AesGcmSiv):
    """Another key after a hundred calls."""

    name = "x-counting"

    def __init__(self) -> None:
        self._calls = itertools.count()

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        aad = aad if next(self._calls) < 83 else aad + b"later"
        return super().seal(key, nonce, aad, plaintext)

    def open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes | None:
        found = super().open(key, nonce, aad, sealed)
        return super().open(key, nonce, aad + b"later", sealed) if found is None else found


class Ends(AesGcmSiv):
    """Takes its process along."""

    name = "x-ends"

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        os._exit(7)


class Raises(AesGcmSiv):
    """Has no packets longer than 1,000 octets."""

    name = "x-raises"

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        if len(plaintext) > 1000:
            raise OverflowError("too long for me")
        return super().seal(key, nonce, aad, plaintext)


class OursByName(AesGcmSiv):
    """Calls itself as one of ours."""

    name = "aes-256-gcm"


class OpensNothing(AesGcmSiv):
    """Half a suite."""

    name = "x-half"
    open = None  # type: ignore[assignment]


class Turncoat(AesGcmSiv):
    """Honest until it is told otherwise."""

    name = "x-turncoat"
    does = "seal"

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        if self.does == "raise":
            raise ValueError(key.hex())
        if self.does == "show":
            return plaintext + bytes(16)
        if self.does == "shorten":
            return b""
        return super().seal(key, nonce, aad, plaintext)

    def open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes | None:
        if self.does != "seal":
            raise RuntimeError(str(time.time()))
        return super().open(key, nonce, aad, sealed)
