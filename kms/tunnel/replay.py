"""Anti-replay window (RFC 4303, 3.4.3), checked before and moved only after authentication."""

from __future__ import annotations

from array import array

from kms.tunnel.errors import Duplicate, Replayed

MIN_WINDOW = 32  # RFC 4303, 3.4.3: a receiver supports at least 32
MAX_WINDOW = 8192


class ReplayWindow:
    """Which of the last ``size`` sequence numbers have been received.

    A ring in which slot ``n % size`` holds the last number committed there. Two numbers of one window never share
    a slot, so nothing needs clearing when the window moves, by however much.
    """

    __slots__ = ("_ring", "_size", "_top")

    def __init__(self, size: int) -> None:
        if not MIN_WINDOW <= size <= MAX_WINDOW:
            raise ValueError(f"a replay window holds {MIN_WINDOW} to {MAX_WINDOW} numbers, not {size}")
        self._size = size
        self._ring = array("Q", bytes(8 * size))
        self._top = 0

    @property
    def top(self) -> int:
        """The highest number committed; 0 before the first (a sender starts at 1)."""
        return self._top

    def check(self, sequence: int) -> None:
        """Raise Replayed when ``sequence`` may not be accepted, Duplicate when it was before. Changes nothing."""
        if sequence <= self._top - self._size:
            raise Replayed("sequence number older than the window")
        if self._ring[sequence % self._size] == sequence:
            raise Duplicate("sequence number seen before")

    def commit(self, sequence: int) -> None:
        """Mark ``sequence`` as received; only for a packet that has been authenticated after :meth:`check`."""
        self._ring[sequence % self._size] = sequence
        if sequence > self._top:
            self._top = sequence
