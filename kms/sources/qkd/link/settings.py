"""How a decoy-state source is set: intensities, how often each and how often the key basis; and the best setting."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kms.sources.qkd.bounds import finite
from kms.sources.qkd.bounds.entropy import binary_entropies
from kms.sources.qkd.link.channel import ChannelParameters

Floats = NDArray[np.float64]

# The grid of :func:`optimal_settings`. A share of vacuum pulses below a few percent proves nothing about dark counts.
_SIGNALS = (0.3, 0.4, 0.5, 0.6, 0.7)
_DECOYS = (0.05, 0.1, 0.15, 0.2, 0.25)
_SIGNAL_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_VACUUM_OF_REST = (0.15, 0.25, 0.35, 0.5)
_KEY_BASES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class SourceSettings:
    """Signal, weak decoy and vacuum: mean photon numbers and shares of the pulses, in this order.

    ``key_basis`` is the probability with which Alice, and Bob, choose the basis that the key comes from; what both had
    in the other is disclosed (Lim et al. 2014).
    """

    signal: float = 0.5
    decoy: float = 0.1
    signal_share: float = 0.7
    decoy_share: float = 0.2
    key_basis: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.decoy < self.signal <= 2:
            raise ValueError("decoy: it must be above 0 and below the signal, which may be 2 at most")
        if not (self.signal_share > 0 and self.decoy_share > 0 and self.signal_share + self.decoy_share < 1):
            raise ValueError("signal_share, decoy_share: they must be above 0 and leave something for the vacuum")
        if not 0 < self.key_basis < 1:
            raise ValueError("key_basis: it must lie between 0 and 1")

    @property
    def means(self) -> Floats:
        return np.array([self.signal, self.decoy, 0.0])

    @property
    def shares(self) -> Floats:
        return np.array([self.signal_share, self.decoy_share, 1 - self.signal_share - self.decoy_share])


@lru_cache(maxsize=256)
def optimal_settings(channel: ChannelParameters, detections: int) -> SourceSettings:
    """The setting with the most secret bits from a block of ``detections``, by search over a grid."""
    signal, decoy, signal_share, vacuum, basis = (
        np.array(column) for column in zip(*itertools.product(
            _SIGNALS, _DECOYS, _SIGNAL_SHARES, _VACUUM_OF_REST, _KEY_BASES
        ), strict=True)
    )  # fmt: skip
    means = np.stack([signal, decoy, np.zeros_like(signal)], axis=-1)
    rest = 1 - signal_share
    shares = np.stack([signal_share, rest * (1 - vacuum), rest * vacuum], axis=-1)
    best = int(np.argmax(_secret_per_pulse(channel, means, shares, basis, detections)))
    return SourceSettings(
        float(signal[best]), float(decoy[best]), float(shares[best, 0]), float(shares[best, 1]), float(basis[best])
    )


def secret_bits(
    gains: Floats, error_rates: Floats, means: Floats, shares: Floats, basis: Floats, detections: int, efficiency: float
) -> Floats:
    """Expected secret bits of a block of ``detections`` by Lim's bounds, for gains and error rates by intensity.

    ``efficiency`` is that of the reconciliation. Arrays have the intensities in the last axis, ``basis`` has not.
    """
    clicks = shares * gains
    clicks = detections * clicks / np.sum(clicks, axis=-1, keepdims=True)
    key, test = clicks * basis[..., None] ** 2, clicks * (1 - basis[..., None]) ** 2
    bound = finite.bounds(finite.Counts(key, test, test * error_rates), means, shares)
    qber = np.sum(clicks * error_rates, axis=-1) / detections
    return finite.secret_length(bound, efficiency * np.sum(key, axis=-1) * binary_entropies(qber))


def _secret_per_pulse(
    channel: ChannelParameters, means: Floats, shares: Floats, basis: Floats, detections: int
) -> Floats:
    """Dead time and afterpulses do not move the best setting, and are left out."""
    dark, light = channel.dark_count_probability, -np.expm1(-channel.transmittance * means)
    gains = np.maximum(dark + (1 - dark) * light, 1e-300)
    error_rates = (dark / 2 + channel.misalignment * light) / gains
    secret = secret_bits(gains, error_rates, means, shares, basis, detections, channel.error_correction_efficiency)
    return np.asarray(secret * np.sum(shares * gains, axis=-1) / detections)
