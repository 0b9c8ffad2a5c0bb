"""A quantum channel and what becomes of the photons sent over it.

What is modelled: Alice sends one photon per pulse in one of the four BB84 states; the fibre loses photons; Bob's
detectors have an efficiency, dark counts and a misalignment; an eavesdropper may measure a fraction of the pulses and
resend what she saw. What is left out: the number of photons is always one (weak coherent pulses and their decoy
states would replace :func:`transmit`'s ``arrived``), afterpulsing, dead time, and detectors that differ.

Arrays hold one element per pulse or per detection: bits and bases as uint8 of 0 or 1, positions as int64. Bases are
0 for rectilinear, 1 for diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class ChannelParameters:
    """One section's fibre and devices. ValueError names the field that cannot be."""

    length_km: float
    attenuation_db_per_km: float = 0.2
    pulse_rate_hz: float = 1_000_000.0
    detector_efficiency: float = 0.2
    dark_count_probability: float = 1e-6  # per gate, both detectors together
    misalignment: float = 0.015  # probability that a photon goes to the wrong detector

    def __post_init__(self) -> None:
        for name in ("length_km", "attenuation_db_per_km"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a number that is not negative")
        for name in ("dark_count_probability", "misalignment"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise ValueError(f"{name} must lie between 0 and 0.5")
        if not 0 < self.detector_efficiency <= 1:
            raise ValueError("detector_efficiency must be above 0 and at most 1")
        if not 0 < self.pulse_rate_hz <= 1e12:
            raise ValueError("pulse_rate_hz must be above 0 and at most 1e12")

    @property
    def transmittance(self) -> float:
        """Probability that a photon that was sent is detected (fibre and detector)."""
        return float(10 ** (-self.attenuation_db_per_km * self.length_km / 10) * self.detector_efficiency)

    @property
    def click_probability(self) -> float:
        """Probability that a pulse gives a detection, a dark count included."""
        return 1 - (1 - self.transmittance) * (1 - self.dark_count_probability)

    @property
    def qber(self) -> float:
        """Expected error rate of the sifted key with nobody on the line."""
        dark_only = (1 - self.transmittance) * self.dark_count_probability
        both = self.transmittance * self.dark_count_probability
        # A dark count alone is right half of the time; together with a photon, in the other detector, likewise.
        wrong = self.transmittance * (1 - self.dark_count_probability) * self.misalignment
        wrong += dark_only / 2 + both * (self.misalignment / 2 + 1 / 4)
        return wrong / self.click_probability


@dataclass(frozen=True)
class Detections:
    """Bob's record: which pulses clicked, and which bit each gave."""

    positions: Positions
    bits: Bits


def transmit(
    bits: Bits,
    bases: Bits,
    bob_bases: Bits,
    channel: ChannelParameters,
    intercepted_fraction: float,
    rng: np.random.Generator,
) -> Detections:
    """Send Alice's pulses and measure them in Bob's bases. ``rng`` is nature, not a secret."""
    count = len(bits)
    arrived = rng.random(count, dtype=np.float32) < channel.transmittance
    dark = np.zeros(count, dtype=bool)
    dark[rng.integers(0, count, rng.binomial(count, channel.dark_count_probability))] = True
    positions = np.flatnonzero(arrived | dark).astype(np.int64)

    # From here on only the pulses that are detected: the others leave no trace.
    sent_bits, sent_bases = bits[positions], bases[positions]
    if intercepted_fraction > 0:
        sent_bits, sent_bases = _intercept_and_resend(sent_bits, sent_bases, intercepted_fraction, rng)
    measured = _measure(sent_bits, sent_bases, bob_bases[positions], channel.misalignment, rng)

    dark_bits = _coins(len(positions), rng)
    photon, dark_here = arrived[positions], dark[positions]
    measured = np.where(photon, measured, dark_bits)
    double_click = photon & dark_here & (dark_bits != measured)
    # Both detectors at once: Bob must not drop it, but note a random bit (squashing).
    measured = np.where(double_click, _coins(len(positions), rng), measured)
    return Detections(positions, measured.astype(np.uint8))


def _measure(bits: Bits, bases: Bits, in_bases: Bits, misalignment: float, rng: np.random.Generator) -> Bits:
    flipped = bits ^ (rng.random(len(bits)) < misalignment)
    return np.where(bases == in_bases, flipped, _coins(len(bits), rng)).astype(np.uint8)


def _intercept_and_resend(bits: Bits, bases: Bits, fraction: float, rng: np.random.Generator) -> tuple[Bits, Bits]:
    """What travels on after an eavesdropper with perfect devices measured ``fraction`` of the pulses.

    She guesses half of the bases wrong, and a photon resent in the wrong basis gives Bob a wrong bit half of the
    time: an error rate of fraction / 4 in the sifted key.
    """
    hers = rng.random(len(bits)) < fraction
    her_bases = _coins(len(bits), rng)
    her_bits = _measure(bits, bases, her_bases, 0.0, rng)
    return np.where(hers, her_bits, bits).astype(np.uint8), np.where(hers, her_bases, bases).astype(np.uint8)


def _coins(count: int, rng: np.random.Generator) -> Bits:
    return rng.integers(0, 2, count, dtype=np.uint8)
