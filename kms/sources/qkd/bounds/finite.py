"""Finite keys: what a block of detections proves, but for a stated probability.

Lim, Curty, Walenta, Xu and Zbinden, "Concise security bounds for practical decoy-state quantum key distribution",
PRA 89, 022307 (2014). The key comes from the X basis; everything sent and detected in the Z basis is disclosed. Counts
are per intensity, in the order signal, weak decoy, vacuum. All functions take arrays of counts with the intensity in
the last axis, so that many settings can be tried at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kms.sources.qkd.bounds.entropy import binary_entropies

SECRECY_EPSILON = 1e-10
CORRECTNESS_EPSILON = 1e-15
_TERMS = 21  # error terms in the secrecy, after eq. 5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Sifted detections by intensity: of the key basis, of the test basis, and errors in the test basis."""

    key: Floats
    test: Floats
    test_errors: Floats


@dataclass(frozen=True)
class Bounds:
    """Of the key basis: detections of empty and of single-photon pulses, at least; phase error of these, at most."""

    vacuum: Floats
    single: Floats
    phase_error: Floats

    @property
    def secret(self) -> Floats:
        """Bits of the key that nobody else can know, before anything is disclosed."""
        return self.vacuum + self.single * (1 - binary_entropies(self.phase_error))


def bounds(counts: Counts, means: Floats, shares: Floats, epsilon: float = SECRECY_EPSILON) -> Bounds:
    """Eqs. 2 to 5 of the paper; ``means`` are photon numbers, ``shares`` how often each intensity is sent."""
    confidence = math.log(_TERMS / epsilon)
    vacuum, single = _photon_numbers(counts.key, means, shares, confidence)
    _, single_test = _photon_numbers(counts.test, means, shares, confidence)
    low, high = _corrected(counts.test_errors, means, shares, confidence)
    decoy, dim = means[..., 1], means[..., 2]
    errors = _tau(1, means, shares) * np.maximum(high[..., 1] - low[..., 2], 0.0) / (decoy - dim)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(single_test > 0, errors / single_test, 0.5)
        phase = rate + _sampling(rate, single_test, single, epsilon)
    usable = (single > 0) & (single_test > 0) & (rate < 0.5)
    return Bounds(vacuum, single, np.where(usable, np.minimum(phase, 0.5), 0.5))


def secret_length(
    bound: Bounds, leaked: Floats | float, secrecy: float = SECRECY_EPSILON, correctness: float = CORRECTNESS_EPSILON
) -> Floats:
    """Eq. 1: bits that may be kept when ``leaked`` were disclosed; not rounded, 0 when none."""
    overhead = 6 * math.log2(_TERMS / secrecy) + math.log2(2 / correctness)
    return np.maximum(0.0, bound.secret - leaked - overhead)


def _corrected(counts: Floats, means: Floats, shares: Floats, confidence: float) -> tuple[Floats, Floats]:
    """The counts as they would be in the mean, at least and at most (Hoeffding), over the Poisson weight of vacuum."""
    deviation = np.sqrt(np.sum(counts, axis=-1, keepdims=True) / 2 * confidence)
    weight = np.exp(means) / shares
    return weight * np.maximum(counts - deviation, 0.0), weight * (counts + deviation)


def _photon_numbers(counts: Floats, means: Floats, shares: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Detections from pulses with no photon and with one, at least: eqs. 2 and 3."""
    low, high = _corrected(counts, means, shares, confidence)
    signal, decoy, dim = means[..., 0], means[..., 1], means[..., 2]
    vacuum_yield = np.maximum(0.0, (decoy * low[..., 2] - dim * high[..., 1]) / (decoy - dim))
    excess = low[..., 1] - high[..., 2]
    excess = excess - (decoy**2 - dim**2) / signal**2 * (high[..., 0] - vacuum_yield)
    single_yield = signal * excess / (signal * (decoy - dim) - decoy**2 + dim**2)
    vacuum = _tau(0, means, shares) * vacuum_yield
    return vacuum, np.maximum(0.0, _tau(1, means, shares) * single_yield)


def _tau(photons: int, means: Floats, shares: Floats) -> Floats:
    """The probability that a pulse of any intensity holds so many photons."""
    return np.asarray(np.sum(np.exp(-means) * means**photons * shares, axis=-1) / math.factorial(photons))


def _sampling(rate: Floats, sample: Floats, rest: Floats, epsilon: float) -> Floats:
    """Gamma: how far the rate of the rest may lie above that of the sample (random sampling without replacement)."""
    spread = np.maximum(rate * (1 - rate), 1e-12)
    both = sample + rest
    inner = both / (sample * rest * spread) * (_TERMS / epsilon) ** 2
    return np.sqrt(both * spread / (sample * rest * math.log(2)) * np.log2(inner))
