"""Probes through the tunnel: packets of the largest size, by the way that an application's take on both hosts.

What passes beside the tunnel proves that the network carries the peer's datagrams and that the keys are there. These
prove what is left: interface, address and route on both hosts, the SA in use wherever it is, and the largest size.

They are probes as any, of another name, so that neither kind is taken for the other; zeros make them long.
"""

from __future__ import annotations

from dataclasses import replace

from kms.tunnel.errors import Malformed
from kms.tunnel.protocol import messages
from kms.tunnel.protocol.continuity.check import Continuity
from kms.tunnel.protocol.continuity.probes import Probes
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.effects import Effect, SendInside
from kms.tunnel.protocol.security_association import SaBook
from kms.tunnel.protocol.settings import SessionSettings

_LEAST_PERIOD_S = 2.0  # 12 kbit/s for the largest Ethernet packets
UDP_HEADERS_BYTES = 28  # of IPv4 and UDP
LENGTH_AT = slice(10, 12)  # in a control message: of the whole
_LARGE = 0.75  # of the largest size: packets that are on average as long prove the same


def passage_period(probe_s: float) -> float:
    """How often the largest size is asked with, where the small ones ask every ``probe_s`` seconds; 0: never."""
    return max(_LEAST_PERIOD_S, 4 * probe_s) if probe_s else 0.0


class PassageProbes(Probes):
    """Outputs are :class:`SendInside`; ``payload_bytes`` is how long each is."""

    def __init__(self, settings: SessionSettings, book: SaBook, effects: list[Effect], counters: Counters) -> None:
        super().__init__(
            settings, book, effects, counters, name=f"{settings.connection_id}\0inside", period_s=settings.passage_s
        )
        self._mtu = settings.mtu
        self._seen = (0, 0)  # packets and octets
        self._large = 0

    def receive_inside(self, payload: bytes, now: float) -> None:
        """Something has come out of the tunnel for us. Never raises."""
        length = int.from_bytes(payload[LENGTH_AT], "big")
        try:
            received = messages.decode(payload[:length], self._connection)
        except Malformed:
            self._counters.control_malformed += 1
            return
        if isinstance(received.message, messages.Probe | messages.ProbeReply):
            self.receive(received.message, received, now)
        else:
            self._counters.control_ignored += 1

    def _emit(self, datagram: bytes) -> Effect:
        return SendInside(datagram.ljust(self._mtu - UDP_HEADERS_BYTES, b"\0"))

    def _note_answer(self) -> None:
        """They count as packets of the tunnel, and not by themselves."""

    def _packets(self) -> int:
        """How often what had come since the last look was of large packets: under their load probes are lost."""
        packets, octets = self._counters.rx_packets, self._counters.rx_bytes
        before, self._seen = self._seen, (packets, octets)
        if packets > before[0] and octets - before[1] > _LARGE * self._mtu * (packets - before[0]):
            self._large += 1
        return self._large


def joined(beside: Continuity, inside: Continuity) -> Continuity:
    """What both kinds know: a direction fails in which either does."""
    if inside.reachable is not False or beside.reachable is False:
        return beside
    hears = False if inside.hears_peer is False else beside.hears_peer
    heard = False if inside.is_heard is False else beside.is_heard
    return replace(beside, hears_peer=hears, is_heard=heard, since=inside.since)
