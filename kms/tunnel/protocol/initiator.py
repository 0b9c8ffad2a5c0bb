"""The initiator's half of the key exchange: fetch a key, offer it, transmit on it once it is confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kms.tunnel.errors import Unavailable
from kms.tunnel.protocol import messages
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.effects import AskEncKeys, Effect, SaInstalled, SendDatagram
from kms.tunnel.protocol.key_derivation import NONCE_BYTES, ControlKeys, Sender, offer_keys
from kms.tunnel.protocol.key_prefetch import KEPT_S, MAX_KEYS_AHEAD, KeyStock, StockedKey, keys_at_once
from kms.tunnel.protocol.security_association import Agreement, SaBook, SaPair
from kms.tunnel.protocol.seen_ids import SeenIds
from kms.tunnel.protocol.settings import SessionSettings
from kms.tunnel.protocol.states import EXCHANGE, Exchange, ExchangeInput, advance

_REMEMBERED_KEY_IDS = 1024
_USAGE_CHECK_S = 10.0  # at a million packets a second, a hundredth of the way to the soft limit


class Initiator:
    """Drives one exchange at a time. Outputs go to the ``effects`` list it was given."""

    def __init__(self, settings: SessionSettings, book: SaBook, effects: list[Effect], counters: Counters) -> None:
        self._settings = settings
        self._timing = settings.timing
        self._context = settings.context().digest()
        self._connection = messages.connection_tag(settings.connection_id)
        self._book = book
        self._effects = effects
        self._counters = counters
        self.state = Exchange.IDLE
        self.last_error = ""
        self._request = 0
        self._wake_at: float | None = None
        self._used_key_ids = SeenIds(_REMEMBERED_KEY_IDS)
        self._retry_s = self._timing.first_retry_s
        self._rekey_at: float | None = None
        self._hint_allowed_at = 0.0
        self._peer_instance: bytes | None = None
        self._confirmed: bytes | None = None
        self._ready = b""
        self._ready_allowed_at = 0.0
        self._stock = KeyStock(MAX_KEYS_AHEAD)
        self._most_at_once = MAX_KEYS_AHEAD  # one after a refusal, then slowly more again
        self._forget_offer()

    def _forget_offer(self) -> None:
        self._key = b""
        self._keys: ControlKeys | None = None
        self._offer: messages.Offer | None = None
        self._offer_datagram = b""
        self._offer_ends_at = 0.0
        self._sent_at = 0.0
        self._pause_s = self._timing.first_retransmit_s

    def start(self, now: float) -> None:
        self._begin(now, ExchangeInput.REKEY_DUE)

    def reconfigure(self, settings: SessionSettings, now: float) -> None:
        """Get a key of the kind that is wanted now; what was under way for another kind is dropped.

        Another pace alone costs no key: the next one is asked for sooner or later than it would have been.
        """
        before, self._settings, self._context = self._settings, settings, settings.context().digest()
        slower_s = settings.rekey_s - before.rekey_s
        is_pace_alone = settings == replace(before, rekey_s=settings.rekey_s, lifetime_s=settings.lifetime_s)
        if is_pace_alone and self._rekey_at is not None:
            self._rekey_at += slower_s
            if self.state is Exchange.IDLE:
                self._wake_at = min(max(now, self._rekey_at), now + _USAGE_CHECK_S)
            return
        self._retry_s = self._timing.first_retry_s
        self._stock.clear()
        self._forget_offer()
        self._begin(now, ExchangeInput.RECONFIGURED)

    def next_timer(self) -> float | None:
        timers = (self._wake_at, self._stock.next_expiry())
        return min((at for at in timers if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        self._stock.expire(now)
        if self._wake_at is None or now < self._wake_at:
            return
        match self.state:
            case Exchange.IDLE:
                self._check_rekey(now)
            case Exchange.BACKING_OFF:
                self._begin(now, ExchangeInput.RETRY_DUE)
            case Exchange.OFFERING if now >= self._offer_ends_at:
                self._back_off(now, ExchangeInput.REJECTED, "the peer does not answer")
            case Exchange.OFFERING:
                self._send_offer(now)
            case Exchange.FETCHING:
                self.key_refused(self._request, "the KME has not answered", now, is_final=False)

    def forget(self) -> None:
        """Drop the keys that were fetched and not used."""
        self._stock.clear()

    def rekey(self, now: float) -> None:
        """Start an exchange before its time, if none is going on."""
        if self.state is Exchange.IDLE:
            self._begin(now, ExchangeInput.REKEY_DUE)

    def keys_obtained(self, request: int, keys: Sequence[StockedKey], now: float) -> None:
        """The first is offered now, the others when their time comes."""
        if request != self._request or self.state is not Exchange.FETCHING:
            return  # the answer to a question that nobody asks any more
        is_each_once = len({each.key_id for each in keys}) == len(keys)
        if not is_each_once or not all(self._is_acceptable(each.key_id, each.key) for each in keys):
            self._counters.key_refusals += 1
            self._most_at_once = 1
            self._back_off(now, ExchangeInput.KEY_REFUSED, "the KME gave a key that may not be used")
            return
        self._used_key_ids.update(each.key_id for each in keys)
        self._most_at_once = min(2 * self._most_at_once, MAX_KEYS_AHEAD)
        if len(keys) > 1:
            self._stock.put([replace(each, until=now + KEPT_S) for each in keys[1:]])
            self._announce([each.key_id for each in keys])
        self._offer_key(keys[0], now)

    def _announce(self, key_ids: Sequence[str]) -> None:
        """Only who holds the SA in use can announce: what the peer is made to fetch is what we shall offer."""
        current = self._book.current
        if current is not None:
            spi, link_key = current.outbound.spi, current.control.initiator
            self._send(messages.encode_announce(self._connection, spi, key_ids, link_key))

    def _offer_key(self, stocked: StockedKey, now: float) -> None:
        key_id, key, entropy = stocked.key_id, stocked.key, stocked.entropy
        self.state = advance(EXCHANGE, self.state, ExchangeInput.KEY_OBTAINED)
        self._key = key
        self._keys = offer_keys(key, self._context, key_id)
        nonce = entropy[4 : 4 + NONCE_BYTES]
        self._offer = messages.Offer(self._book.choose_spi(entropy[:4]), nonce, key_id)
        current = self._book.current
        link_key = current.control.initiator if current is not None else None
        self._offer_datagram = messages.encode_offer(self._connection, self._offer, self._keys.initiator, link_key)
        self._offer_ends_at = now + self._timing.offer_timeout_s
        self._send_offer(now)

    def key_refused(self, request: int, reason: str, now: float, *, is_final: bool) -> None:
        """``is_final`` makes no difference here: the next question is for another key."""
        if request == self._request and self.state is Exchange.FETCHING:
            self._counters.key_refusals += 1
            self._most_at_once = 1
            self._back_off(now, ExchangeInput.KEY_REFUSED, reason)

    def receive(self, received: messages.Received, now: float) -> SaPair | None:
        """The pair that has become usable through this message, if one has."""
        match received.message:
            case messages.Confirm() as message:
                return self._receive_confirm(message, received, now)
            case messages.Reject() as message:
                self._receive_reject(message, now)
            case messages.Hello() as message:
                self._receive_hello(message, now)
            case _:
                self._counters.control_ignored += 1
        return None

    def _begin(self, now: float, why: ExchangeInput, *, is_fresh: bool = False) -> None:
        """Take a key that has been fetched already (unless it is to be ``is_fresh``), or ask for one or several."""
        self.state = advance(EXCHANGE, self.state, why)
        stocked = None if is_fresh else self._stock.take(now)
        if stocked is not None:
            self._offer_key(stocked, now)
            return
        self._request += 1
        self._counters.key_requests += 1
        self._wake_at = now + self._timing.key_timeout_s
        settings = self._settings
        is_steady = why is ExchangeInput.REKEY_DUE and not is_fresh and self._book.current is not None
        number = min(self._most_at_once, keys_at_once(settings.rekey_s)) if is_steady else 1
        self._effects.append(AskEncKeys(self._request, settings.peer_sae, settings.key_source, number))

    def _check_rekey(self, now: float) -> None:
        current = self._book.current
        is_worn = current is not None and current.is_worn
        if is_worn or self._rekey_at is None or now >= self._rekey_at:
            self._begin(now, ExchangeInput.REKEY_DUE)
        else:
            self._wake_at = min(self._rekey_at, now + _USAGE_CHECK_S)

    def _is_acceptable(self, key_id: str, key: bytes) -> bool:
        """A key id comes once: a KME that repeats itself must not make us repeat ourselves."""
        is_name_usable = key_id.isascii() and key_id.isprintable() and 0 < len(key_id) <= messages.MAX_KEY_ID_BYTES
        return is_name_usable and len(key) == self._settings.suite.master_bytes and key_id not in self._used_key_ids

    def _back_off(self, now: float, why: ExchangeInput, reason: str) -> None:
        self.state = advance(EXCHANGE, self.state, why)
        self.last_error = reason
        self._forget_offer()
        self._wake_at = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, self._timing.max_retry_s)

    def _send_offer(self, now: float) -> None:
        self._send(self._offer_datagram)
        self._sent_at = now
        self._wake_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._timing.max_retransmit_s)

    def _receive_confirm(self, message: messages.Confirm, received: messages.Received, now: float) -> SaPair | None:
        if received.datagram == self._confirmed:
            self._repeat_ready(now)
            return None
        if self._offer is None or self._keys is None or message.offer_nonce != self._offer.nonce:
            self._counters.control_ignored += 1
            return None
        if not received.is_signed_by(self._keys.responder):
            self._counters.control_auth_failures += 1
            return None
        agreement = Agreement(
            self._offer.key_id, self._offer.nonce + message.nonce, self._offer.spi, message.spi, Sender.INITIATOR
        )
        try:
            pair, installed = self._install(agreement, now)
        except Unavailable as error:
            # The offer stands and is repeated, and with it the confirmation that is then tried again.
            self.last_error = str(error)
            return None
        self._effects.extend(installed)
        self._confirmed = received.datagram
        self._ready = messages.encode_ready(self._connection, messages.Ready(self._offer.nonce), pair.control.initiator)
        self._ready_allowed_at = now + self._timing.min_repeat_s
        self._send(self._ready)
        if message.instance != self._peer_instance:
            self._stock.clear()  # whoever has fetched the twins of these is no more
        self._peer_instance = message.instance
        self._forget_offer()
        self.last_error = ""
        self._retry_s = self._timing.first_retry_s
        self.state = advance(EXCHANGE, self.state, ExchangeInput.CONFIRMED)
        self._rekey_at = now + self._settings.rekey_s
        self._wake_at = min(self._rekey_at, now + _USAGE_CHECK_S)
        return pair

    def _install(self, agreement: Agreement, now: float) -> tuple[SaPair, tuple[SaInstalled, ...]]:
        """A pair that can receive and transmit. Unavailable, and there is none, unless it can do both."""
        pair, installed = self._book.install(agreement, self._key, now)
        try:
            self._book.let_out(pair)
        except Unavailable:
            self._book.discard(pair)
            raise
        return pair, installed

    def _repeat_ready(self, now: float) -> None:
        """READY was lost: the responder still transmits on the SA before, which must go on receiving."""
        if now >= self._ready_allowed_at:
            self._ready_allowed_at = now + self._timing.min_repeat_s
            self._book.prolong_draining(now)
            self._send(self._ready)

    def _receive_reject(self, message: messages.Reject, now: float) -> None:
        if self._offer is None or message.offer_nonce != self._offer.nonce:
            self._counters.control_ignored += 1
            return
        self._stock.clear()
        self._back_off(now, ExchangeInput.REJECTED, "the peer's KME does not know the offered key")

    def _receive_hello(self, message: messages.Hello, now: float) -> None:
        """The responder has started. Not authenticated, so it may cost no more than one key per ``rekey_s``."""
        if message.instance == self._peer_instance:
            return  # it was under way when that instance had already confirmed
        if self.state is Exchange.OFFERING:
            self._pause_s = self._timing.first_retransmit_s
            self._wake_at = max(now, self._sent_at + self._timing.min_repeat_s)
        elif self.state is Exchange.IDLE and now >= self._hint_allowed_at:
            self._hint_allowed_at = now + self._settings.rekey_s
            self._begin(now, ExchangeInput.REKEY_DUE, is_fresh=True)
        else:
            self._counters.control_limited += 1

    def _send(self, datagram: bytes) -> None:
        self._counters.control_sent += 1
        self._effects.append(SendDatagram(datagram))
