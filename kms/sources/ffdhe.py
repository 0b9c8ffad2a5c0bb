"""The finite-field groups of RFC 7919, which TLS 1.2 negotiates by name: safe primes, generator 2.

Their primes are not written down but made as appendix A says: p = 2^b - 2^(b-64) + ([2^(b-130) e] + X) 2^64 - 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

GENERATOR = 2
# Bits, and X: the least number for which p and (p - 1) / 2 are prime (A.1 to A.5).
_OFFSETS = {2048: 560316, 3072: 2625351, 4096: 5736041, 6144: 15705020, 8192: 10965728}
_GUARD_BITS = 64
NAMES = tuple(f"ffdhe{bits}" for bits in _OFFSETS)


@dataclass(frozen=True)
class Group:
    """A group, with its prime's size."""

    name: str
    bits: int
    prime: int

    @property
    def size(self) -> int:
        """Bytes of a public value."""
        return self.bits // 8

    @property
    def order(self) -> int:
        """Of the subgroup that the generator makes."""
        return (self.prime - 1) // 2


@cache
def group(name: str) -> Group:
    """The group of one of :data:`NAMES`."""
    bits = int(name.removeprefix("ffdhe"))
    middle = _e_times_power_of_2(bits - 130) + _OFFSETS[bits]
    return Group(name, bits, (1 << bits) - (1 << (bits - 64)) + (middle << 64) - 1)


def _e_times_power_of_2(exponent: int) -> int:
    """The whole part of 2^exponent e, by the series of e with guard bits: each term is cut off by less than one."""
    term = total = 1 << (exponent + _GUARD_BITS)
    n = 1
    while term:
        term //= n
        total += term
        n += 1
    return total >> _GUARD_BITS
