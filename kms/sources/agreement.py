"""What the sources of keys have in common: an agreed key, a public-key mechanism, framing of messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from kms.errors import ExchangeError

# A secret of one public-key exchange never holds more entropy than this, so a longer key takes several.
EXCHANGE_STRENGTH_BITS = 256
# So many keys are derived from the exchanges of one, as TLS derives all of a session's keys from one: none of them says
# anything of another. Bounded, so that a secret that leaks opens no more than these.
KEYS_PER_AGREEMENT = 128


@dataclass(slots=True)
class AgreedKey:
    """A key as both ends have it. Made by the thousand a second: freezing it would triple its cost.

    ``at_a`` and ``at_b`` are equal when the agreement worked; each is handed out by its own KME alone. ``at_b`` is None
    where the other end is another process.
    """

    at_a: bytes = field(repr=False)
    at_b: bytes | None = field(repr=False)
    crossings: int = 0  # of QKD sections, by all of its relays
    relays: int = 1


@dataclass(slots=True)
class CarriedKey:
    """A key as it arrived at a site; ``copy`` is None where that is another process, which has it now.

    ``crossings`` and ``relays`` are those of this journey, as in :class:`AgreedKey`.
    """

    copy: bytes | None = field(repr=False)
    crossings: int = 0
    relays: int = 1


class Mechanism(Protocol):
    """A public-key mechanism by which two KMEs come by a common secret, in one message each way."""

    @property
    def algorithm(self) -> str: ...

    def offer(self) -> tuple[bytes, Callable[[bytes], bytes]]:
        """The first message, and what makes the secret of the second."""

    def answer(self, offered: bytes) -> tuple[bytes, bytes]:
        """The second message and the secret. ExchangeError for a message that is none."""


def exchanges_for(size_bits: int) -> int:
    """How many exchanges a key of ``size_bits`` takes to have its full entropy."""
    return -(-size_bits // EXCHANGE_STRENGTH_BITS)


def framed(*parts: bytes) -> bytes:
    """The parts in a row, each preceded by its length: no two lists look alike."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def unframed(message: bytes, count: int) -> tuple[bytes, ...]:
    """The ``count`` parts of a framed message; ExchangeError when there are more or fewer."""
    parts: list[bytes] = []
    place = 0
    while place < len(message):
        end = place + 4 + int.from_bytes(message[place : place + 4], "big")
        parts.append(message[place + 4 : end])
        place = end
    if place != len(message) or len(parts) != count:
        raise ExchangeError(f"a message does not have the {count} parts that it should")
    return tuple(parts)
