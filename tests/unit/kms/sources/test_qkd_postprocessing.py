"""From sifted strings to secret ones: reconciliation, hashing, the whole of a block."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pytest

from kms.errors import ExchangeError
from kms.sources.qkd import protocol
from kms.sources.qkd.bounds import finite
from kms.sources.qkd.bounds.entropy import binary_entropy
from kms.sources.qkd.forecast import AUTHENTICATION_BYTES
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.monte_carlo import QuantumChannel
from kms.sources.qkd.link.settings import optimal_settings
from kms.sources.qkd.modes import AttackKind
from kms.sources.qkd.post_processing.authentication import OneTimeKeys
from kms.sources.qkd.post_processing.cascade import FRAME_BITS, MOST_FRAMES, ParityOracle, reconcile
from kms.sources.qkd.post_processing.privacy_amplification import MAX_INPUT_BITS, toeplitz_hash
from kms.sources.qkd.protocol import Tally, Transcript, distil, run_round

CHANNEL = ChannelParameters(length_km=30.0)
DETECTIONS = 1 << 18
SETTINGS = optimal_settings(CHANNEL, DETECTIONS)


def nature(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def noisy_pair(count: int, rate: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = nature(seed)
    alice = rng.integers(0, 2, count, dtype=np.uint8)
    return alice, alice ^ (rng.random(count) < rate).astype(np.uint8)


class TestReconciliation:
    @pytest.mark.parametrize("rate", [0.0, 0.005, 0.03, 0.1])
    @pytest.mark.parametrize("count", [1, 2, 63, 1_000, FRAME_BITS + 1, 50_000])
    def test_bob_ends_with_alices_string(self, count: int, rate: float) -> None:
        alice, bob = noisy_pair(count, rate)
        corrected, errors = reconcile(bob, ParityOracle(alice), rate, nature())
        assert np.array_equal(corrected, alice)
        assert errors == np.count_nonzero(alice != bob)

    def test_more_than_the_frames_of_one_group(self) -> None:
        alice, bob = noisy_pair(FRAME_BITS * MOST_FRAMES + 12_345, 0.02)
        corrected, _ = reconcile(bob, ParityOracle(alice), 0.02, nature())
        assert np.array_equal(corrected, alice)

    def test_an_empty_string(self) -> None:
        empty = np.empty(0, dtype=np.uint8)
        corrected, errors = reconcile(empty, ParityOracle(empty), 0.03, nature())
        assert (len(corrected), errors) == (0, 0)

    def test_a_wrong_estimate_costs_bits_but_not_correctness(self) -> None:
        alice, bob = noisy_pair(20_000, 0.05)
        for estimate in (0.0, 0.01, 0.2):
            corrected, _ = reconcile(bob, ParityOracle(alice), estimate, nature())
            assert np.array_equal(corrected, alice)

    def test_errors_in_bursts_are_found_too(self) -> None:
        alice, bob = noisy_pair(100_000, 0.0)
        bob[40_000:41_000] ^= 1
        corrected, errors = reconcile(bob, ParityOracle(alice), 0.01, nature())
        assert np.array_equal(corrected, alice)
        assert errors == 1_000

    @pytest.mark.parametrize(("rate", "most"), [(0.01, 1.12), (0.03, 1.12), (0.05, 1.12), (0.11, 1.15)])
    def test_leakage_is_near_the_shannon_limit(self, rate: float, most: float) -> None:
        alice, bob = noisy_pair(1 << 19, rate)
        oracle = ParityOracle(alice)
        corrected, _ = reconcile(bob, oracle, rate, nature())
        limit = (1 << 19) * binary_entropy(rate)
        assert np.array_equal(corrected, alice)
        assert limit < oracle.disclosed_bits < most * limit

    def test_every_bit_that_alice_tells_is_counted(self) -> None:
        alice, bob = noisy_pair(30_000, 0.03)
        oracle = CountingOracle(alice)
        reconcile(bob, oracle, 0.03, nature())
        assert oracle.disclosed_bits == oracle.told
        # Nothing else went over the line: answers hold as much, but for padding to whole bytes and words.
        assert oracle.told <= 8 * len(oracle.answers)

    def test_bobs_own_string_is_left_alone(self) -> None:
        alice, bob = noisy_pair(1_000, 0.03)
        before = bob.copy()
        reconcile(bob, ParityOracle(alice), 0.03, nature())
        assert np.array_equal(bob, before)

    def test_no_error_is_left_in_ten_million_bits(self) -> None:
        for seed in range(10):
            alice, bob = noisy_pair(1_000_000, 0.03, seed)
            corrected, _ = reconcile(bob, ParityOracle(alice), 0.03, nature(seed))
            assert np.array_equal(corrected, alice)


class CountingOracle(ParityOracle):
    """Counts what leaves Alice apart from her own count."""

    def __init__(self, bits: np.ndarray) -> None:
        super().__init__(bits)
        self.told = 0

    def block_parities(self, pass_number: int, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        answer = super().block_parities(pass_number, starts, ends)
        frames = -(-30_000 // FRAME_BITS)
        assert not (answer >> np.uint64(frames)).any()
        self.told += frames * len(answer)
        return answer

    def parities(self, pass_number: int, frames: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        answer = super().parities(pass_number, frames, starts, ends)
        self.told += len(answer)
        return answer


class TestPrivacyAmplification:
    @pytest.mark.parametrize(("n", "length"), [(1, 1), (7, 3), (64, 64), (501, 200)])
    def test_the_fft_gives_the_matrix_product(self, n: int, length: int) -> None:
        rng = nature(n)
        bits = rng.integers(0, 2, n, dtype=np.uint8)
        seed = rng.integers(0, 2, n + length - 1, dtype=np.uint8)
        matrix = np.array([[seed[i - j + n - 1] for j in range(n)] for i in range(length)])
        assert np.array_equal(toeplitz_hash(bits, seed, length), matrix @ bits % 2)

    def test_rounding_is_exact_in_the_worst_case_of_all_ones(self) -> None:
        n, length = 1 << 18, 1 << 17
        hashed = toeplitz_hash(np.ones(n, np.uint8), np.ones(n + length - 1, np.uint8), length)
        assert not hashed.any()  # each is the sum of n ones, n even
        hashed = toeplitz_hash(np.ones(n - 1, np.uint8), np.ones(n + length - 2, np.uint8), length)
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
        assert np.array_equal(toeplitz_hash(bits, seed, length), expected)

    def test_outputs_of_the_longest_input_are_the_exact_sums(self) -> None:
        n, length = MAX_INPUT_BITS, 1 << 20
        rng = nature(4)
        bits = rng.integers(0, 2, n, dtype=np.uint8)
        seed = rng.integers(0, 2, n + length - 1, dtype=np.uint8)
        hashed = toeplitz_hash(bits, seed, length)
        reversed_bits = bits[::-1]
        for i in [0, 1, length - 1, *rng.integers(0, length, 40)]:
            exact = np.count_nonzero(seed[i : i + n] & reversed_bits)
            assert hashed[i] == exact & 1

    @pytest.mark.parametrize(("n", "seed", "length"), [(0, 1, 1), (4, 4, 2), (4, 9, 6), (4, 3, 0)])
    def test_sizes_that_do_not_fit_are_refused(self, n: int, seed: int, length: int) -> None:
        with pytest.raises(ValueError):
            toeplitz_hash(np.zeros(n, np.uint8), np.zeros(seed, np.uint8), length)


@dataclass
class Sifted:
    """A block's worth of rounds, before it is distilled."""

    alice: np.ndarray
    bob: np.ndarray
    photons: np.ndarray
    is_known: np.ndarray
    tally: Tally
    transcript: Transcript


def sifted(attack: Attack = NO_ATTACK, seed: int = 5, detections: int = DETECTIONS) -> Sifted:
    transcript, rng, entropy = Transcript(), nature(seed), nature(seed + 1000).bytes
    line = QuantumChannel(CHANNEL, SETTINGS, attack)
    rounds = [run_round(2_000_000, line, SETTINGS, entropy, rng, transcript)]
    while sum(r.detections for r in rounds) < detections:
        rounds.append(run_round(2_000_000, line, SETTINGS, entropy, rng, transcript))
    tally = sum((r.tally for r in rounds[1:]), start=rounds[0].tally)
    alice, bob, photons, is_known = (
        np.concatenate([getattr(r, name) for r in rounds]) for name in ("alice", "bob", "photons", "is_known")
    )
    return Sifted(alice, bob, photons, is_known, tally, transcript)


def distilled(block: Sifted, keys: tuple[bytes, bytes] | None = None) -> protocol.DistilledBlock:
    same = os.urandom(AUTHENTICATION_BYTES)
    at_alice, at_bob = keys or (same, same)
    return distil(
        block.alice, block.bob, block.tally, SETTINGS, CHANNEL.abort_qber,
        (OneTimeKeys(at_alice), OneTimeKeys(at_bob)), os.urandom, block.transcript,
    )  # fmt: skip


class TestProtocol:
    def test_both_ends_come_out_with_the_same_secret_bits(self) -> None:
        block = distilled(sifted())
        assert block.secret_bits > 10_000
        assert block.alice == block.bob
        ones = np.unpackbits(np.frombuffer(block.alice, np.uint8)).mean()
        assert abs(ones - 0.5) < 3 * 0.5 / block.secret_bits**0.5

    def test_an_eavesdropper_costs_key_before_she_stops_it(self) -> None:
        quiet, tapped = distilled(sifted()), distilled(sifted(Attack(fraction=0.02)))
        assert 0 < tapped.secret_bits < quiet.secret_bits
        assert tapped.alice == tapped.bob
        assert tapped.leaked_bits > quiet.leaked_bits

    def test_above_the_threshold_there_is_no_key(self) -> None:
        block = distilled(sifted(Attack(fraction=1.0)))
        assert block.secret_bits == 0
        assert "abort" in block.reason

    def test_photon_number_splitting_leaves_no_key_though_no_errors_show_it(self) -> None:
        block = sifted(Attack(AttackKind.PHOTON_NUMBER_SPLITTING, 1.0))
        assert block.tally.qber < 0.03
        assert block.is_known.mean() > 0.5
        assert distilled(block).secret_bits == 0

    @pytest.mark.parametrize("attack", [NO_ATTACK, Attack(fraction=0.1), Attack(AttackKind.BEAM_SPLITTING, 1.0)])
    @pytest.mark.parametrize("seed", range(3))
    def test_the_bounds_hold_of_what_only_nature_knows(self, seed: int, attack: Attack) -> None:
        block = sifted(attack, seed=100 * seed + 1)
        bound = finite.bounds(block.tally.counts, SETTINGS.means, SETTINGS.shares)
        photons = np.bincount(block.photons, minlength=3)
        assert bound.vacuum <= photons[0]
        assert bound.single <= photons[1]
        single = block.photons == 1
        assert bound.phase_error >= np.mean(block.alice[single] != block.bob[single])
        if attack.kind is AttackKind.BEAM_SPLITTING:
            # What the bits are shortened by is more than what she got.
            assert len(block.alice) - bound.secret > block.is_known.sum()

    def test_a_changed_classical_message_is_noticed(self) -> None:
        with pytest.raises(ExchangeError, match="tag"):
            distilled(sifted(), (os.urandom(AUTHENTICATION_BYTES), os.urandom(AUTHENTICATION_BYTES)))

    def test_errors_that_reconciliation_leaves_void_the_block(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "reconcile", lambda bits, *_: (bits, 0))
        block = distilled(sifted())
        assert block.secret_bits == 0
        assert "errors remained" in block.reason

    def test_too_short_a_block_proves_nothing(self) -> None:
        block = distilled(sifted(detections=1))
        assert block.secret_bits == 0
        assert "too little" in block.reason

    def test_a_block_does_not_show_its_bits(self) -> None:
        block = distilled(sifted())
        assert repr(block.alice)[2:12] not in repr(block)

    def test_the_key_basis_is_chosen_as_set_and_the_other_disclosed(self) -> None:
        block = sifted()
        key, test = block.tally.key.sum(), block.tally.test.sum()
        share = SETTINGS.key_basis**2 / (SETTINGS.key_basis**2 + (1 - SETTINGS.key_basis) ** 2)
        spread = (share * (1 - share) / (key + test)) ** 0.5
        # A basis is drawn with one byte: the share is exact to 1/256.
        assert abs(key / (key + test) - share) < 3 * spread + 0.01
        assert key == len(block.alice) == len(block.bob)
