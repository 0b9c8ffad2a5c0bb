"""The secret bits per second that a section will make, from its parameters and the error rate that it measures."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kms.sources.qkd import cow
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.clicks import Expected, expected
from kms.sources.qkd.link.settings import SourceSettings, optimal_settings, secret_bits
from kms.sources.qkd.modes import Protocol
from kms.sources.qkd.post_processing import authentication

# Detections per block of the full simulation: some seconds' worth at 30 km and 10 MHz. Larger blocks waste less on the
# bounds, smaller ones come sooner.
BLOCK_DETECTIONS = 1 << 19
# Of the rate model, which need not wait for its blocks: what devices collect in minutes.
RATE_BLOCK_DETECTIONS = 10_000_000
# One tag in either direction per block.
KEYS_PER_BLOCK = 2
AUTHENTICATION_BYTES = KEYS_PER_BLOCK * authentication.ONE_TIME_KEY_BYTES


@lru_cache(maxsize=1024)
def forecast_rate(channel: ChannelParameters, qber: float, detections: int = BLOCK_DETECTIONS) -> float:
    """BB84's expected secret bits per second at an error rate of the signals, authentication deducted."""
    settings = optimal_settings(channel, detections)
    quiet = expected(channel, settings)
    return _rate(channel, settings, quiet, quiet.error_rates + (qber - quiet.signal_qber), detections)


@lru_cache(maxsize=256)
def attacked_rate(channel: ChannelParameters, attack: Attack, detections: int = BLOCK_DETECTIONS) -> float:
    """The same while an eavesdropper is on the line, her effect on gains and errors included."""
    settings = optimal_settings(channel, detections)
    seen = expected(channel, settings, attack)
    return _rate(channel, settings, seen, seen.error_rates, detections)


def sustainable_bps(channel: ChannelParameters, protocol: Protocol, detections: int, qber: float) -> float:
    """What a section of this protocol can give for good at an error rate."""
    if protocol is Protocol.COW:
        return cow.rate_bps(channel, qber)
    # Rounded, so that the last digits of a measurement do not cost a computation each.
    return forecast_rate(channel, round(qber, 4), detections)


def expected_qber(channel: ChannelParameters, protocol: Protocol, detections: int = BLOCK_DETECTIONS) -> float:
    """Error rate of the signals with nobody on the line."""
    if protocol is Protocol.COW:
        return cow.qber(channel)
    return expected(channel, optimal_settings(channel, detections), NO_ATTACK).signal_qber


def _rate(
    channel: ChannelParameters, settings: SourceSettings, seen: Expected, error_rates: np.ndarray, detections: int
) -> float:
    if seen.detections <= 0:
        return 0.0
    secret = secret_bits(
        np.maximum(seen.gains, 1e-300), np.clip(error_rates, 0.0, 0.5), settings.means, settings.shares,
        np.asarray(settings.key_basis), detections, channel.error_correction_efficiency,
    )  # fmt: skip
    blocks_per_second = channel.pulse_rate_hz * seen.detections / detections
    return max(0.0, (float(secret) - 8 * AUTHENTICATION_BYTES) * blocks_per_second)
