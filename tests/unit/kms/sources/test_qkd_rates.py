"""Analytic key rates of decoy-state BB84: published vectors, an independent package, and what must hold of bounds."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from kms.sources.qkd import cow
from kms.sources.qkd.bounds import asymptotic, finite
from kms.sources.qkd.bounds.asymptotic import Line, infinite_decoy, key_rate, vacuum_weak
from kms.sources.qkd.bounds.entropy import binary_entropy
from kms.sources.qkd.forecast import attacked_rate, expected_qber, forecast_rate, sustainable_bps
from kms.sources.qkd.link.attacks import Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.clicks import click_statistics, expected
from kms.sources.qkd.link.settings import SourceSettings, optimal_settings
from kms.sources.qkd.modes import AttackKind, Protocol

# Gobby, Yuan and Shields 2004, as Ma et al. 2005 use it.
MU, NU, F = 0.48, 0.05, 1.22
DISTANCES = (0, 50, 100, 140)


def gys(length_km: float) -> Line:
    return Line(eta=0.045 * 10 ** (-0.21 * length_km / 10), y0=1.7e-6, e_d=0.033)


def gys_rate(length_km: float, nu: float | None = None) -> float:
    line = gys(length_km)
    return key_rate(line, MU, F, infinite_decoy(line) if nu is None else vacuum_weak(line, MU, nu))


def cut_off_km(nu: float | None = None) -> float:
    low, high = 100.0, 200.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if gys_rate(middle, nu) > 0 else (low, middle)
    return low


class TestGoldenVectors:
    def test_at_no_distance(self) -> None:
        line = gys(0)
        assert f"{line.gain(MU):.5e}" == "2.13701e-02"
        assert f"{100 * line.error_rate(MU):.4f}" == "3.3037"
        assert f"{infinite_decoy(line).gain(MU):.5e}" == "1.33662e-02"
        assert f"{gys_rate(0):.3e}" == "2.555e-03"

    def test_the_single_photons_gain_in_fifty_digits(self) -> None:
        """1.33662e-2 follows from the parameters three ways; the 1.33670e-2 found elsewhere from none."""
        with localcontext(prec=50):
            eta, y0, mu = Decimal("0.045"), Decimal("1.7e-6"), Decimal("0.48")
            gain = y0 + 1 - (-eta * mu).exp()
            closed = (y0 + eta) * mu * (-mu).exp()
            poisson = [(-mu).exp() * mu**n / math.factorial(n) for n in range(60)]
            rest = gain - sum(p * (y0 + 1 - (1 - eta) ** n) for n, p in enumerate(poisson) if n != 1)
            nu = Decimal("1e-9")  # a decoy so weak that its bound is the truth
            decoy = y0 * (nu.exp() - 1) + nu.exp() * (1 - (-eta * nu).exp())
            coincidence = (y0 + eta - y0 * eta) * mu * (-mu).exp()  # a dark count in the gate of a photon counted once
            assert abs(closed - rest) < Decimal("1e-45")
            for way in (closed, rest, decoy / nu * mu * (-mu).exp(), coincidence):
                assert f"{way:.5e}" == "1.33662e-2"
            # The other figure would need 2.5 times the stated Y0, and that the stated gain excludes.
            needed_y0 = Decimal("1.33670e-2") / (mu * (-mu).exp()) - eta
            assert Decimal("2.4") < needed_y0 / y0 < Decimal("2.7")
            assert f"{gain:.5e}" == "2.13701e-2"
            assert f"{gain - y0 + needed_y0:.5e}" == "2.13727e-2"

    @pytest.mark.parametrize(
        ("length_km", "rate", "qber"),
        [(50, "2.226e-04", "3.34"), (100, "1.718e-05", "3.76"), (140, "2.465e-07", "6.30")],
    )
    def test_over_distance(self, length_km: int, rate: str, qber: str) -> None:
        assert f"{gys_rate(length_km):.3e}" == rate
        assert f"{100 * gys(length_km).error_rate(MU):.2f}" == qber

    def test_where_the_rate_ends(self) -> None:
        assert f"{cut_off_km():.1f}" == "142.0"
        assert f"{cut_off_km(NU):.1f}" == "140.6"

    def test_the_optimal_signal_is_that_of_the_paper(self) -> None:
        assert asymptotic.optimal_signal(gys(0), F) == pytest.approx(0.48, abs=0.015)


@pytest.mark.parametrize("length_km", DISTANCES)
def test_gain_and_error_rate_agree_with_an_independent_package(length_km: int) -> None:
    bb84 = pytest.importorskip("tno.quantum.communication.qkd_key_rate.quantum.bb84", reason="in the extra `dev`")
    from tno.quantum.communication.qkd_key_rate.quantum import standard_detector

    detector = standard_detector.customise(
        dark_count_rate=1.7e-6 / 2, polarization_drift=math.asin(math.sqrt(0.033)), error_detector=0,
        efficiency_party=0.045,
    )  # fmt: skip
    gain, qber = bb84.compute_gain_and_error_rate(detector, MU, 0.21 * length_km)
    assert gys(length_km).gain(MU) == pytest.approx(float(gain[0]), rel=1e-4)
    assert gys(length_km).error_rate(MU) == pytest.approx(float(qber[0]), rel=1e-4)
    # The click table has no approximation in it: it must agree to more digits than the formulas above do.
    channel = ChannelParameters(
        length_km, 0.21, detector_efficiency=0.045, dark_count_probability=1.7e-6, misalignment=0.033
    )
    exact = click_statistics(channel, SourceSettings(MU, NU))
    assert exact.gains()[0] == pytest.approx(float(gain[0]), rel=1e-6)
    assert exact.error_rates()[0] == pytest.approx(float(qber[0]), rel=1e-6)


class TestDecoyBounds:
    @pytest.mark.parametrize("nu", [0.01, 0.05, 0.1, 0.3])
    @pytest.mark.parametrize("length_km", DISTANCES)
    def test_vacuum_and_weak_decoy_bound_the_truth(self, length_km: int, nu: float) -> None:
        line = gys(length_km)
        truth, bound = infinite_decoy(line), vacuum_weak(line, MU, nu)
        assert bound.yield_ <= truth.yield_
        assert bound.error_rate >= truth.error_rate

    def test_a_weaker_decoy_bounds_tighter(self) -> None:
        yields = [vacuum_weak(gys(50), MU, nu).yield_ for nu in (0.3, 0.1, 0.03, 0.01)]
        assert yields == sorted(yields)

    @pytest.mark.parametrize("nu", [0.0, MU, 0.6])
    def test_a_decoy_must_be_weaker_than_the_signal(self, nu: float) -> None:
        with pytest.raises(ValueError, match="between 0 and the signal"):
            vacuum_weak(gys(0), MU, nu)


def counts_of(channel: ChannelParameters, settings: SourceSettings, detections: float) -> finite.Counts:
    """The counts that come in the mean."""
    clicks = click_statistics(channel, settings)
    per_intensity = settings.shares * clicks.gains()
    per_intensity *= detections / per_intensity.sum()
    key, test = per_intensity * settings.key_basis**2, per_intensity * (1 - settings.key_basis) ** 2
    return finite.Counts(key, test, test * clicks.error_rates())


class TestFiniteKeys:
    CHANNEL = ChannelParameters(30.0)
    SETTINGS = SourceSettings(0.5, 0.1, 0.5, 0.3, 0.8)

    def bounds(self, detections: float) -> finite.Bounds:
        counts = counts_of(self.CHANNEL, self.SETTINGS, detections)
        return finite.bounds(counts, self.SETTINGS.means, self.SETTINGS.shares)

    def test_the_bounds_by_hand(self) -> None:
        mu, p = (0.5, 0.1, 0.0), (0.6, 0.3, 0.1)
        settings = SourceSettings(0.5, 0.1, 0.6, 0.3, 0.8)
        counts = counts_of(ChannelParameters(60.0, dark_count_probability=1e-4), settings, 1e8)
        found = finite.bounds(counts, np.array(mu), np.array(p), epsilon=1e-10)

        def corrected(n: np.ndarray, k: int, sign: int) -> float:
            return math.exp(mu[k]) / p[k] * (float(n[k]) + sign * math.sqrt(n.sum() / 2 * math.log(21e10)))

        def tau(n: int) -> float:
            return sum(math.exp(-m) * m**n / math.factorial(n) * q for m, q in zip(mu, p, strict=True))

        def vacuum(n: np.ndarray) -> float:
            return tau(0) * (mu[1] * corrected(n, 2, -1) - mu[2] * corrected(n, 1, 1)) / (mu[1] - mu[2])

        def single(n: np.ndarray) -> float:
            inner = corrected(n, 1, -1) - corrected(n, 2, 1)
            inner -= (mu[1] ** 2 - mu[2] ** 2) / mu[0] ** 2 * (corrected(n, 0, 1) - vacuum(n) / tau(0))
            return tau(1) * mu[0] * inner / (mu[0] * (mu[1] - mu[2]) - mu[1] ** 2 + mu[2] ** 2)

        s0, s1, z1 = vacuum(counts.key), single(counts.key), single(counts.test)
        errors = counts.test_errors
        v = tau(1) * (corrected(errors, 1, 1) - corrected(errors, 2, -1)) / (mu[1] - mu[2])
        b = v / z1
        gamma = math.sqrt(
            (z1 + s1) * (1 - b) * b / (z1 * s1 * math.log(2))
            * math.log2((z1 + s1) / (z1 * s1 * (1 - b) * b) * 21**2 / 1e-20)
        )  # fmt: skip
        assert float(found.vacuum) == pytest.approx(s0)
        assert float(found.single) == pytest.approx(s1)
        assert float(found.phase_error) == pytest.approx(b + gamma)
        leak = 0.2 * float(counts.key.sum())
        by_hand = s0 + s1 * (1 - binary_entropy(b + gamma)) - leak - 6 * math.log2(21e10) - math.log2(2e15)
        assert float(finite.secret_length(found, leak)) == pytest.approx(by_hand)

    def test_large_blocks_come_near_the_decoy_bounds_of_infinite_ones(self) -> None:
        block = 1e15
        found = self.bounds(block)
        line = self.CHANNEL.line
        ideal = vacuum_weak(line, self.SETTINGS.signal, self.SETTINGS.decoy)
        counts = counts_of(self.CHANNEL, self.SETTINGS, block)
        pulses = block / (self.SETTINGS.shares @ click_statistics(self.CHANNEL, self.SETTINGS).gains())
        one = float(np.sum(np.exp(-self.SETTINGS.means) * self.SETTINGS.means * self.SETTINGS.shares))
        assert float(found.single) == pytest.approx(ideal.yield_ * one * pulses * self.SETTINGS.key_basis**2, rel=1e-3)
        assert float(found.phase_error) == pytest.approx(ideal.error_rate, rel=1e-2)
        assert found.single < counts.key.sum()

    def test_longer_blocks_give_more_of_each_bit(self) -> None:
        shares = [float(self.bounds(n).secret) / n for n in (1e5, 1e6, 1e7, 1e9, 1e12)]
        assert shares == sorted(shares)

    def test_nothing_is_proven_by_nothing(self) -> None:
        none = np.zeros(3)
        found = finite.bounds(finite.Counts(none, none, none), self.SETTINGS.means, self.SETTINGS.shares)
        assert (float(found.secret), float(found.phase_error)) == (0.0, 0.5)
        assert float(finite.secret_length(found, 0.0)) == 0.0


class TestSettings:
    @pytest.mark.parametrize(
        ("fields", "name"),
        [({"decoy": 0.5}, "decoy"), ({"signal": 2.5}, "decoy"), ({"signal_share": 0.9, "decoy_share": 0.1}, "share"),
         ({"decoy_share": 0.0}, "share"), ({"key_basis": 1.0}, "key_basis")],
    )  # fmt: skip
    def test_impossible_ones_are_refused_by_name(self, fields: dict[str, float], name: str) -> None:
        with pytest.raises(ValueError, match=name):
            SourceSettings(**fields)

    @pytest.mark.parametrize("length_km", [5.0, 30.0, 80.0])
    def test_the_best_is_no_worse_than_the_usual(self, length_km: float) -> None:
        channel = ChannelParameters(length_km)
        best = optimal_settings(channel, 1 << 20)
        usual = SourceSettings(0.5, 0.1, 0.7, 0.2, 0.8)

        def secret(settings: SourceSettings) -> float:
            bound = finite.bounds(counts_of(channel, settings, 1 << 20), settings.means, settings.shares)
            gain = float(settings.shares @ click_statistics(channel, settings).gains())
            return float(bound.secret) * gain

        assert secret(best) >= secret(usual)


class TestForecast:
    CHANNEL = ChannelParameters(30.0)

    def test_distance_and_errors_cost_key(self) -> None:
        by_distance = [forecast_rate(ChannelParameters(km), 0.015) for km in (0.0, 20.0, 60.0, 120.0)]
        assert by_distance == sorted(by_distance, reverse=True)
        by_error = [forecast_rate(self.CHANNEL, e / 100) for e in range(12)]
        assert by_error == sorted(by_error, reverse=True)
        assert by_error[11] == 0

    def test_dead_time_bounds_the_rate(self) -> None:
        fast = ChannelParameters(10.0, pulse_rate_hz=1e9, dead_time_us=10.0)
        settings = optimal_settings(fast, 1 << 19)
        detections = expected(fast, settings).detections * fast.pulse_rate_hz
        assert 0.9e5 < detections < 1e5  # 10 us of dead time allow 100,000 a second at most
        assert 0 < forecast_rate(fast, 0.02) < detections

    def test_an_attack_costs_what_the_counts_then_prove(self) -> None:
        quiet = attacked_rate(self.CHANNEL, Attack())
        assert quiet == pytest.approx(forecast_rate(self.CHANNEL, expected_qber(self.CHANNEL, Protocol.BB84)), rel=1e-6)
        assert 0 < attacked_rate(self.CHANNEL, Attack(fraction=0.05)) < quiet
        assert attacked_rate(self.CHANNEL, Attack(AttackKind.PHOTON_NUMBER_SPLITTING, 1.0)) == 0
        assert attacked_rate(self.CHANNEL, Attack(AttackKind.BEAM_SPLITTING, 1.0)) == pytest.approx(quiet)


class TestCow:
    def test_the_rate_is_what_devices_report_and_falls_with_errors(self) -> None:
        clavis = ChannelParameters(60.0, pulse_rate_hz=1.25e9, detector_efficiency=0.1, dead_time_us=50.0)
        rate = cow.rate_bps(clavis, cow.qber(clavis))
        assert 1_000 < rate < 20_000
        assert cow.rate_bps(clavis, 0.11) < rate
        assert sustainable_bps(clavis, Protocol.COW, 1, cow.qber(clavis)) == rate
        assert expected_qber(clavis, Protocol.COW) == cow.qber(clavis)


@pytest.mark.parametrize(
    "field",
    [{"length_km": -1.0}, {"length_km": math.nan}, {"length_km": 1.0, "attenuation_db_per_km": -0.2},
     {"length_km": 1.0, "detector_efficiency": 1.1}, {"length_km": 1.0, "detector_efficiency": 0.0},
     {"length_km": 1.0, "misalignment": 0.6}, {"length_km": 1.0, "dark_count_probability": -1e-6},
     {"length_km": 1.0, "afterpulse_probability": 0.7}, {"length_km": 1.0, "dead_time_us": -1.0},
     {"length_km": 1.0, "pulse_rate_hz": 0.0}, {"length_km": 1.0, "error_correction_efficiency": 0.9},
     {"length_km": 1.0, "abort_qber": 0.2}],
)  # fmt: skip
def test_impossible_parameters_are_refused_by_name(field: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=list(field)[-1]):
        ChannelParameters(**field)
