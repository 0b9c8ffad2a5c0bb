"""A QKD section's fibre and devices, as parameters. Shapes of the arrays that the other modules exchange."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kms.sources.qkd.bounds.asymptotic import Line

Bits = NDArray[np.uint8]  # one bit per element, 0 or 1
Positions = NDArray[np.int64]

# How long, on average, a trap in the detector's diode stays filled after an avalanche: about a microsecond.
AFTERPULSE_DECAY_S = 1e-6


@dataclass(frozen=True)
class ChannelParameters:
    """One section's fibre and devices. ValueError names the field that cannot be.

    ``dark_count_probability`` is Y0, per gate and for both detectors together; ``misalignment`` the probability that a
    photon goes to the wrong detector; ``afterpulse_probability`` that a detection is followed by a false one, once the
    ``dead_time_us`` in which both detectors are switched off is over. ``error_correction_efficiency`` is the f that
    forecasts count with (blocks are cut by what really leaked), ``abort_qber`` the error rate above which the section
    stops.
    """

    length_km: float
    attenuation_db_per_km: float = 0.2
    pulse_rate_hz: float = 10_000_000.0
    detector_efficiency: float = 0.2
    dark_count_probability: float = 1e-6
    misalignment: float = 0.015
    afterpulse_probability: float = 0.005
    dead_time_us: float = 1.0
    error_correction_efficiency: float = 1.16
    abort_qber: float = 0.11

    def __post_init__(self) -> None:
        for name in ("length_km", "attenuation_db_per_km", "dead_time_us"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a number that is not negative")
        for name in ("dark_count_probability", "misalignment", "afterpulse_probability"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise ValueError(f"{name} must lie between 0 and 0.5")
        if not 0 < self.detector_efficiency <= 1:
            raise ValueError("detector_efficiency must be above 0 and at most 1")
        if not 0 < self.pulse_rate_hz <= 1e12:
            raise ValueError("pulse_rate_hz must be above 0 and at most 1e12")
        if not 1 <= self.error_correction_efficiency <= 2:
            raise ValueError("error_correction_efficiency must lie between 1 and 2")
        if not 0 < self.abort_qber <= 0.11:
            raise ValueError("abort_qber must be above 0 and at most 0.11, where BB84 ends to give key")

    @property
    def fibre_transmittance(self) -> float:
        return float(10 ** (-self.attenuation_db_per_km * self.length_km / 10))

    @property
    def transmittance(self) -> float:
        """Probability that a photon that was sent is detected: eta of the formulas."""
        return self.fibre_transmittance * self.detector_efficiency

    @property
    def line(self) -> Line:
        """What the formulas of :mod:`kms.sources.qkd.bounds.asymptotic` see: no dead time, no afterpulses."""
        return Line(self.transmittance, self.dark_count_probability, self.misalignment)

    @property
    def dead_gates(self) -> int:
        """Gates after a detection in which there can be no other."""
        # What binary fractions add to 1e-6 s * 1e7 Hz must not cost a gate.
        return int(np.ceil(round(self.dead_time_us * 1e-6 * self.pulse_rate_hz, 6)))

    @property
    def trap_survival(self) -> float:
        """Probability that a trap that was to give an afterpulse lasts one gate longer."""
        return float(np.exp(-1 / (AFTERPULSE_DECAY_S * self.pulse_rate_hz)))
