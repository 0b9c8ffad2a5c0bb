"""One connection's tunnel without I/O, clock or randomness, in the manner of h11 and aioquic.

In: inner packets, datagrams, keys, the time. Out: datagrams and inner packets as return values of the two hot calls,
everything else as a list of effects (:mod:`kms.tunnel.protocol.effects`). Whoever drives it calls
:meth:`Session.take_effects` after anything it did, and :meth:`Session.handle_timer` when :meth:`Session.next_timer` is
reached.

Invariants: a packet goes out sealed or not at all; no (key, nonce) pair is used twice; nothing that arrives raises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kms.tunnel.errors import AuthenticationFailed, Duplicate, Malformed, Replayed, SequenceExhausted
from kms.tunnel.packet.checksum import Octets
from kms.tunnel.packet.esp import NEXT_HEADER_NONE
from kms.tunnel.packet.frame_buffer import FrameShape
from kms.tunnel.packet.ip_header import BY_VERSION, without_padding
from kms.tunnel.packet.selector import Selector
from kms.tunnel.packet.traffic_padding import Pacer, Padding
from kms.tunnel.protocol import messages
from kms.tunnel.protocol.continuity_check import Continuity, ContinuityProbes
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.effects import Effect, LinkChanged, SendDatagram
from kms.tunnel.protocol.initiator import Initiator
from kms.tunnel.protocol.key_derivation import NONCE_BYTES
from kms.tunnel.protocol.key_prefetch import StockedKey
from kms.tunnel.protocol.responder import Responder
from kms.tunnel.protocol.retransmission import Retransmission
from kms.tunnel.protocol.security_association import SaBook, SaPair, Stage
from kms.tunnel.protocol.settings import Role, SessionSettings
from kms.tunnel.protocol.states import LINK, Link, LinkInput, advance

ENTROPY_BYTES = 4 + NONCE_BYTES
"""Fresh random octets that :meth:`Session.keys_obtained` takes for each key: an SPI and a nonce."""

RECONFIGURABLE = ("key_source", "suite", "rekey_s", "lifetime_s", "replay_window", "expects_copies", "repairs")


@dataclass(frozen=True)
class Status:
    """Where a session stands; ``key_age_s`` and ``key_id`` are those of the SA in use."""

    link: Link
    key_id: str | None
    key_age_s: float | None
    live_sas: int
    last_error: str


class Session:
    """Seals, opens, and keeps itself in keys. ``instance`` is 8 fresh random octets."""

    def __init__(self, settings: SessionSettings, instance: bytes) -> None:
        if len(instance) != messages.INSTANCE_BYTES:
            raise ValueError(f"an instance is {messages.INSTANCE_BYTES} octets")
        self._settings = settings
        self.counters = Counters()
        self._connection = messages.connection_tag(settings.connection_id)
        self._outgoing = Selector(settings.pairs)
        self._incoming = Selector(pair.reversed() for pair in settings.pairs)
        self._effects: list[Effect] = []
        self._book = SaBook(
            context=settings.context().digest(),
            suite=settings.suite,
            lifetime_s=settings.lifetime_s,
            replay_window=settings.replay_window,
            drain_s=settings.timing.drain_s,
        )
        parts = (settings, self._book, self._effects, self.counters)
        self._exchange: Initiator | Responder = (
            Initiator(*parts) if settings.role is Role.INITIATOR else Responder(*parts, instance)
        )
        self._probes = ContinuityProbes(*parts)
        self._retransmission = Retransmission(*parts)
        self._is_padded = settings.padding is not Padding.NONE
        self._pad_to = settings.mtu if self._is_padded else 0
        self._pacer = Pacer(settings.padding_pps) if settings.padding is Padding.CONSTANT_RATE else None
        self._link = Link.WAITING
        self._waiting: deque[tuple[float, bytes]] = deque(maxlen=settings.queue_packets)

    @property
    def link(self) -> Link:
        return self._link

    def start(self, now: float) -> None:
        """Begin: the initiator asks for its first key, the responder says that it is there."""
        self._exchange.start(now)

    def reconfigure(self, settings: SessionSettings, now: float) -> None:
        """Other keys (source, ``rekey_s``, ``lifetime_s``), copies to expect or repairs, for the same connection.

        ``expects_copies`` and ``repairs`` hold at once, ``replay_window`` for the SAs to come; the first of them
        follows shortly.
        Traffic goes on under the key in use until one of the new kind has been agreed on; LinkChanged tells when it
        has. Until both ends have been told, neither gets a new key: tell the responder first.
        """
        changed = {name: getattr(settings, name) for name in RECONFIGURABLE}
        if settings != replace(self._settings, **changed):
            raise ValueError(f"only {', '.join(RECONFIGURABLE)} can be changed")
        if self._link is not Link.CLOSED:
            self._settings = settings
            self._retransmission.is_on = settings.repairs
            self._book.reconfigure(
                context=settings.context().digest(),
                suite=settings.suite,
                lifetime_s=settings.lifetime_s,
                replay_window=settings.replay_window,
            )
            self._exchange.reconfigure(settings, now)

    @property
    def is_reconfigured(self) -> bool:
        """Whether traffic can pass under keys of the kind that was asked for last."""
        return self._link is Link.UP and self._book.is_reconfigured

    def pace_probes(self, period_s: float) -> None:
        """Ask the peer that often from now on whether it hears us; 0: never."""
        self._probes.set_period(period_s)

    @property
    def continuity(self) -> Continuity:
        """Whether packets get through, as the last probes have shown; unknown while there is no key to ask with."""
        return self._probes.continuity

    def close(self) -> None:
        """Forget every key. Nothing passes any more."""
        if self._link is not Link.CLOSED:
            self._change_link(LinkInput.CLOSE)
            self._book.clear()
            self._exchange.forget()
            self._retransmission.clear()
            self._waiting.clear()

    def status(self, now: float) -> Status:
        current = self._book.current
        return Status(
            link=self._link,
            key_id=current.key_id if current else None,
            key_age_s=now - current.installed_at if current else None,
            live_sas=len(self._book.by_spi),
            last_error=self._exchange.last_error,
        )

    @property
    def settings(self) -> SessionSettings:
        """As they hold for the SAs to come."""
        return self._settings

    @property
    def live(self) -> tuple[SaPair, ...]:
        """The pairs that may receive, the oldest first."""
        return tuple(self._book.by_spi.values())

    @property
    def current(self) -> SaPair | None:
        """The pair that transmits."""
        return self._book.current

    def note_sequence(self, highest: int, now: float) -> None:
        """Where another than the session seals and opens: how far the SAs' numbers have come."""
        if highest >= self._settings.suite.soft_sequence and isinstance(self._exchange, Initiator):
            self._exchange.rekey(now)

    def take_effects(self) -> list[Effect]:
        """What is to be done, in order; the list is handed over."""
        taken = self._effects.copy()
        self._effects.clear()
        return taken

    def has_effects(self) -> bool:
        return bool(self._effects)

    # Data, the hot path

    def send_packet(self, packet: bytes, now: float) -> bytes | None:
        """The datagram to send for an inner packet; None when it must not or cannot go out, which is counted."""
        if self._outgoing.admits(packet) is None:
            self.counters.tx_selector_drops += 1
            return None
        current = self._book.current
        if current is None or now >= current.ends_at:
            self._hold(packet, now)
            return None
        if self._pacer is not None:
            self._pace(self._pacer, packet)
            return None
        return self._seal(current, packet, now)

    def receive_datagram(self, datagram: bytes, now: float) -> bytes | None:
        """The inner packet in a datagram; None when it held none or must not pass, which is counted. Never raises."""
        pair = self._book.by_spi.get(datagram[:4])
        if pair is None:
            self._receive_other(datagram, now)
            return None
        counters = self.counters
        if now >= pair.ends_at:
            counters.rx_expired_drops += 1
            return None
        try:
            packet, next_header = pair.inbound.open(datagram)
        except Duplicate:
            if self._settings.expects_copies:
                counters.rx_copies += 1
            else:
                counters.rx_replay_drops += 1
            return None
        except Replayed:
            counters.rx_replay_drops += 1
            return None
        except AuthenticationFailed:
            counters.rx_auth_failures += 1
            return None
        except Malformed:
            counters.rx_malformed += 1
            return None
        if self._retransmission.is_on:
            number = pair.inbound.number_of(int.from_bytes(datagram[4:8], "big"))
            self._retransmission.arrived(pair, number, 1, now)
        if pair.stage is Stage.PENDING:
            self._use(pair, now)
        if next_header == NEXT_HEADER_NONE:
            counters.rx_dummies += 1
            return None
        if self._is_padded:
            packet = without_padding(packet)
        family = self._incoming.admits(packet)
        if family is None or family.next_header != next_header:
            counters.rx_selector_drops += 1
            return None
        counters.rx_packets += 1
        counters.rx_bytes += len(packet)
        pair.rx_packets += 1
        pair.rx_bytes += len(packet)
        return packet

    def seal_frames(
        self, frames: FrameShape, count: int, inner_bytes: int, now: float, *, are_alike: bool = False
    ) -> bool:
        """Seal the packets in the first ``count`` of ``frames``, where they stand, as :meth:`send_packet` does.

        ``are_alike``: all of them were made from like headers, so that the first one's addresses are everybody's.
        False, and nothing has happened, unless all of them can go out now: they are then to be sent one by one.
        """
        current = self._book.current
        if current is None or now >= current.ends_at or self._is_padded:
            return False
        if are_alike:
            family = self._outgoing.admits(frames.texts[0, :inner_bytes].tobytes())
        else:
            family = self._outgoing.admits_all(frames.texts[:count, :inner_bytes])
        if family is None:
            return False
        outbound = current.outbound
        try:
            outbound.seal_frames(frames, count, inner_bytes, family.next_header)
        except SequenceExhausted:
            return False
        if self._retransmission.is_on:
            for sequence, row in enumerate(frames.rows[:count], outbound.sequence - count + 1):
                self._retransmission.sent(current, sequence, row.tobytes(), now)
        if outbound.sequence >= outbound.suite.soft_sequence and isinstance(self._exchange, Initiator):
            self._exchange.rekey(now)
        self.counters.tx_packets += count
        self.counters.tx_bytes += count * inner_bytes
        current.tx_bytes += count * inner_bytes
        return True

    def open_frames(self, frames: FrameShape, count: int, now: float, start: int = 0) -> Octets | None:
        """The inner packets, as rows, of the datagrams in ``count`` of ``frames``, from number ``start`` on.

        None, and nothing has happened, unless every one of them may pass: :meth:`receive_datagram` then says which.
        """
        pair = self._book.by_spi.get(bytes(frames.rows[start, :4]))
        if pair is None or now >= pair.ends_at or self._is_padded:
            return None
        opened = pair.inbound.open_frames(frames, count, start)
        if opened is None:
            return None
        packets, next_header = opened
        if self._retransmission.is_on:
            last = pair.inbound.number_of(int(frames.words[start + count - 1, 1]))
            self._retransmission.arrived(pair, last - count + 1, count, now)
        if pair.stage is Stage.PENDING:
            self._use(pair, now)
        family = self._incoming.admits_all(packets)
        if family is None or family.next_header != next_header:
            packets = self._admitted(packets, next_header)
        self.counters.rx_packets += len(packets)
        self.counters.rx_bytes += packets.size
        pair.rx_packets += len(packets)
        pair.rx_bytes += packets.size
        return packets

    def _admitted(self, packets: Octets, next_header: int) -> Octets:
        """Those rows that may pass; the others are counted."""
        if next_header == NEXT_HEADER_NONE:
            self.counters.rx_dummies += len(packets)
            return packets[:0]
        families = [self._incoming.admits(bytes(packet)) for packet in packets]
        admitted = packets[[family is not None and family.next_header == next_header for family in families]]
        self.counters.rx_selector_drops += len(packets) - len(admitted)
        return admitted

    # Keys and time

    def keys_obtained(self, request: int, keys: Sequence[tuple[str, bytes]], now: float, entropy: bytes) -> None:
        """The answer to AskEncKeys or AskDecKeys: ids and keys, one at least.

        ``entropy`` is ENTROPY_BYTES fresh random octets for each key.
        """
        if not keys or len(entropy) != len(keys) * ENTROPY_BYTES:
            raise ValueError(f"{ENTROPY_BYTES} octets of entropy are needed for each key, and a key")
        if self._link is not Link.CLOSED:
            parts = (entropy[at : at + ENTROPY_BYTES] for at in range(0, len(entropy), ENTROPY_BYTES))
            stocked = [StockedKey(*each, part, now) for each, part in zip(keys, parts, strict=True)]
            self._exchange.keys_obtained(request, stocked, now)

    def key_refused(self, request: int, reason: str, now: float, *, is_final: bool) -> None:
        """There is no key; ``is_final`` tells that the KME does not know the one that was asked for."""
        if self._link is not Link.CLOSED:
            self._exchange.key_refused(request, reason, now, is_final=is_final)

    def next_timer(self) -> float | None:
        """When :meth:`handle_timer` is to be called, if nothing happens before."""
        if self._link is Link.CLOSED:
            return None
        timers = (
            self._book.next_expiry(),
            self._exchange.next_timer(),
            self._probes.next_timer(),
            self._retransmission.next_timer(),
            self._pacer.next_timer() if self._pacer is not None else None,
        )
        return min((at for at in timers if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Repeat, rekey, expire whatever is due."""
        if self._link is Link.CLOSED:
            return
        if self._book.expire(now):
            self._change_link(LinkInput.LIFETIME_ENDED)
        self._exchange.handle_timer(now)
        self._probes.handle_timer(now)
        self._retransmission.handle_timer(now)
        self._serve_slots(now)

    # Below the surface

    def _seal(self, pair: SaPair, packet: bytes, now: float) -> bytes | None:
        """What the selector has admitted."""
        outbound = pair.outbound
        try:
            datagram = outbound.seal(packet, BY_VERSION[packet[0] >> 4].next_header, self._pad_to)
        except SequenceExhausted:
            self.counters.tx_exhausted_drops += 1
            return None
        if self._retransmission.is_on:
            self._retransmission.sent(pair, outbound.sequence, datagram, now)
        if outbound.sequence >= outbound.suite.soft_sequence and isinstance(self._exchange, Initiator):
            self._exchange.rekey(now)
        self.counters.tx_packets += 1
        self.counters.tx_bytes += len(packet)
        pair.tx_bytes += len(packet)
        return datagram

    def _pace(self, pacer: Pacer, packet: bytes) -> None:
        if not pacer.put(packet):
            self.counters.tx_padding_drops += 1

    def _serve_slots(self, now: float) -> None:
        """At a constant rate: a packet or a dummy in each slot that has come."""
        current = self._book.current
        if self._pacer is None or current is None:
            return
        for packet in self._pacer.due(now):
            datagram = self._seal_dummy(current, now) if packet is None else self._seal(current, packet, now)
            if datagram is not None:
                self._effects.append(SendDatagram(datagram))

    def _seal_dummy(self, pair: SaPair, now: float) -> bytes | None:
        try:
            datagram = pair.outbound.seal(b"", NEXT_HEADER_NONE, self._pad_to)
        except SequenceExhausted:
            return None
        if self._retransmission.is_on:
            self._retransmission.sent(pair, pair.outbound.sequence, datagram, now)
        if pair.outbound.sequence >= pair.outbound.suite.soft_sequence and isinstance(self._exchange, Initiator):
            self._exchange.rekey(now)
        self.counters.tx_dummies += 1
        return datagram

    def _hold(self, packet: bytes, now: float) -> None:
        """Before the very first SA a few packets wait; after an expiry none does. None ever goes out unsealed."""
        if self._link is not Link.WAITING:
            self.counters.tx_no_sa_drops += 1
            return
        if len(self._waiting) == self._waiting.maxlen:
            self.counters.tx_no_sa_drops += 1
        self._waiting.append((now, packet))

    def _receive_other(self, datagram: bytes, now: float) -> None:
        if datagram == messages.NAT_KEEPALIVE:
            self.counters.rx_keepalives += 1
        elif len(datagram) < 4:
            self.counters.rx_malformed += 1
        elif datagram[:4] != messages.NON_ESP_MARKER:
            self.counters.rx_unknown_spi += 1
        elif self._link is not Link.CLOSED:
            self._receive_control(datagram, now)

    def _receive_control(self, datagram: bytes, now: float) -> None:
        try:
            received = messages.decode(datagram, self._connection)
        except Malformed:
            self.counters.control_malformed += 1
            return
        self.counters.control_received += 1
        if isinstance(received.message, messages.Probe | messages.ProbeReply):
            self._probes.receive(received.message, received, now)
            return
        if isinstance(received.message, messages.Repair):
            self._retransmission.receive(received.message, received, now)
            return
        usable = self._exchange.receive(received, now)
        if usable is not None:
            self._use(usable, now)

    def _use(self, pair: SaPair, now: float) -> None:
        """Transmit on ``pair`` from now on; the one before drains. A pair that has ended or been overtaken stays so."""
        if pair.stage is not Stage.PENDING or self._book.by_spi.get(pair.inbound_spi) is not pair:
            return
        if self._book.current is not None or self._link is Link.EXPIRED:
            self.counters.rekeys += 1
        was_up, was_reconfigured = self._link is Link.UP, self._book.is_reconfigured
        self._book.make_current(pair, now)
        if was_up and not was_reconfigured and self._book.is_reconfigured:
            self._effects.append(LinkChanged(Link.UP))
        if isinstance(self._exchange, Responder):
            self._exchange.proved(pair)
        self._change_link(LinkInput.SA_USABLE)
        self._probes.start(now)
        if self._pacer is not None:
            self._pacer.start(now)
        while self._waiting:
            held_at, packet = self._waiting.popleft()
            if self._pacer is not None and now - held_at <= self._settings.queue_s:
                self._pace(self._pacer, packet)
                continue
            datagram = self._seal(pair, packet, now) if now - held_at <= self._settings.queue_s else None
            if datagram is not None:
                self._effects.append(SendDatagram(datagram))
            else:
                self.counters.tx_no_sa_drops += 1

    def _change_link(self, event: LinkInput) -> None:
        before, self._link = self._link, advance(LINK, self._link, event)
        if self._link is not before:
            self._effects.append(LinkChanged(self._link))
            if self._link is not Link.UP:
                self._probes.stop()
                if self._pacer is not None:
                    self.counters.tx_no_sa_drops += self._pacer.stop()
