"""One end of a QKD section in the distributed form: one-time pads to send with and pads to receive with. Pure.

A section's bits are divided by direction, so that the two ends never use the same bits at once. A sender uses its pads
from the front and says where; messages may overtake each other, so a receiver keeps what it skipped for a while. Bits
have positions within one *generation*: a new one begins when either end has lost its bits (a restart), and what is left
of the old is gone.
"""

from __future__ import annotations

from kms.errors import ExchangeError, ShortOfKeyError

MAX_SKIPPED = 64  # stretches that a receiver keeps for messages that were overtaken


class Pads:
    """Positions and sizes are bytes."""

    def __init__(self) -> None:
        self.generation = ""
        self._send, self._send_at = bytearray(), 0
        self._receive, self._receive_at = bytearray(), 0
        self._skipped: dict[int, bytes] = {}

    def __repr__(self) -> str:
        return f"Pads(generation={self.generation!r}, {self.sendable} to send with)"

    @property
    def sendable(self) -> int:
        return len(self._send)

    @property
    def sent_to(self) -> int:
        """The position up to which pads to send with were ever stored."""
        return self._send_at + len(self._send)

    @property
    def received_to(self) -> int:
        return self._receive_at + len(self._receive)

    def begin(self, generation: str) -> None:
        """Forget everything and begin anew."""
        self.generation = generation
        self._send, self._send_at = bytearray(), 0
        self._receive, self._receive_at = bytearray(), 0
        self._skipped = {}

    def store_to_send(self, at: int, bits: bytes) -> None:
        if at != self.sent_to:
            raise ExchangeError("pads of a QKD section have a gap")
        self._send += bits

    def store_to_receive(self, at: int, bits: bytes) -> None:
        if at != self.received_to:
            raise ExchangeError("pads of a QKD section have a gap")
        self._receive += bits

    def take_to_send(self, count: int) -> tuple[int, bytes]:
        """The next ``count`` bytes and their position, used up by this call; ShortOfKeyError when there are fewer."""
        if count > len(self._send):
            raise ShortOfKeyError("a QKD section has too little key left")
        at, pad = self._send_at, bytes(self._send[:count])
        del self._send[:count]
        self._send_at += count
        return at, pad

    def take_to_receive(self, generation: str, at: int, count: int) -> bytes:
        """The bytes that the sender used; gone from here then. ExchangeError when they are not there: used before (a
        replay), of another generation, or never stored.
        """
        if generation != self.generation or at < 0:
            raise ExchangeError("pads of a QKD section are of another generation: the message is refused")
        if at < self._receive_at:
            return self._take_skipped(at, count)
        start = at - self._receive_at
        if start + count > len(self._receive):
            raise ExchangeError("pads of a QKD section are not there: the message is refused")
        if start:
            self._skipped[self._receive_at] = bytes(self._receive[:start])
            while len(self._skipped) > MAX_SKIPPED:
                del self._skipped[next(iter(self._skipped))]
        pad = bytes(self._receive[start : start + count])
        del self._receive[: start + count]
        self._receive_at = at + count
        return pad

    def _take_skipped(self, at: int, count: int) -> bytes:
        for begin, stretch in self._skipped.items():
            start = at - begin
            if start >= 0 and start + count <= len(stretch):
                del self._skipped[begin]
                for place, rest in ((begin, stretch[:start]), (at + count, stretch[start + count :])):
                    if rest:
                        self._skipped[place] = rest
                return stretch[start : start + count]
        raise ExchangeError("pads of a QKD section were used before: the message is refused")
