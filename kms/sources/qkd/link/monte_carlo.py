"""Photon by photon, but only where a detector clicks.

Every pulse's photon number, every photon's fate and every dark count is a random draw. Most pulses leave no trace, so
drawing them one by one would be most of the work for nothing: instead the gaps between detections are drawn (from
the law that pulse-by-pulse draws would give them), and then, for each detection, what caused it (from the exact
probabilities of :mod:`kms.sources.qkd.link.clicks`, given that there was one). The statistics are those of drawing
every pulse; a test compares it with exactly that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import Bits, ChannelParameters, Positions
from kms.sources.qkd.link.clicks import BOTH, WRONG, Clicks, Clock, click_statistics
from kms.sources.qkd.link.settings import SourceSettings


@dataclass(frozen=True)
class Detections:
    """Which pulses gave a detection, and which of these detections were afterpulses alone."""

    positions: Positions
    is_afterpulse: Bits


@dataclass(frozen=True)
class Measured:
    """For detections in which the bases agree: Bob's bits, Alice's intensities, and what nobody at either end knows.

    ``photons`` is how many Alice's pulse held (2 for more) and ``is_known`` 1 where Eve has the bit.
    """

    bits: Bits
    intensities: Bits
    photons: Bits
    is_known: Bits


class QuantumChannel:
    """A section's source, fibre, eavesdropper and detectors. Its random generator is nature, not a secret."""

    def __init__(self, channel: ChannelParameters, settings: SourceSettings, attack: Attack = NO_ATTACK) -> None:
        self.clicks: Clicks = click_statistics(channel, settings, attack)
        self.clock = Clock.of(channel, self.clicks)
        self._lit = self.clicks.weights.ravel() / max(self.clicks.probability, 1e-300)
        self._dark = self.clicks.silent.ravel() / max(self.clicks.silent.sum(), 1e-300)
        # What a category of the two tables stands for.
        intensity, photons, known, pattern = np.indices(self.clicks.weights.shape).reshape(4, -1).astype(np.uint8)
        self._lit_meaning = intensity, photons, known, pattern
        self._dark_meaning = np.indices(self.clicks.silent.shape).reshape(2, -1).astype(np.uint8)

    def send(self, pulses: int, rng: np.random.Generator) -> Detections:
        """Let so many pulses go, the detectors ready at the first of them."""
        clock = self.clock
        if clock.ready <= 0:
            return Detections(np.empty(0, np.int64), np.empty(0, np.uint8))
        gaps: list[Positions] = []
        false: list[Bits] = []
        reached = -1 - clock.dead_gates  # the first gap holds no dead time
        while reached < pulses:
            mean = (pulses - reached) / clock.mean_gates
            gap, is_false = self._gaps(int(mean + 5 * np.sqrt(mean)) + 10, rng)
            gaps.append(gap)
            false.append(is_false)
            reached += int(gap.sum())
        positions = np.concatenate(gaps)
        positions[0] -= 1 + clock.dead_gates
        np.cumsum(positions, out=positions)
        kept = int(np.searchsorted(positions, pulses))
        return Detections(positions[:kept], np.concatenate(false)[:kept])

    def _gaps(self, count: int, rng: np.random.Generator) -> tuple[Positions, Bits]:
        """Gates from each of so many detections to the next, and whether that is an afterpulse alone."""
        clock = self.clock
        gaps = _geometric(clock.ready, count, rng)
        is_false = np.zeros(count, dtype=np.uint8)
        trapped = (
            np.flatnonzero(rng.random(count) < clock.afterpulse) if clock.afterpulse > 0 else np.empty(0, np.int64)
        )
        if len(trapped):
            released = _geometric(1 - clock.survival, len(trapped), rng)
            first = released < gaps[trapped]
            is_false[trapped[first]] = 1
            gaps[trapped[first]] = released[first]
        gaps += clock.dead_gates
        return gaps, is_false

    def measure(self, alice: Bits, is_afterpulse: Bits, rng: np.random.Generator) -> Measured:
        """Bob's results for detections in Alice's basis, ``alice`` being the bits that she sent there."""
        count = len(alice)
        intensity, photons, known, pattern = self._lit_meaning
        category = _draw(self._lit, count, rng)
        intensities, numbers = intensity[category], photons[category]
        is_known, patterns = known[category], pattern[category]
        is_wrong = (patterns == WRONG).astype(np.uint8)
        random = np.flatnonzero(patterns == BOTH)
        false = np.flatnonzero(is_afterpulse)
        if len(false):
            which = _draw(self._dark, len(false), rng)
            intensities[false], numbers[false] = self._dark_meaning[0][which], self._dark_meaning[1][which]
            is_known[false] = 0
            random = np.concatenate([random, false])
        is_wrong[random] = rng.integers(0, 2, len(random), dtype=np.uint8)
        return Measured(alice ^ is_wrong, intensities, numbers, is_known)


def _geometric(probability: float, count: int, rng: np.random.Generator) -> Positions:
    """Trials up to and with the first success, one count of them each."""
    if probability >= 1:
        return np.ones(count, dtype=np.int64)
    # The integer part of an exponential variable is geometric, exactly.
    steps = rng.standard_exponential(count)
    steps *= -1 / np.log1p(-probability)
    gaps = np.minimum(steps, 2.0**53).astype(np.int64)
    gaps += 1
    return gaps


def _draw(weights: np.ndarray[tuple[int], np.dtype[np.float64]], count: int, rng: np.random.Generator) -> Bits:
    """Independent draws of categories: their numbers first, then the order, which is faster and the same."""
    if count == 0:
        return np.empty(0, dtype=np.uint8)
    counts = rng.multinomial(count, weights / weights.sum())
    drawn = np.repeat(np.arange(len(weights), dtype=np.uint8), counts)
    rng.shuffle(drawn)
    return drawn
