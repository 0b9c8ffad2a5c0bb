"""Exact statistics of one gate: with what probability which detectors click, for which pulse, and what Eve then knows.

A pulse's photons, their number Poisson distributed, take their ways independently: each is detected with some
efficiency, and then in the wrong detector with the probability of misalignment; each detector has its dark counts. From
this follow all gains and error rates, and the weights that :mod:`kms.sources.qkd.link.monte_carlo` draws from.

Dead time and afterpulses make one gate depend on the detection before. They do not depend on what the gate's own
pulse holds, so they scale all gains alike and add a background: :class:`Clock` has their statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kms.sources.qkd.link.attacks import NO_ATTACK, Attack, Floats, fates, poisson
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.settings import SourceSettings

# More photons than this a pulse of mean 2 holds with a probability below 1e-16.
_MOST_PHOTONS = 24
_SEVERAL = 2
RIGHT, WRONG, BOTH = range(3)


@dataclass(frozen=True)
class Clicks:
    """``weights[i, n, e, c]``: the probability per pulse, bases agreeing, of a detection with intensity ``i``.

    ``n`` is the number of photons that Alice sent (0, 1, or 2 for more), ``e`` 1 when Eve knows the bit, ``c`` RIGHT,
    WRONG or BOTH detectors. ``silent[i, n]`` is that of no detection.
    """

    weights: Floats
    silent: Floats

    @property
    def probability(self) -> float:
        """Of a detection in a gate that is ready, whichever the intensity."""
        return float(self.weights.sum())

    def gains(self) -> Floats:
        """Detections per pulse of each intensity."""
        detected = self.weights.sum(axis=(1, 2, 3))
        return np.asarray(detected / (detected + self.silent.sum(axis=1)))

    def error_rates(self) -> Floats:
        """Share of wrong bits of each intensity; a double click gives a random bit."""
        by_pattern = self.weights.sum(axis=(1, 2))
        wrong = by_pattern[:, WRONG] + by_pattern[:, BOTH] / 2
        total = by_pattern.sum(axis=1)
        return np.asarray(np.divide(wrong, total, out=np.full_like(total, 0.5), where=total > 0))


def click_statistics(channel: ChannelParameters, settings: SourceSettings, attack: Attack = NO_ATTACK) -> Clicks:
    """The exact table for a channel, a source and an eavesdropper."""
    photons = np.arange(_MOST_PHOTONS + 1)
    sent = np.stack(
        [share * poisson(mean, photons) for share, mean in zip(settings.shares, settings.means, strict=True)]
    )
    quiet = np.sqrt(1 - channel.dark_count_probability)  # of either detector
    weights = np.zeros((len(sent), _SEVERAL + 1, 2, 3))
    silent = np.zeros((len(sent), _SEVERAL + 1))
    for fate in fates(channel, attack, settings.signal, photons):
        astray = 0.5 if fate.is_random else channel.misalignment
        none = _all_lost(fate.efficiency, fate.photons) * quiet**2
        not_wrong = _all_lost(fate.efficiency * astray, fate.photons) * quiet
        not_right = _all_lost(fate.efficiency * (1 - astray), fate.photons) * quiet
        patterns = np.stack([not_wrong - none, not_right - none, 1 - not_wrong - not_right + none], axis=-1)
        weight = sent * fate.probability
        for n in photons:
            group = min(int(n), _SEVERAL)
            weights[:, group, int(fate.is_known)] += weight[:, n, None] * patterns[n]
            silent[:, group] += weight[:, n] * none[n]
    return Clicks(np.maximum(weights, 0.0), silent)


def _all_lost(detected: float, photons: NDArray[np.int64]) -> Floats:
    return np.asarray((1.0 - detected) ** photons)


@dataclass(frozen=True)
class Clock:
    """When detections happen: a renewal process, each detection followed by dead gates, then by gates that are ready.

    ``ready`` is the probability of a detection in a gate that is ready; ``afterpulse`` that a trap is filled, which
    then empties with the probability 1 - ``survival`` in each gate after the dead time.
    """

    ready: float
    dead_gates: int
    afterpulse: float
    survival: float

    @classmethod
    def of(cls, channel: ChannelParameters, clicks: Clicks) -> Clock:
        return cls(clicks.probability, channel.dead_gates, channel.afterpulse_probability, channel.trap_survival)

    @property
    def mean_gates(self) -> float:
        """From one detection to the next; infinite when there are none."""
        if self.ready <= 0:
            return float("inf")
        return self.dead_gates + (1 - self.afterpulse) / self.ready + self.afterpulse / self._either

    @property
    def afterpulse_share(self) -> float:
        """Of the detections: those with nothing but an afterpulse behind them."""
        return self.afterpulse * (1 - self.survival) * (1 - self.ready) / self._either if self.ready > 0 else 0.0

    @property
    def _either(self) -> float:
        """That the trap empties or something else is detected, in one gate."""
        return 1 - (1 - self.ready) * self.survival


@dataclass(frozen=True)
class Expected:
    """What will be counted in the mean: detections per pulse, by intensity, and their share of errors."""

    gains: Floats  # of each intensity, per pulse of that intensity
    error_rates: Floats
    detections: float  # per pulse, all intensities

    @property
    def signal_qber(self) -> float:
        return float(self.error_rates[0])


@lru_cache(maxsize=256)
def expected(channel: ChannelParameters, settings: SourceSettings, attack: Attack = NO_ATTACK) -> Expected:
    """The gains and error rates of a section, dead time and afterpulses included. Remembered: forecasts ask often."""
    clicks = click_statistics(channel, settings, attack)
    clock = Clock.of(channel, clicks)
    real, false = clicks.gains(), 1 - clicks.gains()
    share = clock.afterpulse_share
    from_light = (1 - share) * real / clicks.probability if clicks.probability > 0 else np.zeros_like(real)
    from_traps = share * false / max(1 - clicks.probability, 1e-300)
    gains = (from_light + from_traps) / clock.mean_gates
    wrong = (from_light * clicks.error_rates() + from_traps / 2) / clock.mean_gates
    rates = np.divide(wrong, gains, out=np.full_like(gains, 0.5), where=gains > 0)
    gains.setflags(write=False)
    rates.setflags(write=False)
    return Expected(np.asarray(gains), np.asarray(rates), 1 / clock.mean_gates)
