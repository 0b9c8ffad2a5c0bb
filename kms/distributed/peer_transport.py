"""The transport of the distributed form: this process has one KME, the others are asked over mutual TLS.

The other side, which answers them, is :mod:`kms.distributed.peer_key_service`.

A key that two KMEs agreed on waits at the far end in escrow (kms.distributed.escrow) until the KME that ordered it, its
owner, delivers it to a master; the far end then has it on disk before the master gets it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from kms.delivery.key_transport import WRAPPING_KEY_BITS, batch_name, can_join, seal
from kms.distributed.escrow import Escrow
from kms.distributed.hop_relay import RelaySender
from kms.distributed.peer_messages import (
    CLAIM,
    ENTRUST,
    EXCHANGE,
    WRAPPED,
    Claim,
    EntrustedKeys,
    ExchangeHello,
    Journey,
    Payload,
    WrappedKey,
)
from kms.distributed.peer_rpc import PeerClient
from kms.errors import ExchangeError, PeerUnavailableError
from kms.keys.key import QKD, UNCONSTRAINED, Delivery, Key, KeySource, RoutingConstraint, Source
from kms.qkdnet.pad_account import FREE, PadAccount
from kms.qkdnet.qkd_network import QkdNetwork
from kms.sources.agreement import KEYS_PER_AGREEMENT, AgreedKey, CarriedKey
from kms.sources.exchange import Entropy, Party, Terms


class PeerTransport:
    """See :class:`kms.delivery.key_transport.KeyTransport`."""

    def __init__(
        self, party: Party, network: QkdNetwork, relay: RelaySender, client: PeerClient, escrow: Escrow,
        entropy: Entropy, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._site = party.site
        self._party = party
        self._network = network
        self._relay = relay
        self._client = client
        self._escrow = escrow
        self._entropy = entropy
        self._clock = clock

    def can_join(self, source: KeySource, a: str, b: str, constraint: RoutingConstraint = UNCONSTRAINED) -> bool:
        return can_join(source, a, b, constraint, self._party, self._network.are_joined)

    def is_here(self, site: str) -> bool:
        return site == self._site

    def require(
        self, source: KeySource, a: str, keys: Sequence[tuple[str, int, int]], constraint: RoutingConstraint
    ) -> None:
        if Source.QKD in source.parts:
            self._network.require(a, [(b, count * size_bits // 8) for b, count, size_bits in keys], constraint)

    async def agree(
        self, source: KeySource, a: str, b: str, key_ids: Sequence[uuid.UUID], size_bits: int,
        constraint: RoutingConstraint = UNCONSTRAINED, account: PadAccount = FREE,
    ) -> list[AgreedKey]:  # fmt: skip
        if a != self._site:
            raise ExchangeError(f"keys between {a} and {b} are agreed on there")
        keys: list[AgreedKey] = []
        for start in range(0, len(key_ids), KEYS_PER_AGREEMENT):
            ids = key_ids[start : start + KEYS_PER_AGREEMENT]
            drawn, crossings = None, 0
            if Source.QKD in source.parts:
                drawn, crossings = await self._relay_fresh(source, b, ids, size_bits, constraint, account)
            if source == QKD and drawn is not None:
                agreed = drawn
            else:
                terms = Terms(source, len(ids), size_bits, batch_name(ids))
                opening = self._party.open(b, terms, self._clock())
                hello = ExchangeHello(hello=opening.message, key_ids=tuple(ids))
                answer = await self._client.call(b, EXCHANGE, hello)
                exchanged = opening.finish(answer.reply, self._clock())
                agreed = exchanged.keys(terms.count, size_bits, drawn)
            keys += [AgreedKey(key, None, crossings, constraint.disjoint_relays) for key in agreed]
        return keys

    async def _relay_fresh(
        self, source: KeySource, b: str, ids: Sequence[uuid.UUID], size_bits: int, constraint: RoutingConstraint,
        account: PadAccount,
    ) -> tuple[list[bytes], int]:  # fmt: skip
        length = size_bits // 8
        drawn = self._entropy(length * len(ids))
        kind = Payload.KEYS if source == QKD else Payload.PSKS
        crossings = await self._relay.send(drawn, b, kind, source, ids, constraint, account)
        return [drawn[place : place + length] for place in range(0, len(drawn), length)], crossings

    async def carry(
        self, source: KeySource, keys: Sequence[tuple[uuid.UUID, bytes]], a: str, b: str,
        constraint: RoutingConstraint = UNCONSTRAINED, account: PadAccount = FREE,
    ) -> list[CarriedKey]:  # fmt: skip
        key_ids = [key_id for key_id, _ in keys]
        if source == QKD:
            message = b"".join(key for _, key in keys)
            crossings = await self._relay.send(message, b, Payload.KEYS, source, key_ids, constraint, account)
            return [CarriedKey(None, crossings, constraint.disjoint_relays) for _ in keys]
        wrapping_ids = [uuid.UUID(bytes=self._entropy(16), version=4) for _ in keys]
        agreed = await self.agree(source, a, b, wrapping_ids, WRAPPING_KEY_BITS, constraint, account)
        for (key_id, key), wrapping_id, wrapping in zip(keys, wrapping_ids, agreed, strict=True):
            wrapped = seal(wrapping.at_a, key_id, key)
            await self._client.call(
                b, WRAPPED, WrappedKey(key_id=key_id, wrapping_id=wrapping_id, source=source, wrapped=wrapped)
            )
        return [CarriedKey(None, wrapping.crossings, wrapping.relays) for wrapping in agreed]

    async def entrust(
        self, place: str, delivery: Delivery, keys: Sequence[Key], awaiting: frozenset[str], is_booked: bool
    ) -> None:
        entrusted = EntrustedKeys(
            delivery=delivery.delivery_id, master=delivery.master, named=tuple(sorted(delivery.named)), at=delivery.at,
            route=delivery.route, awaiting=tuple(sorted(awaiting)), key_ids=tuple(key.key_id for key in keys),
            journeys=tuple(Journey(crossings=key.crossings, relays=key.relays) for key in keys), is_booked=is_booked,
        )  # fmt: skip
        await self._client.call(place, ENTRUST, entrusted)

    async def claim(self, site: str, caller: str, master: str, key_ids: Sequence[uuid.UUID]) -> list[Key] | None:
        claim = Claim(slave=caller, master=master, key_ids=tuple(key_ids))
        for peer in self._client.peers:
            if peer == self._site:
                continue
            try:
                answer = await self._client.call(peer, CLAIM, claim)
            except PeerUnavailableError:
                continue
            if answer.held:
                if len(answer.journeys) != len(key_ids):
                    raise ExchangeError(f"the KME of {peer} does not say how each key has travelled")
                keys = self._escrow.take(peer, key_ids)
                return [
                    key.arrived(site, None, told.crossings, told.relays)
                    for key, told in zip(keys, answer.journeys, strict=True)
                ]
        return None
