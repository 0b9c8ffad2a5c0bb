"""A key source that is somebody else's code, in the place of Diffie-Hellman or of the KEM.

The exchange around it stays ours: signed messages, both ends' names and nonces in the keys, and a confirmation that
fails when the two ends have different secrets. What it cannot know is whether the secrets are secret: at which level
its keys serve is the operator's word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kms.errors import ExchangeError, KeySourceError
from scripts.extensions.errors import ExtensionError
from scripts.extensions.loading import Identity

ENTROPY_BYTES = 64
LEAST_SECRET, MOST_SECRET = 32, 64  # octets
MOST_MESSAGE = 4_000  # octets


class Asked(Protocol):
    """An extension in its process (:class:`scripts.extensions.client.Worker`)."""

    @property
    def identity(self) -> Identity | None: ...

    def ask(self, call: str, *values: Any) -> Any:
        """Raises ExtensionError."""


class ExtensionSource:
    """The mechanism of all KMEs of this process."""

    def __init__(self, worker: Asked, entropy: Callable[[int], bytes]) -> None:
        self._worker, self._entropy = worker, entropy
        self.algorithm = f"extension {str(worker.identity).partition(' ')[2]}"

    def offer(self) -> tuple[bytes, Callable[[bytes], bytes]]:
        made = self._ask("offer", self._entropy(ENTROPY_BYTES).hex())
        state: str = made.state
        return self._message(made.message), lambda reply: self._secret(self._ask("finish", state, reply.hex()))

    def answer(self, offered: bytes) -> tuple[bytes, bytes]:
        made = self._ask("answer", self._entropy(ENTROPY_BYTES).hex(), offered.hex())
        return self._message(made.message), self._secret(made.secret)

    def _ask(self, call: str, *values: Any) -> Any:
        try:
            return self._worker.ask(call, *values)
        except ExtensionError as error:
            code = error.fault.value
            raise KeySourceError(code, f"{self.algorithm}: {code}: {error.detail}") from None

    def _message(self, text: str) -> bytes:
        return self._octets(text, "message", 1, MOST_MESSAGE)

    def _secret(self, text: str) -> bytes:
        return self._octets(text, "secret", LEAST_SECRET, MOST_SECRET)

    def _octets(self, text: str, what: str, least: int, most: int) -> bytes:
        try:
            found = bytes.fromhex(text)
        except ValueError:
            raise ExchangeError(f"{self.algorithm}: its {what} is not in hexadecimal digits") from None
        if not least <= len(found) <= most:
            raise ExchangeError(f"{self.algorithm}: its {what} has {len(found)} octets, not {least} to {most}")
        return found
