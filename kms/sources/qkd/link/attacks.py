"""What an eavesdropper with perfect devices can do to the pulses on their way, as probabilities.

An attack turns a pulse of n photons into what reaches Bob, with what probability, and whether Eve then knows the bit
(once the bases are told). It is described for a pulse that Bob measures in Alice's basis: others are thrown away.

``intercept-resend``: she measures in a basis that she guesses and resends what she saw, as many photons as there
were. Half of her guesses are wrong; then Bob's bit is random: an error rate of fraction / 4.

``photon-number-splitting``: she counts the photons without disturbing them, keeps one of two or more until the bases
are told, and sends the rest over a lossless line; single photons she stops, as many as it takes to keep Bob's rate of
signals. No error betrays her, but the decoys' rate does: they hold fewer photons.

``beam-splitting``: she replaces the fibre by a lossless one and takes what it would have lost. Bob sees no difference
at all. She knows at most the bits of pulses with several photons, which the decoy bounds give up anyway.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.modes import AttackKind

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Attack:
    """``fraction`` of the pulses is attacked; 0 means nobody is there."""

    kind: AttackKind = AttackKind.INTERCEPT_RESEND
    fraction: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise ValueError("fraction must lie between 0 and 1")


NO_ATTACK = Attack()


@dataclass(frozen=True)
class Fate:
    """One of the things that can happen to a pulse, by its number of photons (array index).

    With ``probability`` it reaches Bob as ``photons``, each detected with ``efficiency``; ``is_random`` when the
    detector that clicks does not depend on Alice's bit; ``is_known`` when Eve learns the bit.
    """

    probability: Floats
    photons: NDArray[np.int64]
    efficiency: float
    is_random: bool = False
    is_known: bool = False


def fates(channel: ChannelParameters, attack: Attack, signal_mean: float, photons: NDArray[np.int64]) -> list[Fate]:
    """Every fate of pulses with ``photons`` photons; their probabilities add up to 1 for each number."""
    through_fibre = channel.transmittance
    untouched = Fate(np.full(len(photons), 1.0 - attack.fraction), photons, through_fibre)
    if attack.fraction == 0:
        return [untouched]
    each = np.full(len(photons), attack.fraction)
    match attack.kind:
        case AttackKind.INTERCEPT_RESEND:
            right = Fate(each / 2, photons, through_fibre, is_known=True)
            wrong = Fate(each / 2, photons, through_fibre, is_random=True)
            return [untouched, right, wrong]
        case AttackKind.BEAM_SPLITTING:
            alone = Fate(np.where(photons < 2, each, 0.0), photons, through_fibre)
            split = Fate(np.where(photons < 2, 0.0, each), photons, through_fibre, is_known=True)
            return [untouched, alone, split]
        case AttackKind.PHOTON_NUMBER_SPLITTING:
            single, several = _passed(channel, signal_mean, photons)
            passes = np.where(photons == 1, single, np.where(photons > 1, several, 0.0))
            left = np.maximum(photons - 1, 0)
            none = np.zeros_like(photons)
            return [
                untouched,
                Fate(each * (1 - passes), none, 0.0),
                Fate(np.where(photons == 1, each * passes, 0.0), photons, channel.detector_efficiency),
                Fate(np.where(photons > 1, each * passes, 0.0), left, channel.detector_efficiency, is_known=True),
            ]


def poisson(mean: float, photons: NDArray[np.int64]) -> Floats:
    """Probability of so many photons in a weak coherent pulse."""
    factorials = np.array([math.factorial(int(n)) for n in photons], dtype=np.float64)
    return np.asarray(np.exp(-mean) * mean**photons / factorials)


def _passed(channel: ChannelParameters, signal_mean: float, photons: NDArray[np.int64]) -> tuple[float, float]:
    """Shares of single-photon and of multi-photon pulses that she lets pass so that Bob's signal rate stays."""
    weight = poisson(signal_mean, photons)
    wanted = -math.expm1(-channel.transmittance * signal_mean)
    several = photons > 1
    from_several = float(np.sum((weight * -np.expm1((photons - 1) * np.log1p(-_below_one(channel))))[several]))
    if from_several >= wanted:
        return 0.0, wanted / from_several
    from_single = float(weight[photons == 1][0]) * channel.detector_efficiency
    return min(1.0, (wanted - from_several) / from_single), 1.0


def _below_one(channel: ChannelParameters) -> float:
    return min(channel.detector_efficiency, 1 - 1e-12)
