"""How keys get from one KME to another. Two implementations share everything else: all KMEs in this process
(:class:`EmbeddedTransport`), or each in its own (:class:`kms.distributed.peer_transport.PeerTransport`).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kms.errors import ExchangeError
from kms.keys.key import QKD, UNCONSTRAINED, Delivery, Key, KeySource, RelayKind, RoutingConstraint, Source
from kms.qkdnet.pad_account import FREE, PadAccount
from kms.qkdnet.qkd_network import QkdSource
from kms.sources.agreement import KEYS_PER_AGREEMENT, AgreedKey, CarriedKey
from kms.sources.exchange import Party, Terms

WRAPPING_KEY_BITS = 256
# Each wrapping key wraps one key and is forgotten, so its nonce may be a constant.
_ONLY_NONCE = bytes(12)


class KeyTransport(Protocol):
    """What :class:`kms.delivery.key_delivery.KeyService` asks of the other KMEs.

    Its calls raise ExhaustedError (or a kind of it) when there is no key to be had now, and ExchangeError when a check
    of an exchange failed. What takes pads of QKD sections debits them to an account; ShortOfKeyError says that none
    were taken, so that the call may be repeated.
    """

    def can_join(self, source: KeySource, a: str, b: str, constraint: RoutingConstraint = UNCONSTRAINED) -> bool:
        """Whether this source could ever serve the pair under that constraint, whatever its state now."""

    def is_here(self, site: str) -> bool:
        """Whether the site's KME is of this process: its copies are kept by this service."""

    def require(
        self, source: KeySource, a: str, keys: Sequence[tuple[str, int, int]], constraint: RoutingConstraint
    ) -> None:
        """Whether so many keys of so many bits could go from ``a`` to each of those sites now, one after the other.

        ShortOfKeyError, or why else not, when they could not: nothing is taken for the first ones then.
        """

    async def agree(
        self, source: KeySource, a: str, b: str, key_ids: Sequence[uuid.UUID], size_bits: int,
        constraint: RoutingConstraint = UNCONSTRAINED, account: PadAccount = FREE,
    ) -> list[AgreedKey]:  # fmt: skip
        """Fresh keys of ``size_bits`` (a multiple of 8) between sites ``a`` and ``b``."""

    async def carry(
        self, source: KeySource, keys: Sequence[tuple[uuid.UUID, bytes]], a: str, b: str,
        constraint: RoutingConstraint = UNCONSTRAINED, account: PadAccount = FREE,
    ) -> list[CarriedKey]:  # fmt: skip
        """``keys`` of one size, held at site ``a``, as they arrive at ``b``: all of them, or none.

        QKD alone relays them in one message under one-time pads. Any other source agrees on a wrapping key for each
        and this one time, under which it travels with AES-256-GCM: as well protected as a key of that source itself.
        """

    async def entrust(
        self, place: str, delivery: Delivery, keys: Sequence[Key], awaiting: frozenset[str], is_booked: bool
    ) -> None:
        """Have the KME of ``place``, another process, keep its copies of delivered keys for the slaves ``awaiting``.

        They are on its disk when this returns. NoRoomError when it has no room for them, and they are as before. After
        any other error they may be there or not: the keys are not to be used.
        """

    async def claim(self, site: str, caller: str, master: str, key_ids: Sequence[uuid.UUID]) -> list[Key] | None:
        """Keys that another KME holds for ``caller``, brought to ``site`` and fetched; None when no one holds them."""


def bits_to_carry(source: KeySource, size_bits: int) -> int:
    """What a key costs each QKD section on its way, tags not counted, when it is carried: the key or what wraps it."""
    return size_bits if source == QKD else WRAPPING_KEY_BITS


def seal(wrapping: bytes, key_id: uuid.UUID, key: bytes) -> bytes:
    return AESGCM(wrapping).encrypt(_ONLY_NONCE, key, key_id.bytes)


def unseal(wrapping: bytes, key_id: uuid.UUID, wrapped: bytes) -> bytes:
    try:
        return AESGCM(wrapping).decrypt(_ONLY_NONCE, wrapped, key_id.bytes)
    except InvalidTag:
        raise ExchangeError(f"key {key_id} did not arrive as it was sent") from None


def batch_name(key_ids: Sequence[uuid.UUID]) -> str:
    """What stands for the ids of an agreement's keys in its exchange, which is signed."""
    return hashlib.sha256(b"".join(key_id.bytes for key_id in key_ids)).hexdigest()


class EmbeddedTransport:
    """Every KME in this process: both ends of each exchange are computed here, each by its own party."""

    def __init__(self, parties: Mapping[str, Party], qkd: QkdSource | None, clock: Callable[[], float]) -> None:
        self._parties = dict(parties)
        self._qkd = qkd
        self._clock = clock

    def can_join(self, source: KeySource, a: str, b: str, constraint: RoutingConstraint = UNCONSTRAINED) -> bool:
        is_joined = None if self._qkd is None else self._qkd.can_join
        return can_join(source, a, b, constraint, self._parties.get(a), is_joined)

    def is_here(self, site: str) -> bool:
        return True

    def require(
        self, source: KeySource, a: str, keys: Sequence[tuple[str, int, int]], constraint: RoutingConstraint
    ) -> None:
        if Source.QKD in source.parts and self._qkd is not None:
            self._qkd.require(a, [(b, count * size_bits // 8) for b, count, size_bits in keys], constraint)

    async def agree(
        self, source: KeySource, a: str, b: str, key_ids: Sequence[uuid.UUID], size_bits: int,
        constraint: RoutingConstraint = UNCONSTRAINED, account: PadAccount = FREE,
    ) -> list[AgreedKey]:  # fmt: skip
        # QKD first: the only part that can run dry is asked before work is done.
        drawn: list[AgreedKey] | None = None
        if Source.QKD in source.parts:
            assert self._qkd is not None
            drawn = self._qkd.agree(a, b, len(key_ids), size_bits, constraint, account)
        if source == QKD and drawn is not None:
            return drawn
        keys: list[AgreedKey] = []
        for start in range(0, len(key_ids), KEYS_PER_AGREEMENT):
            ids = key_ids[start : start + KEYS_PER_AGREEMENT]
            psks = None if drawn is None else drawn[start : start + KEYS_PER_AGREEMENT]
            keys += self._exchange(a, b, Terms(source, len(ids), size_bits, batch_name(ids)), psks)
        return keys

    def _exchange(self, a: str, b: str, terms: Terms, drawn: Sequence[AgreedKey] | None) -> list[AgreedKey]:
        opening = self._parties[a].open(b, terms, self._clock())
        answered = self._parties[b].answer(opening.message, self._clock())
        at_a = opening.finish(answered.reply, self._clock()).keys(
            terms.count, terms.size_bits, None if drawn is None else [key.at_a for key in drawn]
        )
        at_b = answered.exchanged.keys(
            terms.count, terms.size_bits, None if drawn is None else [key.at_b or b"" for key in drawn]
        )
        travelled = [(0, 1)] * terms.count if drawn is None else [(key.crossings, key.relays) for key in drawn]
        return [AgreedKey(here, there, *how) for here, there, how in zip(at_a, at_b, travelled, strict=True)]

    async def carry(
        self, source: KeySource, keys: Sequence[tuple[uuid.UUID, bytes]], a: str, b: str,
        constraint: RoutingConstraint = UNCONSTRAINED, account: PadAccount = FREE,
    ) -> list[CarriedKey]:  # fmt: skip
        if source == QKD:
            assert self._qkd is not None
            arrived, crossings = self._qkd.carry(b"".join(key for _, key in keys), a, b, constraint, account)
            length = len(arrived) // len(keys)
            places = range(0, len(arrived), length)
            return [CarriedKey(arrived[p : p + length], crossings, constraint.disjoint_relays) for p in places]
        key_ids = [key_id for key_id, _ in keys]
        agreed = await self.agree(source, a, b, key_ids, WRAPPING_KEY_BITS, constraint, account)
        carried: list[CarriedKey] = []
        for (key_id, key), wrapping in zip(keys, agreed, strict=True):
            assert wrapping.at_b is not None
            arrived = unseal(wrapping.at_b, key_id, seal(wrapping.at_a, key_id, key))
            carried.append(CarriedKey(arrived, wrapping.crossings, wrapping.relays))
        return carried

    async def entrust(
        self, place: str, delivery: Delivery, keys: Sequence[Key], awaiting: frozenset[str], is_booked: bool
    ) -> None:
        raise AssertionError("every site is here")

    async def claim(self, site: str, caller: str, master: str, key_ids: Sequence[uuid.UUID]) -> list[Key] | None:
        return None


def can_join(
    source: KeySource, a: str, b: str, constraint: RoutingConstraint, party: Party | None,
    is_joined: Callable[[str, str, RoutingConstraint], bool] | None,
) -> bool:  # fmt: skip
    """See :meth:`KeyTransport.can_join`; ``party`` is that of ``a``, ``is_joined`` says whether QKD links join both."""
    if a == b or party is None:
        return False
    if not all(part is Source.QKD or part in party.mechanisms for part in source.parts):
        return False
    if Source.QKD in source.parts:
        # The other parts go from KME to KME; the relay kind of a hybrid is that of its QKD part.
        return is_joined is not None and is_joined(a, b, constraint)
    return constraint.route is not RelayKind.RELAYED and constraint.disjoint_relays == 1
