"""Answers the other KMEs about keys: takes its part in agreements, keeps copies for their owners, hands keys over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kms.delivery.key_delivery import KeyService
from kms.delivery.key_transport import batch_name, unseal
from kms.distributed.escrow import Escrow, Psks
from kms.distributed.peer_messages import (
    CLAIM,
    ENTRUST,
    EXCHANGE,
    WRAPPED,
    Claim,
    ClaimAnswer,
    EntrustedKeys,
    ExchangeHello,
    ExchangeReply,
    Journey,
    Nothing,
    Payload,
    RelayHeader,
    WrappedKey,
)
from kms.distributed.peer_rpc import Endpoint, endpoint
from kms.errors import ExchangeError, KeysNotFoundError
from kms.keys.key import Delivery, Key, Source
from kms.sources.exchange import Party


class PeerKeyService:
    def __init__(
        self, party: Party, escrow: Escrow, service: KeyService, wall: Callable[[], float], steady: Callable[[], float]
    ) -> None:
        """By ``wall`` the times in exchanges are judged, by ``steady`` how long anything is kept."""
        self._site = party.site
        self._party = party
        self._escrow = escrow
        self._service = service
        self._wall = wall
        self._steady = steady

    async def arrived(self, header: RelayHeader, message: bytes, crossings: int, relays: int) -> None:
        """What the relay brought here, by all of its paths."""
        ids = header.key_ids
        length = len(message) // len(ids)
        if length * len(ids) != len(message):
            raise ExchangeError("a relayed message has not as many keys as it names")
        parts = tuple(message[place : place + length] for place in range(0, len(message), length))
        now = self._steady()
        if header.kind is Payload.PSKS:
            self._escrow.put_psks(batch_name(ids), Psks(header.origin, now, crossings, parts, relays))
        else:
            self._escrow.put(header.origin, ids, parts, header.source, now, crossings, relays)

    async def exchange(self, peer: str, body: ExchangeHello) -> ExchangeReply:
        ids = body.key_ids
        answered = self._party.answer(body.hello, self._wall())
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
        self._escrow.put(peer, ids, copies, terms.source, self._steady(), crossings, relays)
        return ExchangeReply(reply=answered.reply)

    async def unwrap(self, peer: str, body: WrappedKey) -> Nothing:
        (wrapping,) = self._escrow.take(peer, [body.wrapping_id])
        key = unseal(wrapping.copies[self._site], body.key_id, body.wrapped)
        if body.source != wrapping.source:
            raise ExchangeError("a key was wrapped under another source's key than its own")
        self._escrow.put(
            peer, [body.key_id], [key], body.source, self._steady(), wrapping.crossings, wrapping.relays
        )  # fmt: skip
        return Nothing()

    async def keep(self, peer: str, body: EntrustedKeys) -> Nothing:
        """Keys that the peer has just delivered to a master: on disk here when this is answered."""
        named, awaiting = frozenset(body.named), frozenset(body.awaiting)
        if not awaiting <= named or len(body.journeys) != len(body.key_ids):
            raise ExchangeError("keys are entrusted for slaves that their delivery does not name")
        # They are kept here for as long as by our clock they have been here, whatever the peer's clock says.
        delivery = Delivery(body.delivery, body.master, peer, named, self._steady(), body.route)
        amount = self._escrow.amount(peer, body.key_ids)

        def take() -> Sequence[Key]:
            taken = self._escrow.take(peer, body.key_ids)
            return [
                key.arrived(self._site, None, told.crossings, told.relays)
                for key, told in zip(taken, body.journeys, strict=True)
            ]

        await self._service.accept(self._site, delivery, take, amount, awaiting, body.is_booked)
        return Nothing()

    async def hand_over(self, peer: str, body: Claim) -> ClaimAnswer:
        """Keys that wait here, for a slave that asks for them at the peer's KME."""
        try:
            keys = await self._service.hand_over(peer, body.slave, body.master, body.key_ids)
        except KeysNotFoundError:
            return ClaimAnswer(held=False)
        journeys = tuple(Journey(crossings=key.crossings, relays=key.relays) for key in keys)
        return ClaimAnswer(held=True, journeys=journeys)

    def endpoints(self) -> Sequence[Endpoint]:
        return (
            endpoint(EXCHANGE, self.exchange), endpoint(WRAPPED, self.unwrap), endpoint(ENTRUST, self.keep),
            endpoint(CLAIM, self.hand_over),
        )  # fmt: skip
