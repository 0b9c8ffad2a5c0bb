"""What every key source offers: two sites' KMEs agree on keys, and each ends up with its own copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from kms.keys import Route

# A key derived from one public-key exchange never holds more entropy than this, so a longer key takes several.
EXCHANGE_STRENGTH_BITS = 256
# So many keys are derived from the exchanges of one, as TLS derives all of a session's keys from one: none of them says
# anything of another. Bounded, so that a secret that leaks opens no more than these.
KEYS_PER_AGREEMENT = 64


@dataclass(frozen=True)
class AgreedKey:
    """The outcome of one agreement: what each end computed, and the public messages that went either way.

    ``at_a`` and ``at_b`` are equal when the exchange worked; each is handed out by its own KME alone.
    """

    at_a: bytes = field(repr=False)
    at_b: bytes = field(repr=False)
    message_a: bytes = b""
    message_b: bytes = b""
    crossings: int = 0  # of QKD sections


class KeyAgreement(Protocol):
    """A source of keys between the KMEs of two sites; ``algorithm`` says what does it."""

    @property
    def algorithm(self) -> str: ...

    def can_join(self, a: str, b: str, route: Route | None = None) -> bool:
        """Whether this source could ever serve the pair, whatever its state now; by that route if one is named."""

    def agree(self, a: str, b: str, count: int, size_bits: int, route: Route | None = None) -> list[AgreedKey]:
        """``count`` fresh keys of ``size_bits`` (a multiple of 8) between sites ``a`` and ``b``, by ``route`` if named.

        All or none. Raises :class:`kms.errors.ExhaustedError` when there are none to be had now, and
        :class:`kms.errors.ExchangeError` when a check of the exchange failed.
        """


def derive_key(secret: bytes, algorithm: str, initiator: str, responder: str, messages: tuple[bytes, ...]) -> bytes:
    """256 bits from an exchange's raw secret, bound to the algorithm, both ends and every public message.

    HKDF-SHA256 (RFC 5869); each field of the info is preceded by its length, so that no two contexts look alike.
    """
    context = b"".join(
        len(part).to_bytes(4, "big") + part
        for part in (algorithm.encode(), initiator.encode(), responder.encode(), *messages)
    )
    return HKDF(hashes.SHA256(), EXCHANGE_STRENGTH_BITS // 8, salt=None, info=b"qslice kms exchange" + context).derive(
        secret
    )


def exchanges_for(size_bits: int) -> int:
    """How many exchanges a key of ``size_bits`` takes to have its full entropy."""
    return -(-size_bits // EXCHANGE_STRENGTH_BITS)


def join_exchanges(exchanges: list[AgreedKey], size_bits: int) -> AgreedKey:
    """One key of ``size_bits`` out of as many exchanges as :func:`exchanges_for` says."""
    length = size_bits // 8
    return AgreedKey(
        at_a=b"".join(e.at_a for e in exchanges)[:length],
        at_b=b"".join(e.at_b for e in exchanges)[:length],
        message_a=b"".join(e.message_a for e in exchanges),
        message_b=b"".join(e.message_b for e in exchanges),
    )


def agree_in_batches(exchange: Callable[[], AgreedKey], count: int, size_bits: int) -> list[AgreedKey]:
    """``count`` keys of ``size_bits``, KEYS_PER_AGREEMENT at a time out of as many exchanges as one key takes."""
    keys: list[AgreedKey] = []
    while len(keys) < count:
        root = join_exchanges([exchange() for _ in range(exchanges_for(size_bits))], size_bits)
        wanted = min(KEYS_PER_AGREEMENT, count - len(keys))
        keys += [root] if wanted == 1 else _expanded(root, wanted)
    return keys


def _expanded(root: AgreedKey, count: int) -> list[AgreedKey]:
    """Keys of the root's size, derived from it at either end (HKDF-Expand, RFC 5869, 2.3); it is none of them."""
    length = len(root.at_a)

    def expand(secret: bytes) -> list[bytes]:
        all_of_them = HKDFExpand(hashes.SHA512(), length * count, info=b"qslice kms keys of one agreement").derive(
            secret
        )
        return [all_of_them[place : place + length] for place in range(0, length * count, length)]

    pairs = zip(expand(root.at_a), expand(root.at_b), strict=True)
    return [AgreedKey(at_a, at_b, root.message_a, root.message_b) for at_a, at_b in pairs]
