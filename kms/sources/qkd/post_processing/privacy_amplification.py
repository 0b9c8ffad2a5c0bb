"""Privacy amplification: Toeplitz hashing of a reconciled string down to its secret length."""

from __future__ import annotations

import numpy as np

from kms.sources.qkd.link.channel import Bits

# The longest input: keeps the rounding argument of toeplitz_hash far from its limit.
MAX_INPUT_BITS = 1 << 22


def toeplitz_hash(bits: Bits, seed: Bits, length: int) -> Bits:
    """Product over GF(2) of the Toeplitz matrix that ``seed`` (len(bits) + length - 1 bits) names with ``bits``.

    Output i is the sum over j of seed[i - j + n - 1] bits[j]: a segment of a convolution, computed by FFT in doubles.
    The exact sums are integers below 2^22; the error of such an FFT stays below 2^-52 * 4 log2(N) * |seed| * |bits|
    (Euclidean norms), under 1e-6 for inputs of MAX_INPUT_BITS, so that rounding restores them exactly.
    """
    n = len(bits)
    if not 0 < n <= MAX_INPUT_BITS or not 0 < length <= n:
        raise ValueError(f"cannot hash {n} bits to {length}")
    if len(seed) != n + length - 1:
        raise ValueError(f"the seed has {len(seed)} bits, not {n + length - 1}")
    # Cyclic convolution of this size wraps only onto outputs before n - 1, which are not used.
    size = 1 << (n + length - 2).bit_length()
    product = np.fft.rfft(bits, size) * np.fft.rfft(seed, size)
    sums = np.fft.irfft(product, size)[n - 1 : n - 1 + length]
    return (np.rint(sums).astype(np.int64) & 1).astype(np.uint8)
