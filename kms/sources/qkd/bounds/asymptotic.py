"""Decoy-state BB84 with infinitely many pulses: gains, error rates and key rates per pulse.

Ma, Qi, Zhao and Lo, "Practical decoy state for quantum key distribution", PRA 72, 012326 (2005). ``eta`` is the
transmittance with the detector, ``y0`` the dark count probability of a gate, ``e_d`` the misalignment, ``mu`` the mean
photon number of the signal, ``nu`` that of the weak decoy. Rates are secret bits per pulse sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kms.sources.qkd.bounds.entropy import binary_entropy

SIFTING = 0.5  # q: both bases equally likely
_GRID = 200


@dataclass(frozen=True)
class Line:
    """The three numbers that the formulas see of a section."""

    eta: float
    y0: float
    e_d: float

    def gain(self, mu: float) -> float:
        """Q_mu, eq. 10: the probability that a pulse of mean photon number ``mu`` gives a detection."""
        return self.y0 - math.expm1(-self.eta * mu)

    def error_rate(self, mu: float) -> float:
        """E_mu, eq. 11: the share of wrong bits among them; 1/2 when nothing is ever detected."""
        gain = self.gain(mu)
        return (self.y0 / 2 - self.e_d * math.expm1(-self.eta * mu)) / gain if gain > 0 else 0.5


@dataclass(frozen=True)
class SinglePhotons:
    """What is known of pulses that held one photon: their yield (at least) and error rate (at most)."""

    yield_: float
    error_rate: float

    def gain(self, mu: float) -> float:
        """Q_1, eq. 8."""
        return self.yield_ * mu * math.exp(-mu)


def infinite_decoy(line: Line) -> SinglePhotons:
    """Every yield known exactly: eqs. 5 and 9 for one photon."""
    yield_ = line.y0 + line.eta
    return SinglePhotons(yield_, (line.y0 / 2 + line.e_d * line.eta) / yield_ if yield_ > 0 else 0.5)


def vacuum_weak(line: Line, mu: float, nu: float) -> SinglePhotons:
    """Bounds from a vacuum and one weak decoy state: eqs. 34 and 37."""
    if not 0 < nu < mu:
        raise ValueError(f"the decoy's mean photon number must lie between 0 and the signal's {mu:g}, not at {nu:g}")
    decoy = line.gain(nu) * math.exp(nu)
    signal = line.gain(mu) * math.exp(mu)
    yield_ = mu / (mu * nu - nu**2) * (decoy - signal * (nu / mu) ** 2 - (1 - (nu / mu) ** 2) * line.y0)
    if yield_ <= 0:
        return SinglePhotons(0.0, 0.5)
    return SinglePhotons(yield_, min(0.5, (line.error_rate(nu) * decoy - line.y0 / 2) / (yield_ * nu)))


def key_rate(line: Line, mu: float, efficiency: float, single: SinglePhotons) -> float:
    """R, eq. 1 (Gottesman, Lo, Lütkenhaus and Preskill): negative where no key can be had.

    ``efficiency`` is f of the reconciliation: disclosed bits over Shannon's limit, at least 1.
    """
    secret = single.gain(mu) * (1 - binary_entropy(single.error_rate))
    return SIFTING * (secret - line.gain(mu) * efficiency * binary_entropy(line.error_rate(mu)))


def optimal_signal(line: Line, efficiency: float) -> float:
    """The mean photon number with the highest infinite-decoy rate, on a grid of hundredths."""
    single = infinite_decoy(line)
    return max((n / 100 for n in range(1, _GRID)), key=lambda mu: key_rate(line, mu, efficiency, single))
