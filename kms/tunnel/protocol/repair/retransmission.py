"""Repair of short outages on a connection: what its SAs keep and miss, asked for under the SA's own keys."""

from __future__ import annotations

from kms.tunnel.protocol import messages
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.effects import Effect, SendDatagram
from kms.tunnel.protocol.repair.retransmission_buffer import Range, ReceiveGaps, SentBuffer
from kms.tunnel.protocol.security_association import SaBook, SaPair
from kms.tunnel.protocol.settings import SessionSettings

_LOW = 2**32 - 1  # of a number, extended or not, this is sent


class Retransmission:
    """One end's; ``is_on`` may change at any time. Outputs go to ``effects``.

    A question is signed under the SA whose packets it is about, so that nobody else can ask, and what it brings forth
    is bounded however often it is repeated (:data:`kms.tunnel.protocol.repair.retransmission_buffer.MAX_TIMES`).
    """

    def __init__(self, settings: SessionSettings, book: SaBook, effects: list[Effect], counters: Counters) -> None:
        self.is_on = settings.repairs
        self._mine = settings.sender
        self._connection = messages.connection_tag(settings.connection_id)
        self._book = book
        self._effects = effects
        self._counters = counters
        self._sent: dict[bytes, SentBuffer] = {}  # both by the pair's inbound SPI
        self._gaps: dict[bytes, ReceiveGaps] = {}

    def sent(self, pair: SaPair, sequence: int, datagram: bytes, now: float) -> None:
        """``pair`` has sealed ``datagram`` under ``sequence``."""
        kept = self._sent.get(pair.inbound_spi)
        if kept is None:
            self._forget_ended()
            kept = self._sent[pair.inbound_spi] = SentBuffer()
        kept.keep(sequence, datagram, now)

    def arrived(self, pair: SaPair, first: int, count: int, now: float) -> None:
        """Authentic packets have come under ``pair``, with numbers that nobody has seen before."""
        gaps = self._gaps.get(pair.inbound_spi)
        if gaps is None:
            self._forget_ended()
            gaps = self._gaps[pair.inbound_spi] = ReceiveGaps()
        self._counters.rx_repaired += gaps.arrived(first, count, now)

    def next_timer(self) -> float | None:
        if not self.is_on:
            return None
        timers = (gaps.next_timer() for gaps in self._gaps.values())
        return min((at for at in timers if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Ask for what is missing."""
        if not self.is_on:
            return
        for spi, gaps in self._gaps.items():
            pair = self._book.by_spi.get(spi)
            asked = gaps.questions(now)
            if asked and pair is not None:
                wire = tuple(Range(missing.first & _LOW, missing.count) for missing in asked)
                question = messages.Repair(pair.outbound.spi, wire)
                signed = messages.encode_repair(self._connection, question, pair.control.of(self._mine))
                self._effects.append(SendDatagram(signed))

    def receive(self, message: messages.Repair, received: messages.Received, now: float) -> None:
        """The peer misses something."""
        spi = message.spi.to_bytes(4, "big")
        pair = self._book.by_spi.get(spi)
        kept = self._sent.get(spi)
        if not self.is_on or pair is None or kept is None or now >= pair.ends_at:
            self._counters.control_ignored += 1
        elif not received.is_signed_by(pair.control.of(self._mine.peer)):
            self._counters.control_auth_failures += 1
        else:
            latest = pair.outbound.sequence
            meant = (Range(latest - (latest - r.first & _LOW), r.count) for r in message.missing)
            again = kept.again(meant, now)
            self._counters.tx_repaired += len(again)
            self._effects.extend(SendDatagram(datagram) for datagram in again)

    def clear(self) -> None:
        self._sent.clear()
        self._gaps.clear()

    def _forget_ended(self) -> None:
        """SAs come and go with every rekeying."""
        for known in (self._sent, self._gaps):
            for spi in [spi for spi in known if spi not in self._book.by_spi]:
                del known[spi]
