"""The random numbers of generated networks: PCG32, so that a seed means the same network everywhere and for ever.

PCG-XSH-RR 64/32 of O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random
Number Generation" (2014), in whole numbers: nothing depends on Python's version, its hashes or the machine's floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

MULTIPLIER = 6364136223846793005
STREAM = 54
_64, _32 = (1 << 64) - 1, (1 << 32) - 1


class Pcg32:
    """A stream of numbers by ``seed``, 0 to 2**64 - 1."""

    def __init__(self, seed: int, stream: int = STREAM) -> None:
        self._increment = (stream << 1 | 1) & _64
        self._state = 0
        self.next()
        self._state = (self._state + seed) & _64
        self.next()

    def next(self) -> int:
        """The next number of 32 bits."""
        old = self._state
        self._state = (old * MULTIPLIER + self._increment) & _64
        mixed = ((old >> 18 ^ old) >> 27) & _32
        turn = old >> 59
        return (mixed >> turn | mixed << (-turn & 31)) & _32

    def between(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included, each equally likely."""
        bound = high - low + 1
        threshold = (1 << 32) % bound  # numbers below it would make some results likelier
        while True:
            value = self.next()
            if value >= threshold:
                return low + value % bound

    def happens(self, probability: float) -> bool:
        """True with that probability."""
        return self.next() < int(probability * (1 << 32))

    def choice(self, among: Sequence[T]) -> T:
        """One of them."""
        return among[self.between(0, len(among) - 1)]
