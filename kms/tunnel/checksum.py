"""The Internet checksum (RFC 1071) of one packet, and of many equally long ones at once.

65536 is 1 modulo 65535, so a sum with end-around carry is a remainder: of a whole packet as one number, or of the
plain sum of its 16-bit words. The order of octets in a word does not matter as long as the result is stored as it was
read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Octets = npt.NDArray[np.uint8]
Sums = npt.NDArray[np.uint32]

MODULUS = 65535


def complement(data: bytes | bytearray | memoryview) -> int:
    """The checksum of ``data``, never 0: UDP gives 0 a meaning of its own, and to all others it equals 0xFFFF."""
    value = int.from_bytes(data, "big")
    return MODULUS - (value << 8 if len(data) % 2 else value) % MODULUS


def word_sums(rows: Octets) -> Sums:
    """For each row (of the last axis) the sum of its 16-bit words, read little-endian; rows of at most 64 KB."""
    even = rows.shape[-1] // 2 * 2
    sums: Sums = np.add.reduce(rows[..., :even].view("<u2"), axis=-1, dtype=np.uint32)
    if even < rows.shape[-1]:
        sums += rows[..., even]  # the first octet of a word whose second is 0
    return sums


def word_sum(octets: bytes | bytearray) -> int:
    """The same of a run of octets of even length, modulo 65535."""
    return int.from_bytes(octets, "little") % MODULUS


def swapped(value: int) -> int:
    """A 16-bit field's value as the little-endian word that its octets are."""
    return (value & 0xFF) << 8 | value >> 8
