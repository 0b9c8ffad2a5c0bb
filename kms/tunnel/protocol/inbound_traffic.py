"""What comes into one connection's tunnel: datagrams, each of which is counted once, by what became of it."""

from __future__ import annotations

from collections.abc import Callable

from kms.tunnel.errors import AuthenticationFailed, Duplicate, Malformed, Replayed
from kms.tunnel.packet.checksum import Octets
from kms.tunnel.packet.esp import NEXT_HEADER_NONE
from kms.tunnel.packet.frame_buffer import FrameShape
from kms.tunnel.packet.ip_header import without_padding
from kms.tunnel.packet.traffic_padding import Padding
from kms.tunnel.protocol import messages
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.repair.retransmission import Retransmission
from kms.tunnel.protocol.security_association import SaBook, SaPair, Stage
from kms.tunnel.protocol.settings import SessionSettings


class InboundTraffic:
    """Datagrams in, inner packets out; ``expects_copies`` may change at any time.

    ``on_control(datagram, now)`` gets what is for the session itself; ``on_proof(pair, now)`` tells that the peer has
    begun to transmit on ``pair``.
    """

    def __init__(
        self,
        settings: SessionSettings,
        book: SaBook,
        counters: Counters,
        retransmission: Retransmission,
        on_control: Callable[[bytes, float], None],
        on_proof: Callable[[SaPair, float], None],
    ) -> None:
        self.counters = counters
        self.expects_copies = settings.expects_copies
        self._book = book
        self._retransmission = retransmission
        self._on_control = on_control
        self._on_proof = on_proof
        self._selector = settings.inbound_selector()
        self._is_padded = settings.padding is not Padding.NONE

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
            if self.expects_copies:
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
            self._on_proof(pair, now)
        if next_header == NEXT_HEADER_NONE:
            counters.rx_dummies += 1
            return None
        if self._is_padded:
            packet = without_padding(packet)
        family = self._selector.admits(packet)
        if family is None or family.next_header != next_header:
            counters.rx_selector_drops += 1
            return None
        counters.rx_packets += 1
        counters.rx_bytes += len(packet)
        pair.rx_packets += 1
        pair.rx_bytes += len(packet)
        return packet

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
            self._on_proof(pair, now)
        family = self._selector.admits_all(packets)
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
        families = [self._selector.admits(bytes(packet)) for packet in packets]
        admitted = packets[[family is not None and family.next_header == next_header for family in families]]
        self.counters.rx_selector_drops += len(packets) - len(admitted)
        return admitted

    def _receive_other(self, datagram: bytes, now: float) -> None:
        """What bears the SPI of no pair (RFC 3948, 2.2 and 2.3)."""
        if datagram == messages.NAT_KEEPALIVE:
            self.counters.rx_keepalives += 1
        elif len(datagram) < 4:
            self.counters.rx_malformed += 1
        elif datagram[:4] != messages.NON_ESP_MARKER:
            self.counters.rx_unknown_spi += 1
        else:
            self._on_control(datagram, now)
