"""Key sources: one that does what it must, and some that do not."""

from __future__ import annotations

import hashlib
import os
import time

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from scripts.extensions.api import EXTENSION_API, SourceAnswer, SourceOffer


class Curve:
    """X25519. It says that it is QKD, which nobody need believe."""

    name = "curve"
    version = "0.1"
    api = EXTENSION_API
    level = "qkd"

    def offer(self, entropy: str) -> SourceOffer:
        private = bytes.fromhex(entropy)[:32]
        return SourceOffer(self._public(private).hex(), private.hex())

    def answer(self, entropy: str, message: str) -> SourceAnswer:
        private = bytes.fromhex(entropy)[32:]
        return SourceAnswer(self._public(private).hex(), self._secret(private, message))

    def finish(self, state: str, message: str) -> str:
        return self._secret(bytes.fromhex(state), message)

    def _public(self, private: bytes) -> bytes:
        return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    def _secret(self, private: bytes, message: str) -> str:
        peer = X25519PublicKey.from_public_bytes(bytes.fromhex(message))
        return X25519PrivateKey.from_private_bytes(private).exchange(peer).hex()


class TwoFaced(Curve):
    """Gives the two ends different secrets."""

    name = "two-faced"

    def finish(self, state: str, message: str) -> str:
        return hashlib.sha256(super().finish(state, message).encode()).hexdigest()


class Short(Curve):
    """Secrets that are too short."""

    name = "short"

    def answer(self, entropy: str, message: str) -> SourceAnswer:
        return SourceAnswer(message, "00")


class Same(Curve):
    """The same secret each time, and in the message."""

    name = "same"

    def offer(self, entropy: str) -> SourceOffer:
        return SourceOffer("11" * 32, "11" * 32)

    def answer(self, entropy: str, message: str) -> SourceAnswer:
        return SourceAnswer("11" * 32, "11" * 32)

    def finish(self, state: str, message: str) -> str:
        return "11" * 32


class Translated(Curve):
    """Does what it must, and is named as if it were late."""

    name = "translated"


class Touchy(Curve):
    """Ends with a message that is none of its own."""

    name = "touchy"

    def answer(self, entropy: str, message: str) -> SourceAnswer:
        if len(message) != 64:
            os._exit(3)
        return super().answer(entropy, message)


class Sleepy(Curve):
    """Never answers."""

    name = "sleepy"

    def answer(self, entropy: str, message: str) -> SourceAnswer:
        time.sleep(3600)
        return SourceAnswer("", "")


class Talkative(Curve):
    """Raises, with its secret in the words."""

    name = "talkative"

    def finish(self, state: str, message: str) -> str:
        raise ValueError(f"my secret is {super().finish(state, message)}")
