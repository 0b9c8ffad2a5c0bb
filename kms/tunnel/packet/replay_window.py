"""Anti-replay window (RFC 4303, 3.4.3), checked before and moved only after authentication."""

from __future__ import annotations

from array import array

import numpy as np

from kms.tunnel.errors import Duplicate, Replayed

MIN_WINDOW = 32  # RFC 4303, 3.4.3: a receiver supports at least 32
MAX_WINDOW = 8192


_HALF = 2**32


def whole_number(top: int, size: int, low: int) -> int:
    """The number of 64 bits of which ``low`` is the lower half, where ``top`` was the highest (RFC 4303, A2.2).

    That one of the numbers with this lower half which lies in the window of ``size`` numbers up to ``top``, or else the
    next one above it. Before the first 2^32 there is none below to be meant. What is not meant fails authentication.
    """
    bottom = top - size + 1
    number = bottom + (low - bottom) % _HALF
    return number if number >= 0 else low


class ReplayWindow:
    """Which of the last ``size`` sequence numbers have been received.

    A ring in which slot ``n % size`` holds the last number committed there. Two numbers of one window never share
    a slot, so nothing needs clearing when the window moves, by however much.
    """

    __slots__ = ("_numbers", "_ring", "_size", "_top")

    def __init__(self, size: int) -> None:
        if not MIN_WINDOW <= size <= MAX_WINDOW:
            raise ValueError(f"a replay window holds {MIN_WINDOW} to {MAX_WINDOW} numbers, not {size}")
        self._size = size
        self._ring = array("Q", bytes(8 * size))  # for one number, which NumPy is slow at
        self._numbers = np.frombuffer(self._ring, np.uint64)  # the same, for many
        self._top = 0

    @property
    def size(self) -> int:
        return self._size

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

    def is_ahead(self, first: int) -> bool:
        """Whether ``first`` and all numbers after it are higher than any seen, hence neither old nor duplicates."""
        return first > self._top

    def commit_run(self, first: int, count: int) -> None:
        """Mark ``count`` numbers from ``first`` on, for which :meth:`is_ahead` held, as received."""
        last = first + count - 1
        first = max(first, last - self._size + 1)
        at, room = first % self._size, self._size - first % self._size
        numbers = np.arange(first, last + 1, dtype=np.uint64)
        self._numbers[at : at + min(room, len(numbers))] = numbers[:room]
        self._numbers[: max(0, len(numbers) - room)] = numbers[room:]
        self._top = last
