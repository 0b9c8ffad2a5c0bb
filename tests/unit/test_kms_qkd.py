"""BB84: physics against theory, reconciliation, privacy amplification, the whole protocol, and its pace."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from kms.errors import ExchangeError, SectionStoppedError, ShortOfKeyError
from kms.sources.qkd import amplify, protocol
from kms.sources.qkd.cascade import ParityOracle, reconcile
from kms.sources.qkd.channel import ChannelParameters
from kms.sources.qkd.protocol import ABORT_QBER, AUTHENTICATION_BYTES, SiftedRound, Transcript, distil, run_round
from kms.sources.qkd.section import (
    BUDGET_DEPTH_S,
    Distiller,
    KeyBuffer,
    PulseBudget,
    Section,
    SectionState,
    SliceOfWork,
    forecast_rate,
)

CHANNEL = ChannelParameters(length_km=30.0)
PERFECT = ChannelParameters(length_km=0.0, detector_efficiency=1.0, dark_count_probability=0.0, misalignment=0.0)


def nature(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def play(channel: ChannelParameters, pulses: int, fraction: float = 0.0, seed: int = 1) -> SiftedRound:
    return run_round(pulses, channel, fraction, np.random.default_rng(seed + 1000).bytes, nature(seed), Transcript())


def error_rate(sifted: SiftedRound) -> tuple[float, int]:
    """Over kept and disclosed bits together: the rate, and of how many bits."""
    errors = int(np.count_nonzero(sifted.alice != sifted.bob)) + sifted.sample_errors
    bits = len(sifted.alice) + sifted.sample_bits
    return errors / bits, bits


def within(observed: float, expected: float, trials: int, sigmas: float = 4.0) -> bool:
    return abs(observed - expected) <= sigmas * math.sqrt(max(expected * (1 - expected), 1e-12) / trials)


class TestChannel:
    @pytest.mark.parametrize("length_km", [0.0, 30.0, 80.0])
    def test_half_of_the_detections_are_sifted(self, length_km: float) -> None:
        channel = ChannelParameters(length_km)
        pulses = 400_000
        _, sifted = error_rate(play(channel, pulses))
        transmittance = 10 ** (-0.2 * length_km / 10) * 0.2
        assert within(sifted / pulses, transmittance / 2, pulses)

    def test_a_quarter_of_the_sifted_bits_is_disclosed(self) -> None:
        sifted = play(PERFECT, 200_000)
        assert within(sifted.sample_bits / (sifted.sample_bits + len(sifted.alice)), 0.25, 100_000)

    def test_without_noise_or_eavesdropper_there_are_no_errors(self) -> None:
        assert error_rate(play(PERFECT, 50_000))[0] == 0.0

    @pytest.mark.parametrize("fraction", [0.1, 0.4, 1.0])
    def test_intercepting_a_fraction_f_adds_errors_of_f_over_four(self, fraction: float) -> None:
        rate, bits = error_rate(play(PERFECT, 200_000, fraction))
        assert within(rate, fraction / 4, bits)

    def test_dark_counts_alone_give_random_bits(self) -> None:
        dark = ChannelParameters(length_km=1000.0, dark_count_probability=0.05)
        rate, bits = error_rate(play(dark, 400_000))
        assert within(rate, 0.5, bits)
        assert within(bits / 400_000, 0.025, 400_000)

    def test_the_expected_error_rate_is_the_measured_one(self) -> None:
        noisy = ChannelParameters(length_km=60.0, dark_count_probability=5e-4, misalignment=0.03)
        rate, bits = error_rate(play(noisy, 3_000_000))
        assert within(rate, noisy.qber, bits)

    @pytest.mark.parametrize(
        "field", [{"length_km": -1.0}, {"length_km": math.nan}, {"length_km": 1.0, "detector_efficiency": 1.1},
                  {"length_km": 1.0, "detector_efficiency": 0.0}, {"length_km": 1.0, "misalignment": 0.6},
                  {"length_km": 1.0, "pulse_rate_hz": 0.0}, {"length_km": 1.0, "attenuation_db_per_km": -0.2}],
    )  # fmt: skip
    def test_impossible_parameters_are_refused_by_name(self, field: dict[str, float]) -> None:
        with pytest.raises(ValueError, match=list(field)[-1]):
            ChannelParameters(**field)


def noisy_pair(count: int, rate: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = nature(seed)
    alice = rng.integers(0, 2, count, dtype=np.uint8)
    return alice, alice ^ (rng.random(count) < rate).astype(np.uint8)


class TestReconciliation:
    @pytest.mark.parametrize("rate", [0.0, 0.005, 0.03, 0.1])
    @pytest.mark.parametrize("count", [1_000, 50_000])
    def test_bob_ends_with_alices_string(self, rate: float, count: int) -> None:
        alice, bob = noisy_pair(count, rate)
        corrected, errors = reconcile(bob, ParityOracle(alice), rate, nature())
        assert np.array_equal(corrected, alice)
        assert errors == np.count_nonzero(alice != bob)

    def test_a_wrong_estimate_costs_bits_but_not_correctness(self) -> None:
        alice, bob = noisy_pair(20_000, 0.05)
        for estimate in (0.0, 0.01, 0.2):
            corrected, _ = reconcile(bob, ParityOracle(alice), estimate, nature())
            assert np.array_equal(corrected, alice)

    def test_leakage_is_every_parity_told_and_near_the_shannon_limit(self) -> None:
        alice, bob = noisy_pair(100_000, 0.03)
        oracle = ParityOracle(alice)
        reconcile(bob, oracle, 0.03, nature())
        limit = 100_000 * amplify.binary_entropy(0.03)
        assert limit < oracle.disclosed_bits < 1.18 * limit
        # What went over the line is what was counted, but for the padding of each answer to whole bytes.
        assert oracle.disclosed_bits <= 8 * len(oracle.answers)

    def test_bobs_own_string_is_left_alone(self) -> None:
        alice, bob = noisy_pair(1_000, 0.03)
        before = bob.copy()
        reconcile(bob, ParityOracle(alice), 0.03, nature())
        assert np.array_equal(bob, before)


class TestPrivacyAmplification:
    @pytest.mark.parametrize(("n", "length"), [(1, 1), (7, 3), (64, 64), (501, 200)])
    def test_the_fft_gives_the_matrix_product(self, n: int, length: int) -> None:
        rng = nature(n)
        bits = rng.integers(0, 2, n, dtype=np.uint8)
        seed = rng.integers(0, 2, n + length - 1, dtype=np.uint8)
        matrix = np.array([[seed[i - j + n - 1] for j in range(n)] for i in range(length)])
        assert np.array_equal(amplify.toeplitz_hash(bits, seed, length), matrix @ bits % 2)

    def test_rounding_is_exact_in_the_worst_case_of_all_ones(self) -> None:
        n, length = 1 << 18, 1 << 17
        hashed = amplify.toeplitz_hash(np.ones(n, np.uint8), np.ones(n + length - 1, np.uint8), length)
        assert not hashed.any()  # each is the sum of n ones, n even
        hashed = amplify.toeplitz_hash(np.ones(n - 1, np.uint8), np.ones(n + length - 2, np.uint8), length)
        assert hashed.all()

    def test_a_long_random_product_equals_exact_integer_arithmetic(self) -> None:
        n, length = 20_000, 9_000
        rng = nature(9)
        bits = rng.integers(0, 2, n, dtype=np.uint8)
        seed = rng.integers(0, 2, n + length - 1, dtype=np.uint8)
        # Polynomial product over the integers in base 2^16: no sum reaches the base.
        left = int.from_bytes(bits.astype("<u2").tobytes(), "little")
        right = int.from_bytes(seed.astype("<u2").tobytes(), "little")
        product = (left * right).to_bytes(2 * (2 * n + length), "little")
        expected = np.frombuffer(product, dtype="<u2")[n - 1 : n - 1 + length] & 1
        assert np.array_equal(amplify.toeplitz_hash(bits, seed, length), expected)

    @pytest.mark.parametrize(("n", "seed", "length"), [(0, 1, 1), (4, 4, 2), (4, 9, 6), (4, 3, 0)])
    def test_sizes_that_do_not_fit_are_refused(self, n: int, seed: int, length: int) -> None:
        with pytest.raises(ValueError):
            amplify.toeplitz_hash(np.zeros(n, np.uint8), np.zeros(seed, np.uint8), length)

    def test_secret_length_against_the_formula_by_hand(self) -> None:
        n, k, q, leak = 98_304, 32_768, 0.015, 14_000
        margin = math.sqrt((n + k) / (n * k) * (k + 1) / k * math.log(2e10))
        p = q + margin
        h = -p * math.log2(p) - (1 - p) * math.log2(1 - p)
        assert amplify.secret_length(n, k, q, leak) == math.floor(n * (1 - h) - leak - math.log2(2e30))

    def test_more_errors_or_more_leakage_never_leave_more(self) -> None:
        lengths = [amplify.secret_length(100_000, 30_000, q / 100, 20_000) for q in range(30)]
        assert lengths == sorted(lengths, reverse=True)
        assert lengths[-1] == 0
        assert amplify.secret_length(1_000, 10, 0.0, 0) == 0  # too small a sample proves nothing


def distilled(fraction: float, seed: int = 5) -> protocol.DistilledBlock:
    transcript = Transcript()
    entropy = np.random.default_rng(seed).bytes
    rounds = [run_round(80_000, CHANNEL, fraction, entropy, nature(seed + n), transcript) for n in range(30)]
    keys = entropy(AUTHENTICATION_BYTES)
    return distil(
        np.concatenate([r.alice for r in rounds]), np.concatenate([r.bob for r in rounds]),
        sum(r.sample_bits for r in rounds), sum(r.sample_errors for r in rounds), (keys, keys), entropy, transcript,
    )  # fmt: skip


class TestProtocol:
    def test_both_ends_come_out_with_the_same_secret_bits(self) -> None:
        block = distilled(0.0)
        assert block.secret_bits > 10_000
        assert block.alice == block.bob
        ones = np.unpackbits(np.frombuffer(block.alice, np.uint8)).mean()
        assert within(float(ones), 0.5, block.secret_bits)

    def test_an_eavesdropper_costs_key_before_she_stops_it(self) -> None:
        quiet, tapped = distilled(0.0), distilled(0.12)
        assert 0 < tapped.secret_bits < quiet.secret_bits
        assert tapped.alice == tapped.bob
        assert tapped.leaked_bits > quiet.leaked_bits

    def test_above_the_threshold_there_is_no_key(self) -> None:
        block = distilled(1.0)
        assert block.secret_bits == 0
        assert "abort" in block.reason

    def test_a_changed_classical_message_is_noticed(self) -> None:
        keys = os.urandom(AUTHENTICATION_BYTES)
        bits = nature().integers(0, 2, 60_000, dtype=np.uint8)
        arguments = bits, bits.copy(), 20_000, 100
        assert distil(*arguments, (keys, keys), os.urandom, Transcript()).secret_bits > 0
        with pytest.raises(ExchangeError, match="tag"):
            distil(*arguments, (keys, os.urandom(AUTHENTICATION_BYTES)), os.urandom, Transcript())

    def test_errors_that_reconciliation_leaves_void_the_block(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "reconcile", lambda bits, *_: (bits, 0))
        alice, bob = noisy_pair(60_000, 0.001)
        keys = os.urandom(AUTHENTICATION_BYTES)
        block = distil(alice, bob, 20_000, 20, (keys, keys), os.urandom, Transcript())
        assert block.secret_bits == 0
        assert "errors remained" in block.reason

    def test_a_block_does_not_show_its_bits(self) -> None:
        block = distilled(0.0)
        assert repr(block.alice)[2:12] not in repr(block)


def working_section(channel: ChannelParameters = CHANNEL, capacity_bytes: int = 1 << 15) -> tuple[Section, Distiller]:
    section = Section("s", "x", "y", channel, KeyBuffer(capacity_bytes))
    return section, Distiller(channel, np.random.default_rng(8).bytes, nature(8))


class TestSection:
    def test_the_forecast_rate_is_what_comes_out(self) -> None:
        section, distiller = working_section(capacity_bytes=1 << 20)
        work = distiller.work(140, 0.0, keep=True)
        section.absorb(work)
        assert len(work.blocks) == 2
        seconds = 2 * work.pulses / 140 * 66 / CHANNEL.pulse_rate_hz  # two blocks of 66 rounds
        assert 8 * len(section.buffer) / seconds == pytest.approx(forecast_rate(CHANNEL, CHANNEL.qber), rel=0.1)
        assert section.skr_bps == pytest.approx(forecast_rate(CHANNEL, CHANNEL.qber), rel=0.2)
        alice, bob = section.take(len(section.buffer))
        assert alice == bob

    def test_authentication_is_debited_from_every_block(self, monkeypatch: pytest.MonkeyPatch) -> None:
        used: list[tuple[bytes, bytes]] = []
        real = distil

        def spy(*arguments: object) -> protocol.DistilledBlock:
            used.append(arguments[4])  # type: ignore[arg-type]
            block = real(*arguments)  # type: ignore[arg-type]
            made.append(block)
            return block

        made: list[protocol.DistilledBlock] = []
        monkeypatch.setattr("kms.sources.qkd.section.distil", spy)
        _, distiller = working_section()
        blocks = distiller.work(140, 0.0, keep=True).blocks
        assert [b.secret_bits for b in blocks] == [m.secret_bits - 8 * AUTHENTICATION_BYTES for m in made]
        assert used[1][0] == made[0].alice[:AUTHENTICATION_BYTES]
        assert len({keys[0] for keys in used}) == 2

    def test_an_eavesdropper_stops_the_section_and_her_leaving_starts_it(self) -> None:
        section, distiller = working_section()
        section.absorb(distiller.work(1, 0.0, keep=True))
        assert section.is_usable
        section.absorb(distiller.work(1, 1.0, keep=True))
        assert section.state.value == "stopped"
        assert section.skr_bps == 0
        assert section.available_bits == 0
        assert section.qber is not None
        assert section.qber > ABORT_QBER
        with pytest.raises(SectionStoppedError):
            section.take(1)
        section.absorb(distiller.work(1, 0.0, keep=False))
        assert section.is_usable
        assert section.qber < ABORT_QBER

    def test_bits_sent_under_an_eavesdropper_never_reach_a_block(self) -> None:
        _, distiller = working_section()
        distiller.work(60, 0.0, keep=True)
        assert not distiller.work(10, 1.0, keep=True).blocks  # 70 rounds would have made one
        assert not distiller.work(60, 0.0, keep=True).blocks  # the block began anew
        assert distiller.work(10, 0.0, keep=True).blocks

    def test_a_probe_measures_without_making_key(self) -> None:
        _, distiller = working_section()
        work = distiller.work(200, 0.0, keep=False)
        assert not work.blocks
        assert work.judgements

    def test_a_false_alarm_would_take_eleven_sigma(self) -> None:
        section, distiller = working_section()
        for _ in range(30):
            section.absorb(distiller.work(10, 0.0, keep=False))
            assert section.state is SectionState.ACTIVE

    def test_a_full_buffer_takes_no_more(self) -> None:
        section, _ = working_section(capacity_bytes=100)
        block = protocol.DistilledBlock(b"a" * 80, b"a" * 80, 0, 0, 0)
        section.absorb(SliceOfWork(((1_000, 10),), (block, block), 0))
        assert section.available_bits == 800
        section.take(100)
        with pytest.raises(ShortOfKeyError):
            section.take(1)


class TestPace:
    def test_no_more_pulses_than_the_laser_sent(self) -> None:
        budget = PulseBudget(1_000.0, prefill_s=2.0, now=10.0)
        assert budget.available(10.0) == 2_000
        budget.spend(2_000)
        assert budget.available(10.5) == 500
        with pytest.raises(ValueError):
            budget.spend(501)

    def test_credit_has_a_limit(self) -> None:
        budget = PulseBudget(1_000.0, prefill_s=0.0, now=0.0)
        assert budget.available(1e6) == int(1_000 * BUDGET_DEPTH_S)

    def test_a_clock_that_steps_back_earns_nothing(self) -> None:
        budget = PulseBudget(1_000.0, prefill_s=0.0, now=10.0)
        assert budget.available(5.0) == 0
        assert budget.available(11.0) == 1_000

    def test_a_slow_laser_is_probed_within_a_second(self) -> None:
        slow = ChannelParameters(length_km=100.0, pulse_rate_hz=1_000.0)
        assert Distiller(slow, os.urandom, nature()).round_pulses <= 500
