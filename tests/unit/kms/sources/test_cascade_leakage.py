"""What an eavesdropper learns from either party of Cascade (arXiv 2307.00576), and what of it is counted."""

from __future__ import annotations

import os

import numpy as np
import pytest

from kms.sources.qkd.forecast import AUTHENTICATION_BYTES
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.monte_carlo import QuantumChannel
from kms.sources.qkd.link.settings import optimal_settings
from kms.sources.qkd.modes import AttackKind
from kms.sources.qkd.post_processing.authentication import OneTimeKeys
from kms.sources.qkd.post_processing.cascade import ParityOracle, reconcile
from kms.sources.qkd.post_processing.parameter_estimation import ERROR_PATTERN_BITS, tell_bits_apart
from kms.sources.qkd.protocol import (
    VERIFICATION_TAG_BITS,
    DistilledBlock,
    SiftedRound,
    Tally,
    Transcript,
    distil,
    run_round,
)

CHANNEL = ChannelParameters(length_km=30.0)
DETECTIONS = 1 << 18
SETTINGS = optimal_settings(CHANNEL, DETECTIONS)


def sifted(attack: Attack = NO_ATTACK) -> list[SiftedRound]:
    line, nature = QuantumChannel(CHANNEL, SETTINGS, attack), np.random.default_rng(5)
    rounds: list[SiftedRound] = []
    while sum(each.detections for each in rounds) < DETECTIONS:
        rounds.append(run_round(2_000_000, line, SETTINGS, os.urandom, nature, Transcript()))
    return rounds


def strings(rounds: list[SiftedRound]) -> tuple[np.ndarray, np.ndarray, Tally]:
    tally = sum((each.tally for each in rounds[1:]), start=rounds[0].tally)
    return np.concatenate([each.alice for each in rounds]), np.concatenate([each.bob for each in rounds]), tally


def distilled(alice: np.ndarray, bob: np.ndarray, tally: Tally) -> DistilledBlock:
    keys = os.urandom(AUTHENTICATION_BYTES)
    stocks = OneTimeKeys(keys), OneTimeKeys(keys)
    return distil(alice, bob, tally, SETTINGS, CHANNEL.abort_qber, stocks, os.urandom, Transcript())


@pytest.mark.parametrize("rate", [0.005, 0.03, 0.1])
def test_fault_20_all_that_bob_says_follows_from_where_the_strings_differ(rate: float) -> None:
    """So whoever is given the error pattern, besides Alice's answers, has all that both parties said."""
    rng = np.random.default_rng(11)
    errors = (rng.random(50_000) < rate).astype(np.uint8)
    said = set()
    for _ in range(3):
        alice = rng.integers(0, 2, len(errors), dtype=np.uint8)
        oracle = ParityOracle(alice)
        corrected, _ = reconcile(alice ^ errors, oracle, rate, np.random.default_rng(12))
        assert np.array_equal(corrected, alice)
        said.add(bytes(oracle.questions))
    assert len(said) == 1


@pytest.mark.parametrize(
    "attack",
    [NO_ATTACK, Attack(fraction=0.02), Attack(fraction=0.1), Attack(AttackKind.BEAM_SPLITTING, 1.0)],
)
def test_fault_20_on_the_simulated_line_errors_say_nothing_of_the_bits(attack: Attack) -> None:
    alice, bob, _ = strings(sifted(attack))
    wrong = alice != bob
    assert wrong.any()
    assert not tell_bits_apart(int(alice[wrong].sum()), int(wrong.sum()))


def test_fault_20_errors_that_prefer_ones_give_their_bits_away_and_so_give_no_key() -> None:
    alice, bob, tally = strings(sifted())
    assert distilled(alice, bob, tally).secret_bits > 0
    # The same number of errors on a line that only ever turns ones into zeros.
    count, ones = np.count_nonzero(alice != bob), np.flatnonzero(alice)
    lopsided = alice.copy()
    lopsided[np.random.default_rng(3).choice(ones, count, replace=False)] = 0
    # The attack: every error that Bob's questions show is a bit that the eavesdropper knows.
    assert alice[alice != lopsided].all()
    block = distilled(alice, lopsided, tally)
    assert block.secret_bits == 0
    assert "zeros from ones" in block.reason


def test_fault_20_what_the_check_may_overlook_is_counted_as_leaked(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, tally = strings(sifted())
    told: list[ParityOracle] = []

    class Kept(ParityOracle):
        def __init__(self, bits: np.ndarray) -> None:
            super().__init__(bits)
            told.append(self)

    monkeypatch.setattr("kms.sources.qkd.protocol.ParityOracle", Kept)
    block = distilled(alice, bob, tally)
    (oracle,) = told
    assert block.leaked_bits == oracle.disclosed_bits + VERIFICATION_TAG_BITS + ERROR_PATTERN_BITS


@pytest.mark.parametrize("errors", [1, 100, 3_000, 100_000])
def test_fault_20_whatever_passes_the_check_says_no_more_than_is_counted(errors: int) -> None:
    for at_ones in np.unique(np.linspace(0, errors, 2_000).astype(int)):
        share = at_ones / errors
        entropy = -sum(p * np.log2(p) for p in (share, 1 - share) if p > 0)
        if not tell_bits_apart(int(at_ones), errors):
            assert errors * (1 - entropy) <= ERROR_PATTERN_BITS


def test_fault_20_a_fair_line_is_hardly_ever_taken_for_another() -> None:
    at_ones = np.random.default_rng(1).binomial(4_000, 0.5, 20_000)
    assert not any(tell_bits_apart(int(n), 4_000) for n in at_ones)
    assert not tell_bits_apart(0, 0)
