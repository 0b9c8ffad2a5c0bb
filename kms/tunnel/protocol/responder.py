"""The responder's half of the key exchange: fetch what is offered, receive on it, transmit on it once proved."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kms.tunnel.errors import Unavailable
from kms.tunnel.protocol import messages
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.effects import AskDecKeys, Effect, SendDatagram
from kms.tunnel.protocol.key_derivation import NONCE_BYTES, Sender, offer_keys
from kms.tunnel.protocol.key_prefetch import KEPT_S, MAX_KEYS_AHEAD, KeyStock, StockedKey
from kms.tunnel.protocol.security_association import Agreement, SaBook, SaPair, Stage
from kms.tunnel.protocol.seen_ids import SeenIds
from kms.tunnel.protocol.settings import SessionSettings, Timing
from kms.tunnel.protocol.states import OFFERED, Offered, OfferedInput, advance

_REMEMBERED_OFFERS = 256
_REMEMBERED_SETTLED = 256
_MAX_FETCHING = 8
_REMEMBERED_ANNOUNCEMENTS = 256


@dataclass(eq=False, slots=True)
class _OfferedKey:
    """One key id that has been offered, and how far it has come: until it is settled."""

    received: messages.Received
    offer: messages.Offer
    state: Offered = Offered.FETCHING
    request: int = 0
    ask_ends_at: float = 0.0
    retry_at: float = 0.0
    retry_s: float = 0.0
    key: bytes = field(default=b"", repr=False)
    entropy: bytes = field(default=b"", repr=False)
    pair: SaPair | None = None
    answer: bytes = b""
    answered_at: float = 0.0

    def advance(self, event: OfferedInput) -> None:
        self.state = advance(OFFERED, self.state, event)


@dataclass(frozen=True)
class _AskedAhead:
    """A question for announced keys that has not been answered."""

    request: int
    key_ids: tuple[str, ...]
    ends_at: float


class _TokenBucket:
    """At most ``burst`` at once and ``rate`` a second."""

    def __init__(self, timing: Timing) -> None:
        self._rate = timing.unlinked_offers_per_s
        self._burst = float(timing.unlinked_offers_burst)
        self._tokens = self._burst
        self._at = 0.0

    def take(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Responder:
    """Answers offers. Outputs go to the ``effects`` list it was given."""

    def __init__(
        self, settings: SessionSettings, book: SaBook, effects: list[Effect], counters: Counters, instance: bytes
    ) -> None:
        self._settings = settings
        self._timing = settings.timing
        self._context = settings.context().digest()
        self._connection = messages.connection_tag(settings.connection_id)
        self._book = book
        self._effects = effects
        self._counters = counters
        self._instance = instance
        self._offers: OrderedDict[str, _OfferedKey] = OrderedDict()
        self._settled = SeenIds(_REMEMBERED_SETTLED)  # nothing else of them is needed
        self._bucket = _TokenBucket(settings.timing)
        self._request = 0
        self._stock = KeyStock(2 * MAX_KEYS_AHEAD)
        self._announced = SeenIds(_REMEMBERED_ANNOUNCEMENTS)
        self._asked_ahead: _AskedAhead | None = None
        self._confirming: _OfferedKey | None = None  # the newest; older ones are not repeated any more
        self._is_greeting = True
        self._wake_at: float | None = None
        self._pause_s = self._timing.first_retransmit_s
        self.last_error = ""

    def start(self, now: float) -> None:
        """Say that we are here: an initiator that has been offering for a while need not wait for its next turn."""
        self._send_hello(now)

    def reconfigure(self, settings: SessionSettings, now: float) -> None:
        """Offers are expected to be bound to the new kind of keys from now on."""
        if settings.context() != self._settings.context():
            self._stock.clear()
        self._settings = settings
        self._context = settings.context().digest()

    def next_timer(self) -> float | None:
        timers = (self._wake_at, self._stock.next_expiry())
        return min((at for at in timers if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        self._stock.expire(now)
        if self._wake_at is None or now < self._wake_at:
            return
        if self._confirming is not None:
            self._repeat_confirm(self._confirming, now)
        elif self._is_greeting:
            self._send_hello(now)
        else:
            self._wake_at = None

    def forget(self) -> None:
        """Drop the keys that were fetched and not used."""
        self._stock.clear()

    def keys_obtained(self, request: int, keys: Sequence[StockedKey], now: float) -> None:
        waiting = {
            offered.offer.key_id: offered
            for offered in self._offers.values()
            if offered.state is Offered.FETCHING and offered.request == request
        }
        is_ahead = self._asked_ahead is not None and self._asked_ahead.request == request
        if is_ahead:
            self._asked_ahead = None
        for each in keys:
            offered = waiting.get(each.key_id)
            if offered is not None:
                self._obtained(offered, each, now)
            elif is_ahead:
                # Longer than the initiator keeps them: one that it offers at the last moment is still here.
                self._stock.put([replace(each, until=now + 2 * KEPT_S)])

    def _obtained(self, offered: _OfferedKey, stocked: StockedKey, now: float) -> None:
        if len(stocked.key) != self._settings.suite.master_bytes:
            self._refuse(offered, "the KME gave a key of another length", now)
            return
        offered.key, offered.entropy = stocked.key, stocked.entropy
        if self._is_genuine(offered.received, offered):
            self._confirm(offered, OfferedInput.KEY_FITS, now)
        else:
            offered.advance(OfferedInput.KEY_DOES_NOT_FIT)
            self._counters.control_auth_failures += 1
            self.last_error = "an offer did not fit the key it named"

    def key_refused(self, request: int, reason: str, now: float, *, is_final: bool) -> None:
        is_ahead = self._asked_ahead is not None and self._asked_ahead.request == request
        waiting = [o for o in self._offers.values() if o.state is Offered.FETCHING and o.request == request]
        if is_ahead:
            self._asked_ahead = None
        self._counters.key_refusals += is_ahead or len(waiting) > 0
        for offered in waiting:
            # That not all announced keys could be had says nothing of each: what is offered is then asked for alone.
            if is_final and not is_ahead:
                self._refuse(offered, reason, now)
            else:
                offered.advance(OfferedInput.KME_UNREACHABLE)
                offered.retry_s = min(2 * offered.retry_s or self._timing.first_retry_s, self._timing.max_retry_s)
                offered.retry_at = now + offered.retry_s
                self.last_error = reason

    def receive(self, received: messages.Received, now: float) -> SaPair | None:
        """The pair that has become usable through this message, if one has."""
        match received.message:
            case messages.Offer() as message:
                self._receive_offer(message, received, now)
            case messages.Announce() as message:
                self._receive_announcement(message, received, now)
            case messages.Ready() as message:
                return self._receive_ready(message, received)
            case _:
                self._counters.control_ignored += 1
        return None

    def proved(self, pair: SaPair) -> None:
        """The peer transmits on ``pair``: a packet or READY came."""
        for key_id, offered in self._offers.items():
            if offered.pair is pair and offered.state is Offered.CONFIRMING:
                offered.advance(OfferedInput.PROOF)
                del self._offers[key_id]
                self._settled.add(key_id)
                if offered is self._confirming:
                    self._confirming = None
                    self._wake_at = None
                return

    def _receive_offer(self, offer: messages.Offer, received: messages.Received, now: float) -> None:
        offered = self._offers.get(offer.key_id)
        if offered is None:
            if offer.key_id in self._settled:
                self._counters.control_ignored += 1
            else:
                self._consider(offer, received, now)
            return
        if offered.state is Offered.FETCHING and now >= offered.ask_ends_at:
            offered.advance(OfferedInput.KME_UNREACHABLE)
        match offered.state:
            case Offered.BACKING_OFF if now >= offered.retry_at:
                offered.advance(OfferedInput.OFFER_REPEATED)
                self._ask(offered, now)
            case Offered.HOLDING if self._is_genuine(received, offered):
                # Somebody had altered the offer that came first, or the SA was refused: the key was kept for this one.
                offered.received, offered.offer = received, offer
                self._confirm(offered, OfferedInput.GENUINE_OFFER, now)
            case Offered.HOLDING:
                self._counters.control_auth_failures += 1
            case Offered.CONFIRMING if received.datagram == offered.received.datagram:
                self._repeat_answer(offered, now)
            case Offered.REFUSED if received.datagram == offered.received.datagram:
                self._repeat_answer(offered, now)
            case _:
                self._counters.control_ignored += 1

    def _receive_announcement(self, message: messages.Announce, received: messages.Received, now: float) -> None:
        """Fetch what will be offered. Nobody but the holder of a live SA can ask for it, and for nothing twice."""
        pair = self._book.by_spi.get(message.spi.to_bytes(4, "big"))
        if pair is None or pair.stage is Stage.DRAINING or not received.is_signed_by(pair.control.initiator):
            self._counters.control_auth_failures += 1
            return
        known = self._announced, self._offers, self._settled
        wanted = message.key_ids[:MAX_KEYS_AHEAD]
        key_ids = tuple(key_id for key_id in wanted if not any(key_id in ids for ids in known))
        is_busy = self._asked_ahead is not None and now < self._asked_ahead.ends_at
        if not key_ids or is_busy:
            self._counters.control_ignored += 1
            return
        self._announced.update(key_ids)
        self._request += 1
        self._counters.key_requests += 1
        self._asked_ahead = _AskedAhead(self._request, key_ids, now + self._timing.key_timeout_s)
        self._effects.append(AskDecKeys(self._request, *self._asked_of, key_ids))

    def _consider(self, offer: messages.Offer, received: messages.Received, now: float) -> None:
        """A key id never heard of: is it here already, or on its way? If not, is it worth a question to the KME?"""
        stocked = self._stock.take(now, offer.key_id)
        if stocked is not None:
            self._obtained(self._remember(offer, received), stocked, now)
            return
        ahead = self._asked_ahead
        if ahead is not None and offer.key_id in ahead.key_ids and now < ahead.ends_at:
            offered = self._remember(offer, received)
            offered.request, offered.ask_ends_at = ahead.request, ahead.ends_at
            return
        if not self._is_linked(received) and not self._may_ask_unlinked(now):
            self._counters.control_limited += 1
            return
        self._ask(self._remember(offer, received), now)

    def _remember(self, offer: messages.Offer, received: messages.Received) -> _OfferedKey:
        while len(self._offers) >= _REMEMBERED_OFFERS:
            self._offers.popitem(last=False)
        for known in self._offers.values():
            # An SA has room for hundreds of packets: one that has ended is not kept for an offer that nobody settled.
            if known.pair is not None and self._book.by_spi.get(known.pair.inbound_spi) is not known.pair:
                known.pair = None
        offered = self._offers[offer.key_id] = _OfferedKey(received, offer)
        return offered

    def _may_ask_unlinked(self, now: float) -> bool:
        """Anybody can send such offers: few a second, few open at once, and none at the genuine ones' expense."""
        is_open = (o.state is Offered.FETCHING and now < o.ask_ends_at for o in self._offers.values())
        return sum(is_open) < _MAX_FETCHING and self._bucket.take(now)

    def _is_linked(self, received: messages.Received) -> bool:
        """True when the sender has proved to hold a live SA."""
        if received.link_tag is None:
            return False
        pairs = (pair for pair in self._book.by_spi.values() if pair.stage is not Stage.DRAINING)
        return any(received.is_linked_by(pair.control.initiator) for pair in pairs)

    def _ask(self, offered: _OfferedKey, now: float) -> None:
        self._request += 1
        self._counters.key_requests += 1
        offered.request = self._request
        offered.ask_ends_at = now + self._timing.key_timeout_s
        self._effects.append(AskDecKeys(self._request, *self._asked_of, (offered.offer.key_id,)))

    @property
    def _asked_of(self) -> tuple[str, str]:
        """Whose keys are asked for, and of which source: an offer of another source is not ours to use."""
        return self._settings.peer_sae, self._settings.key_source

    def _is_genuine(self, received: messages.Received, offered: _OfferedKey) -> bool:
        return received.is_signed_by(offer_keys(offered.key, self._context, offered.offer.key_id).initiator)

    def _confirm(self, offered: _OfferedKey, why: OfferedInput, now: float) -> None:
        """Receive on the new SA and say so, or keep the key until the offer is repeated."""
        offer = offered.offer
        spi = self._book.choose_spi(offered.entropy[:4])
        nonce = offered.entropy[4 : 4 + NONCE_BYTES]
        agreement = Agreement(offer.key_id, offer.nonce + nonce, spi, offer.spi, Sender.RESPONDER)
        try:
            offered.pair, installed = self._book.install(agreement, offered.key, now)
        except Unavailable as error:
            offered.advance(OfferedInput.SA_REFUSED)
            self.last_error = str(error)
            return
        offered.advance(why)
        self._effects.extend(installed)
        confirm = messages.Confirm(offer.nonce, spi, nonce, self._instance)
        keys = offer_keys(offered.key, self._context, offer.key_id)
        offered.answer = messages.encode_confirm(self._connection, confirm, keys.responder)
        offered.key = offered.entropy = b""
        self.last_error = ""
        self._is_greeting = False
        self._confirming = offered
        self._pause_s = self._timing.first_retransmit_s
        self._send_answer(offered, now)
        self._schedule(now)

    def _refuse(self, offered: _OfferedKey, reason: str, now: float) -> None:
        offered.advance(OfferedInput.KEY_UNKNOWN)
        self.last_error = reason
        offered.answer = messages.encode_reject(self._connection, messages.Reject(offered.offer.nonce))
        self._send_answer(offered, now)

    def _receive_ready(self, message: messages.Ready, received: messages.Received) -> SaPair | None:
        for offered in self._offers.values():
            if offered.state is Offered.CONFIRMING and offered.offer.nonce == message.offer_nonce:
                pair = offered.pair
                if pair is None or not received.is_signed_by(pair.control.initiator):
                    self._counters.control_auth_failures += 1
                    return None
                return pair
        self._counters.control_ignored += 1
        return None

    def _repeat_confirm(self, offered: _OfferedKey, now: float) -> None:
        """Until READY or a packet on the new SA comes, or that SA has ended."""
        if offered.pair is not None and now < offered.pair.ends_at:
            self._send_answer(offered, now)
            self._schedule(now)
        else:
            self._confirming = None
            self._wake_at = None

    def _repeat_answer(self, offered: _OfferedKey, now: float) -> None:
        if now - offered.answered_at >= self._timing.min_repeat_s:
            self._send_answer(offered, now)

    def _send_answer(self, offered: _OfferedKey, now: float) -> None:
        offered.answered_at = now
        self._send(offered.answer)

    def _send_hello(self, now: float) -> None:
        self._send(messages.encode_hello(self._connection, messages.Hello(self._instance)))
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        self._wake_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._timing.max_retransmit_s)

    def _send(self, datagram: bytes) -> None:
        self._counters.control_sent += 1
        self._effects.append(SendDatagram(datagram))
