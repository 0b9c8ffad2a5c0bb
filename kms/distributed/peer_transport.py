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
    Payload,
    WrappedKey,
)
from kms.distributed.peer_rpc import PeerClient
from kms.errors import ExchangeError, PeerUnavailableError
from kms.keys.key import QKD, UNCONSTRAINED, Delivery, Key, KeySource, RoutingConstraint, Source
from kms.qkdnet.qkd_network import QkdNetwork
from kms.sources.agreement import KEYS_PER_AGREEMENT, AgreedKey
from kms.sources.exchange import Entropy, Party, Terms


class NetworkRoutes:
    """Which sites QKD could join (:class:`kms.delivery.key_transport.JoinsSites`)."""

    def __init__(self, network: QkdNetwork) -> None:
        self._network = network

    def can_join(self, a: str, b: str, constraint: RoutingConstraint = UNCONSTRAINED) -> bool:
        return a != b and self._network.are_joined(a, b, constraint)


class PeerTransport:
    """See :class:`kms.delivery.key_transport.KeyTransport`."""

    def __init__(
        self, party: Party, network: QkdNetwork, relay: RelaySender, client: PeerClient, escrow: Escrow,
        entropy: Entropy, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._site = party.site
        self._party = party
        self._routes = NetworkRoutes(network)
        self._relay = relay
        self._client = client
        self._escrow = escrow
        self._entropy = entropy
        self._clock = clock

    def can_join(self, source: KeySource, a: str, b: str, constraint: RoutingConstraint = UNCONSTRAINED) -> bool:
        return can_join(source, a, b, constraint, self._party, self._routes)

    def is_here(self, site: str) -> bool:
        return site == self._site

    async def agree(
        self, source: KeySource, a: str, b: str, key_ids: Sequence[uuid.UUID], size_bits: int,
        constraint: RoutingConstraint = UNCONSTRAINED,
    ) -> list[AgreedKey]:  # fmt: skip
        if a != self._site:
            raise ExchangeError(f"keys between {a} and {b} are agreed on there")
        keys: list[AgreedKey] = []
        for start in range(0, len(key_ids), KEYS_PER_AGREEMENT):
            ids = key_ids[start : start + KEYS_PER_AGREEMENT]
            drawn, crossings = None, 0
            if Source.QKD in source.parts:
                drawn, crossings = await self._relay_fresh(source, b, ids, size_bits, constraint)
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
        self, source: KeySource, b: str, ids: Sequence[uuid.UUID], size_bits: int, constraint: RoutingConstraint
    ) -> tuple[list[bytes], int]:
        length = size_bits // 8
        drawn = self._entropy(length * len(ids))
        kind = Payload.KEYS if source == QKD else Payload.PSKS
        crossings = await self._relay.send(drawn, b, kind, source, ids, constraint)
        return [drawn[place : place + length] for place in range(0, len(drawn), length)], crossings

    async def carry(
        self,
        source: KeySource,
        key_id: uuid.UUID,
        key: bytes,
        a: str,
        b: str,
        constraint: RoutingConstraint = UNCONSTRAINED,
    ) -> bytes | None:
        if source == QKD:
            await self._relay.send(key, b, Payload.KEYS, source, [key_id], constraint)
            return None
        wrapping_id = uuid.UUID(bytes=self._entropy(16), version=4)
        (wrapping,) = await self.agree(source, a, b, [wrapping_id], WRAPPING_KEY_BITS, constraint)
        wrapped = seal(wrapping.at_a, key_id, key)
        await self._client.call(
            b, WRAPPED, WrappedKey(key_id=key_id, wrapping_id=wrapping_id, source=source, wrapped=wrapped)
        )
        return None

    async def entrust(
        self, place: str, delivery: Delivery, keys: Sequence[Key], awaiting: frozenset[str], is_booked: bool
    ) -> None:
        entrusted = EntrustedKeys(
            delivery=delivery.delivery_id, master=delivery.master, named=tuple(sorted(delivery.named)), at=delivery.at,
            route=delivery.route, awaiting=tuple(sorted(awaiting)), key_ids=tuple(key.key_id for key in keys),
            is_booked=is_booked,
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
                return self._escrow.take(peer, key_ids)
        return None
