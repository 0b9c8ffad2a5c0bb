"""What goes out of one connection's tunnel: admitted, sealed under the pair in use, and counted, or not sent at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kms.tunnel.errors import SequenceExhausted
from kms.tunnel.packet.esp import NEXT_HEADER_NONE
from kms.tunnel.packet.ethernet import Kind
from kms.tunnel.packet.frame_buffer import FrameShape
from kms.tunnel.packet.traffic_padding import Pacer, Padding
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.effects import Effect, SendDatagram
from kms.tunnel.protocol.repair.retransmission import Retransmission
from kms.tunnel.protocol.security_association import SaBook, SaPair
from kms.tunnel.protocol.settings import SessionSettings


class OutboundTraffic:
    """Inner packets in, datagrams out. ``on_worn(now)`` is called after each packet past the soft limit of an SA.

    A packet takes the first of these ways that fits it:

    1. not between the connection's addresses: dropped;
    2. no pair transmits: before the very first one a few packets wait for it, later none does;
    3. at a constant rate: it waits for a slot (:meth:`handle_timer` serves them, with dummies where nothing waits);
    4. sealed and sent, and kept for a while where losses are repaired.
    """

    def __init__(
        self,
        settings: SessionSettings,
        book: SaBook,
        effects: list[Effect],
        counters: Counters,
        retransmission: Retransmission,
        on_worn: Callable[[float], None],
    ) -> None:
        self.counters = counters
        self._book = book
        self._effects = effects
        self._retransmission = retransmission
        self._on_worn = on_worn
        self._selector = settings.outbound_selector()
        self._is_padded = settings.padding is not Padding.NONE
        self._pad_to = settings.mtu if self._is_padded else 0
        self._pacer = Pacer(settings.padding_pps) if settings.padding is Padding.CONSTANT_RATE else None
        self._is_before_first = True  # there has been no pair yet to send on
        self._waiting: deque[tuple[float, bytes]] = deque(maxlen=settings.queue_packets)
        self._queue_s = settings.queue_s

    # Packets, the hot path

    def send_packet(self, packet: bytes, now: float) -> bytes | None:
        """The datagram to send for an inner packet; None when it must not or cannot go out, which is counted."""
        kind = self._selector.admits(packet)
        if kind is None:
            self.counters.tx_selector_drops += 1
            return None
        current = self._book.current
        if current is None or now >= current.ends_at:
            self._wait_for_first(packet, now)
            return None
        if self._pacer is not None:
            self._wait_for_slot(self._pacer, packet)
            return None
        return self._seal(current, packet, kind, now)

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
            family = self._selector.admits(frames.texts[0, :inner_bytes].tobytes())
        else:
            family = self._selector.admits_all(frames.texts[:count, :inner_bytes])
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
        if outbound.sequence >= outbound.suite.soft_sequence:
            self._on_worn(now)
        self.counters.tx_packets += count
        self.counters.tx_bytes += count * inner_bytes
        current.tx_bytes += count * inner_bytes
        return True

    def _seal_admitted(self, pair: SaPair, packet: bytes, now: float) -> bytes | None:
        """What the selector has admitted before it had to wait."""
        kind = self._selector.admits(packet)
        assert kind is not None
        return self._seal(pair, packet, kind, now)

    def _seal(self, pair: SaPair, packet: bytes, kind: Kind, now: float) -> bytes | None:
        """What the selector has admitted, as of that ``kind``."""
        outbound = pair.outbound
        try:
            datagram = outbound.seal(packet, kind.next_header, self._pad_to)
        except SequenceExhausted:
            self.counters.tx_exhausted_drops += 1
            return None
        if self._retransmission.is_on:
            self._retransmission.sent(pair, outbound.sequence, datagram, now)
        if outbound.sequence >= outbound.suite.soft_sequence:
            self._on_worn(now)
        self.counters.tx_packets += 1
        self.counters.tx_bytes += len(packet)
        pair.tx_bytes += len(packet)
        return datagram

    # The pair and time

    def use(self, pair: SaPair, now: float) -> None:
        """``pair`` transmits from now on: what has waited for the first one goes out, if it is not too old."""
        self._is_before_first = False
        if self._pacer is not None:
            self._pacer.start(now)
        while self._waiting:
            held_at, packet = self._waiting.popleft()
            if self._pacer is not None and now - held_at <= self._queue_s:
                self._wait_for_slot(self._pacer, packet)
                continue
            datagram = self._seal_admitted(pair, packet, now) if now - held_at <= self._queue_s else None
            if datagram is not None:
                self._effects.append(SendDatagram(datagram))
            else:
                self.counters.tx_no_sa_drops += 1

    def halt(self) -> None:
        """No pair transmits any more, and what waits is dropped."""
        self._is_before_first = False
        self._waiting.clear()
        if self._pacer is not None:
            self.counters.tx_no_sa_drops += self._pacer.stop()

    def next_timer(self) -> float | None:
        return self._pacer.next_timer() if self._pacer is not None else None

    def handle_timer(self, now: float) -> None:
        """At a constant rate: a packet or a dummy in each slot that has come."""
        current = self._book.current
        if self._pacer is None or current is None:
            return
        for packet in self._pacer.due(now):
            datagram = self._seal_dummy(current, now) if packet is None else self._seal_admitted(current, packet, now)
            if datagram is not None:
                self._effects.append(SendDatagram(datagram))

    def _wait_for_first(self, packet: bytes, now: float) -> None:
        """Before the very first SA a few packets wait; after an expiry none does. None ever goes out unsealed."""
        if not self._is_before_first:
            self.counters.tx_no_sa_drops += 1
            return
        if len(self._waiting) == self._waiting.maxlen:
            self.counters.tx_no_sa_drops += 1
        self._waiting.append((now, packet))

    def _wait_for_slot(self, pacer: Pacer, packet: bytes) -> None:
        if not pacer.put(packet):
            self.counters.tx_padding_drops += 1

    def _seal_dummy(self, pair: SaPair, now: float) -> bytes | None:
        try:
            datagram = pair.outbound.seal(b"", NEXT_HEADER_NONE, self._pad_to)
        except SequenceExhausted:
            return None
        if self._retransmission.is_on:
            self._retransmission.sent(pair, pair.outbound.sequence, datagram, now)
        if pair.outbound.sequence >= pair.outbound.suite.soft_sequence:
            self._on_worn(now)
        self.counters.tx_dummies += 1
        return datagram
