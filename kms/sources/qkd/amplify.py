"""From a reconciled string to a secret one: how long it may be, and Toeplitz hashing down to that length."""

from __future__ import annotations

import math

import numpy as np

from kms.sources.qkd.channel import Bits

SECRECY_EPSILON = 1e-10
CORRECTNESS_EPSILON = 1e-10
# The longest input: keeps the rounding argument of toeplitz_hash far from its limit.
MAX_INPUT_BITS = 1 << 22


def binary_entropy(p: float) -> float:
    """h(p) in bits; 1 from p = 1/2 on, because a bound above that means that nothing is known."""
    if p <= 0:
        return 0.0
    if p >= 0.5:
        return 1.0
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def sampling_margin(key_bits: int, sample_bits: int, epsilon: float = SECRECY_EPSILON) -> float:
    """How far the error rate of the kept bits may lie above that of the disclosed sample, but for ``epsilon``.

    Sampling without replacement: Tomamichel et al., Nat. Commun. 3, 634 (2012), eq. 2.
    """
    n, k = key_bits, sample_bits
    return math.sqrt((n + k) / (n * k) * (k + 1) / k * math.log(2 / epsilon))


def secret_length(key_bits: int, sample_bits: int, sample_qber: float, leaked_bits: int) -> int:
    """How many secret bits ``key_bits`` reconciled bits hold, 0 when none.

    Tomamichel et al. 2012, eq. 1, for ideal single photons:
    n (1 - h(Q + margin)) - leak - log2(2 / (eps_sec^2 eps_cor)).
    """
    if key_bits < 1 or sample_bits < 1:
        return 0
    phase_error = sample_qber + sampling_margin(key_bits, sample_bits)
    overhead = math.log2(2 / (SECRECY_EPSILON**2 * CORRECTNESS_EPSILON))
    return max(0, math.floor(key_bits * (1 - binary_entropy(phase_error)) - leaked_bits - overhead))


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
