"""Probes of a connection in the clear: echoes over the same way through the fabric, with nothing to sign them by.

The pure half. Whoever can put packets of the peer's address on the underlay can forge them, as it can the traffic
itself; an answer must name a question's number, which begins somewhere random. An answer is as long as its question,
goes to the peer alone, and is given at a bounded rate.
"""

from __future__ import annotations

from kms.tunnel.errors import Malformed
from kms.tunnel.protocol import messages
from kms.tunnel.protocol.continuity.check import Continuity, ContinuityCheck
from kms.tunnel.protocol.continuity.passage import LENGTH_AT


class EchoSession:
    """Datagrams in, datagrams out. ``entropy`` is 7 random octets; zeros make each ``size`` octets long."""

    def __init__(self, connection_id: str, period_s: float, *, is_leader: bool, entropy: bytes, size: int = 0) -> None:
        self._size = size
        self._connection = messages.connection_tag(connection_id)
        self._check = ContinuityCheck(
            period_s, is_leader=is_leader, first_number=int.from_bytes(entropy[:7], "big") + 1
        )
        self.malformed = 0

    @property
    def continuity(self) -> Continuity:
        return self._check.continuity

    def pace_probes(self, period_s: float) -> None:
        self._check.set_period(period_s)

    def start(self, now: float) -> None:
        self._check.start(now)

    def next_timer(self) -> float | None:
        return self._check.next_timer()

    def handle_timer(self, now: float) -> bytes | None:
        """The datagram to send, if it is time for one."""
        number = self._check.handle_timer(now, packets=0)
        if number is None:
            return None
        return self._sized(messages.Echo(number, self._check.silence_s(now)))

    def receive(self, datagram: bytes, now: float) -> bytes | None:
        """The answer to send, if there is to be one."""
        try:
            length = int.from_bytes(datagram[LENGTH_AT], "big") if len(datagram) == self._size else len(datagram)
            message = messages.decode(datagram[:length], self._connection).message
        except Malformed:
            self.malformed += 1
            return None
        match message:
            case messages.Echo(number, silence_s) if self._check.questioned(silence_s, now):
                return self._sized(messages.EchoReply(number))
            case messages.EchoReply(number):
                self._check.answered(number, now)
        return None

    def _sized(self, message: messages.Echo | messages.EchoReply) -> bytes:
        return messages.encode_echo(self._connection, message).ljust(self._size, b"\0")
