"""The Internet checksum (RFC 1071).

65536 is 1 modulo 65535, so a sum with end-around carry is a remainder: of a whole packet as one number, or of the
plain sum of its 16-bit words. The order of octets in a word does not matter as long as the result is stored as it was
read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Octets = npt.NDArray[np.uint8]

MODULUS = 65535


def complement(data: bytes | bytearray | memoryview) -> int:
    """The checksum of ``data``, never 0: UDP gives 0 a meaning of its own, and to all others it equals 0xFFFF."""
    value = int.from_bytes(data, "big")
    return MODULUS - (value << 8 if len(data) % 2 else value) % MODULUS
