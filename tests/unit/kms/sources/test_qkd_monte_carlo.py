"""The Monte Carlo against exact statistics and against drawing every single pulse.

Seeds are fixed, so a test either always passes or never does; three sigma are asked for where a value is compared with
theory. With fresh seeds one comparison in 370 would fail by chance, which is why they are not fresh.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.clicks import Clock, click_statistics, expected
from kms.sources.qkd.link.monte_carlo import QuantumChannel
from kms.sources.qkd.link.settings import SourceSettings
from kms.sources.qkd.modes import AttackKind

SETTINGS = SourceSettings(0.5, 0.1, 0.5, 0.3, 0.5)
PERFECT = ChannelParameters(
    0.0, detector_efficiency=1.0, dark_count_probability=0.0, misalignment=0.0, afterpulse_probability=0.0,
    dead_time_us=0.0,
)  # fmt: skip
PLAIN = {"afterpulse_probability": 0.0, "dead_time_us": 0.0}
INTERCEPT, SPLIT, BEAM = AttackKind.INTERCEPT_RESEND, AttackKind.PHOTON_NUMBER_SPLITTING, AttackKind.BEAM_SPLITTING


def within(observed: float, expected_: float, trials: float, sigmas: float = 3.0) -> bool:
    """Of a share observed in so many independent trials."""
    return abs(observed - expected_) <= sigmas * math.sqrt(max(expected_ * (1 - expected_), 1e-12) / trials)


class Run:
    """So many pulses through a channel, every detection measured in Alice's basis."""

    def __init__(self, channel: ChannelParameters, pulses: int, attack: Attack = NO_ATTACK, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        line = QuantumChannel(channel, SETTINGS, attack)
        self.pulses = pulses
        self.detections = line.send(pulses, rng)
        self.alice = rng.integers(0, 2, len(self.detections.positions), dtype=np.uint8)
        self.measured = line.measure(self.alice, self.detections.is_afterpulse, rng)
        self.counts = np.bincount(self.measured.intensities, minlength=3)
        wrong = self.measured.bits != self.alice
        self.errors = np.bincount(self.measured.intensities[wrong], minlength=3)

    @property
    def qber(self) -> float:
        return float(self.errors.sum() / self.counts.sum())


CHANNELS = {
    "0 km": ChannelParameters(0.0, **PLAIN),
    "50 km": ChannelParameters(50.0, **PLAIN),
    "100 km, dark": ChannelParameters(100.0, dark_count_probability=1e-4, **PLAIN),
    "afterpulses": ChannelParameters(10.0, afterpulse_probability=0.1, dead_time_us=0.0),
    "dead time": ChannelParameters(10.0, afterpulse_probability=0.0, dead_time_us=3.0),
    "both, fast": ChannelParameters(25.0, pulse_rate_hz=1e9, afterpulse_probability=0.3, dead_time_us=0.1),
}
ATTACKS = {
    "nobody": NO_ATTACK, "half intercepted": Attack(INTERCEPT, 0.5), "all split": Attack(SPLIT, 1.0),
    "a third split": Attack(SPLIT, 0.3), "beam split": Attack(BEAM, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("channel", CHANNELS)
def test_gains_and_error_rates_are_within_three_sigma_of_theory(channel: str, attack: str) -> None:
    theory = expected(CHANNELS[channel], SETTINGS, ATTACKS[attack])
    pulses = int(300_000 / theory.detections)
    run = Run(CHANNELS[channel], pulses, ATTACKS[attack], seed=7)
    sent = pulses * SETTINGS.shares
    for intensity in range(3):
        # Dead time only narrows the spread of counts, so the binomial one is on the safe side.
        assert within(run.counts[intensity] / sent[intensity], theory.gains[intensity], sent[intensity])
        detected = int(run.counts[intensity])
        assert within(run.errors[intensity] / max(1, detected), theory.error_rates[intensity], max(1, detected))


@pytest.mark.parametrize("length_km", [0.0, 50.0, 100.0])
def test_theory_is_that_of_the_formulas(length_km: float) -> None:
    channel = ChannelParameters(length_km, **PLAIN)
    theory = expected(channel, SETTINGS)
    for mean, gain, error_rate in zip(SETTINGS.means, theory.gains, theory.error_rates, strict=True):
        assert gain == pytest.approx(channel.line.gain(mean), rel=1e-5)
        assert error_rate == pytest.approx(channel.line.error_rate(mean), rel=2e-3)


def every_pulse(channel: ChannelParameters, pulses: int, rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
    """The same physics drawn pulse by pulse, photon by photon: detections and errors by intensity, signal doubles."""
    intensity = rng.choice(3, pulses, p=SETTINGS.shares)
    photons = rng.poisson(SETTINGS.means[intensity])
    detected = rng.binomial(photons, channel.transmittance)
    wrong = rng.binomial(detected, channel.misalignment)
    dark = 1 - math.sqrt(1 - channel.dark_count_probability)
    right_clicks = (detected - wrong > 0) | (rng.random(pulses) < dark)
    wrong_clicks = (wrong > 0) | (rng.random(pulses) < dark)
    double = right_clicks & wrong_clicks
    error = np.where(double, rng.random(pulses) < 0.5, wrong_clicks)
    click = right_clicks | wrong_clicks
    return (
        np.bincount(intensity[click], minlength=3),
        int(np.count_nonzero(error & click)),
        int(np.count_nonzero(click & (photons > 1))),
    )


def test_drawing_detections_alone_is_drawing_every_pulse() -> None:
    channel = ChannelParameters(3.0, detector_efficiency=0.7, dark_count_probability=2e-3, misalignment=0.05, **PLAIN)
    pulses = 400_000
    counts, errors, several = every_pulse(channel, pulses, np.random.default_rng(2))
    run = Run(channel, pulses, seed=3)
    for ours, theirs in zip(run.counts, counts, strict=True):
        assert abs(int(ours) - int(theirs)) <= 3 * math.sqrt(int(ours) + int(theirs))
    assert abs(int(run.errors.sum()) - errors) <= 3 * math.sqrt(2 * errors)
    assert abs(int(np.count_nonzero(run.measured.photons == 2)) - several) <= 3 * math.sqrt(2 * several)


class TestDetectors:
    def test_no_two_detections_within_the_dead_time(self) -> None:
        channel = ChannelParameters(0.0, dead_time_us=2.0)
        gaps = np.diff(Run(channel, 2_000_000).detections.positions)
        assert gaps.min() > channel.dead_gates == 20

    def test_positions_are_those_of_pulses_that_were_sent(self) -> None:
        run = Run(PERFECT, 1_000)
        positions = run.detections.positions
        assert positions[0] >= 0
        assert positions[-1] < 1_000
        assert (np.diff(positions) > 0).all()

    def test_afterpulses_come_as_often_as_stated(self) -> None:
        channel = ChannelParameters(50.0, afterpulse_probability=0.2, dead_time_us=1.0)
        run = Run(channel, 30_000_000)
        clock = Clock.of(channel, click_statistics(channel, SETTINGS))
        detections = len(run.detections.positions)
        assert within(float(run.detections.is_afterpulse.mean()), clock.afterpulse_share, detections)
        # Nearly every filled trap shows, since real detections are far between.
        assert clock.afterpulse_share == pytest.approx(0.2, rel=0.1)

    def test_darkness_and_blindness(self) -> None:
        dark = ChannelParameters(10_000.0, dark_count_probability=0.05, **PLAIN)
        run = Run(dark, 400_000)
        assert within(run.counts.sum() / 400_000, 0.05, 400_000)
        assert within(run.qber, 0.5, run.counts.sum())
        nothing = ChannelParameters(10_000.0, dark_count_probability=0.0)
        assert Run(nothing, 1_000_000).counts.sum() == 0

    def test_without_noise_or_eavesdropper_there_are_no_errors(self) -> None:
        assert Run(PERFECT, 200_000).qber == 0.0


class TestEavesdropper:
    @pytest.mark.parametrize("fraction", [0.1, 0.4, 1.0])
    def test_intercepting_a_fraction_f_adds_errors_of_f_over_four(self, fraction: float) -> None:
        lossy = ChannelParameters(20.0, dark_count_probability=0.0, misalignment=0.0, **PLAIN)
        run = Run(lossy, 30_000_000, Attack(INTERCEPT, fraction))
        assert run.counts.sum() > 100_000
        assert within(run.qber, fraction / 4, run.counts.sum())
        assert within(float(run.measured.is_known.mean()), fraction / 2, run.counts.sum())

    def test_photon_number_splitting_shows_in_the_decoys_alone(self) -> None:
        channel = ChannelParameters(60.0, dark_count_probability=0.0, **PLAIN)
        quiet, tapped = expected(channel, SETTINGS), expected(channel, SETTINGS, Attack(SPLIT, 1.0))
        assert tapped.gains[0] == pytest.approx(quiet.gains[0], rel=1e-6)
        assert tapped.error_rates[0] == pytest.approx(quiet.error_rates[0], rel=1e-2)
        assert tapped.gains[1] < 0.3 * quiet.gains[1]
        run = Run(channel, 30_000_000, Attack(SPLIT, 1.0))
        assert run.measured.is_known.all()  # and without decoys all of it would have passed for secret

    def test_beam_splitting_shows_nowhere_and_gains_the_pulses_of_several_photons(self) -> None:
        channel = ChannelParameters(30.0)
        quiet, tapped = expected(channel, SETTINGS), expected(channel, SETTINGS, Attack(BEAM, 1.0))
        np.testing.assert_allclose(tapped.gains, quiet.gains, rtol=1e-12)
        np.testing.assert_allclose(tapped.error_rates, quiet.error_rates, rtol=1e-12)
        run = Run(channel, 5_000_000, Attack(BEAM, 1.0))
        real = run.detections.is_afterpulse == 0
        assert ((run.measured.photons[real] == 2) == (run.measured.is_known[real] == 1)).all()

    @pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan])
    def test_a_fraction_is_a_share(self, fraction: float) -> None:
        with pytest.raises(ValueError, match="fraction"):
            Attack(INTERCEPT, fraction)
