"""The transport of the distributed form: this process has one KME, the others are asked over mutual TLS.

A key that two KMEs agreed on waits at the far end in escrow (kms.distributed.escrow) until the KME that ordered it, its
owner, delivers it to a master; the far end then has it on disk before the master gets it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kms.delivery.key_delivery import KeyService
from kms.delivery.key_transport import WRAPPING_KEY_BITS, batch_name, can_join, seal, unseal
from kms.distributed.escrow import Escrow, Psks
from kms.distributed.hop_relay import PadRelay
from kms.distributed.peer_rpc import PeerClient, decode, encode
from kms.errors import ExchangeError, KeysNotFoundError, PeerUnavailableError
from kms.keys.key import QKD, UNCONSTRAINED, Delivery, Key, KeySource, RelayKind, RoutingConstraint, Source
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
    """See :class:`kms.delivery.key_transport.KeyTransport`.

    :attr:`relay` and :attr:`service` are given after it was made.
    """

    relay: PadRelay
    service: KeyService

    def __init__(
        self, party: Party, network: QkdNetwork, client: PeerClient, escrow: Escrow, entropy: Entropy,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._site = party.site
        self._party = party
        self._routes = NetworkRoutes(network)
        self._client = client
        self._escrow = escrow
        self._entropy = entropy
        self._clock = clock

    # What the service asks

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
                body = {"hello": encode(opening.message), "key_ids": [str(key_id) for key_id in ids]}
                answer = await self._client.call(b, "exchange", body)
                exchanged = opening.finish(decode(answer["reply"]), self._clock())
                agreed = exchanged.keys(terms.count, size_bits, drawn)
            keys += [AgreedKey(key, None, crossings, constraint.disjoint_relays) for key in agreed]
        return keys

    async def _relay_fresh(
        self, source: KeySource, b: str, ids: Sequence[uuid.UUID], size_bits: int, constraint: RoutingConstraint
    ) -> tuple[list[bytes], int]:
        length = size_bits // 8
        drawn = self._entropy(length * len(ids))
        header = {
            "kind": "keys" if source == QKD else "psks", "source": source.label,
            "key_ids": [str(key_id) for key_id in ids],
        }  # fmt: skip
        crossings = await self.relay.send(drawn, b, header, constraint)
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
            await self.relay.send(
                key, b, {"kind": "keys", "source": source.label, "key_ids": [str(key_id)]}, constraint
            )
            return None
        wrapping_id = uuid.UUID(bytes=self._entropy(16), version=4)
        (wrapping,) = await self.agree(source, a, b, [wrapping_id], WRAPPING_KEY_BITS, constraint)
        body = {
            "key_id": str(key_id), "wrapping_id": str(wrapping_id), "source": source.label,
            "wrapped": encode(seal(wrapping.at_a, key_id, key)),
        }  # fmt: skip
        await self._client.call(b, "wrapped", body)
        return None

    async def entrust(self, place: str, delivery: Delivery, keys: Sequence[Key], awaiting: frozenset[str]) -> None:
        body = {
            "delivery": str(delivery.delivery_id), "master": delivery.master, "named": sorted(delivery.named),
            "at": delivery.at, "route": delivery.route and delivery.route.value, "awaiting": sorted(awaiting),
            "key_ids": [str(key.key_id) for key in keys],
        }  # fmt: skip
        await self._client.call(place, "entrust", body)

    async def claim(self, site: str, caller: str, master: str, key_ids: Sequence[uuid.UUID]) -> list[Key] | None:
        body = {"slave": caller, "master": master, "key_ids": [str(key_id) for key_id in key_ids]}
        for peer in self._client.peers:
            if peer == self._site:
                continue
            try:
                answer = await self._client.call(peer, "claim", body)
            except PeerUnavailableError:
                continue
            if answer["held"]:
                return self._escrow.take(peer, key_ids)
        return None

    # What the other KMEs ask

    async def arrived(self, header: dict[str, Any], message: bytes, crossings: int, relays: int) -> None:
        """What the relay brought here, by all of its ways."""
        ids = [uuid.UUID(text) for text in header["key_ids"]]
        length = len(message) // max(1, len(ids))
        if not ids or length * len(ids) != len(message):
            raise ExchangeError("a relayed message has not as many keys as it names")
        parts = tuple(message[place : place + length] for place in range(0, len(message), length))
        owner, now = str(header["origin"]), self._clock()
        if header["kind"] == "psks":
            self._escrow.put_psks(batch_name(ids), Psks(owner, now, crossings, parts, relays))
        else:
            self._escrow.put(owner, ids, parts, KeySource.parse(header["source"]), now, crossings, relays)

    async def exchange(self, peer: str, body: dict[str, Any]) -> dict[str, Any]:
        ids = [uuid.UUID(text) for text in body["key_ids"]]
        answered = self._party.answer(decode(body["hello"]), self._clock())
        terms = answered.terms
        if answered.initiator != peer or terms.batch != batch_name(ids) or terms.count != len(ids):
            raise ExchangeError("an exchange is about other keys than it says")
        psks, crossings, relays = None, 0, 1
        if Source.QKD in terms.source.parts:
            held = self._escrow.take_psks(peer, terms.batch)
            psks, crossings, relays = held.bits, held.crossings, held.relays
            if len(psks) != len(ids) or any(8 * len(psk) != terms.size_bits for psk in psks):
                raise ExchangeError("the QKD bits of a hybrid are of another number or size")
        copies = answered.exchanged.keys(terms.count, terms.size_bits, psks)
        self._escrow.put(peer, ids, copies, terms.source, self._clock(), crossings, relays)
        return {"reply": encode(answered.reply)}

    async def unwrap(self, peer: str, body: dict[str, Any]) -> dict[str, Any]:
        key_id = uuid.UUID(body["key_id"])
        (wrapping,) = self._escrow.take(peer, [uuid.UUID(body["wrapping_id"])])
        key = unseal(wrapping.copies[self._site], key_id, decode(body["wrapped"]))
        source = KeySource.parse(body["source"])
        if source != wrapping.source:
            raise ExchangeError("a key was wrapped under another source's key than its own")
        self._escrow.put(peer, [key_id], [key], source, self._clock(), wrapping.crossings, wrapping.relays)
        return {}

    async def keep(self, peer: str, body: dict[str, Any]) -> dict[str, Any]:
        """Keys that the peer has just delivered to a master: on disk here when this is answered."""
        route = RelayKind(body["route"]) if body["route"] else None
        named, awaiting = frozenset(map(str, body["named"])), frozenset(map(str, body["awaiting"]))
        if not awaiting or not awaiting <= named:
            raise ExchangeError("keys are entrusted for nobody")
        delivery = Delivery(uuid.UUID(body["delivery"]), str(body["master"]), peer, named, float(body["at"]), route)
        keys = self._escrow.take(peer, [uuid.UUID(text) for text in body["key_ids"]])
        await self.service.accept(self._site, delivery, keys, awaiting)
        return {}

    async def give(self, peer: str, body: dict[str, Any]) -> dict[str, Any]:
        """Keys that wait here, for a slave that asks for them at the peer's KME."""
        ids = [uuid.UUID(text) for text in body["key_ids"]]
        try:
            await self.service.hand_over(peer, str(body["slave"]), str(body["master"]), ids)
        except KeysNotFoundError:
            return {"held": False}
        return {"held": True}

    def handlers(self) -> Mapping[str, Any]:
        return {
            "exchange": self.exchange, "wrapped": self.unwrap, "entrust": self.keep, "claim": self.give,
            "relay": self.relay.receive,
        }  # fmt: skip
