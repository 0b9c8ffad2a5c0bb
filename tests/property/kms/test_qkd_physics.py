"""What must hold of the quantum layer for any line, any string and any eavesdropper."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kms.sources.qkd.bounds.asymptotic import infinite_decoy, key_rate, vacuum_weak
from kms.sources.qkd.link.attacks import Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.clicks import Clock, click_statistics, expected
from kms.sources.qkd.link.monte_carlo import QuantumChannel
from kms.sources.qkd.link.settings import SourceSettings
from kms.sources.qkd.modes import AttackKind
from kms.sources.qkd.post_processing.cascade import ParityOracle, reconcile
from kms.sources.qkd.post_processing.privacy_amplification import toeplitz_hash

shares = st.floats(0.0, 0.5)
channels = st.builds(
    ChannelParameters,
    length_km=st.floats(0, 300),
    attenuation_db_per_km=st.floats(0, 0.5),
    pulse_rate_hz=st.floats(1e3, 1e10),
    detector_efficiency=st.floats(0.01, 1.0),
    dark_count_probability=st.floats(0, 0.1),
    misalignment=shares,
    afterpulse_probability=shares,
    dead_time_us=st.floats(0, 100),
)
sources = st.builds(
    lambda signal, decoy, signal_share, decoy_share, key_basis: SourceSettings(
        signal, decoy * signal, signal_share, decoy_share * (1 - signal_share), key_basis
    ),
    st.floats(0.05, 2.0), st.floats(0.05, 0.95), st.floats(0.05, 0.9), st.floats(0.1, 0.9), st.floats(0.05, 0.95),
)  # fmt: skip
attacks = st.builds(Attack, st.sampled_from(AttackKind), st.floats(0, 1))


@given(channels, sources, attacks)
def test_probabilities_add_up(channel: ChannelParameters, source: SourceSettings, attack: Attack) -> None:
    table = click_statistics(channel, source, attack)
    assert (table.weights >= 0).all()
    assert abs(table.probability + table.silent.sum() - 1) < 1e-9
    assert (table.error_rates() <= 0.5 + 1e-9).all()


@given(channels, sources, attacks)
def test_detections_are_no_more_than_dead_time_allows(
    channel: ChannelParameters, source: SourceSettings, attack: Attack
) -> None:
    seen = expected(channel, source, attack)
    assert 0 <= seen.detections <= 1 / (1 + channel.dead_gates) + 1e-12
    assert (seen.gains >= 0).all()
    assert (seen.error_rates <= 0.5 + 1e-9).all()


@given(channels, sources, st.floats(0.01, 1))
def test_an_interception_only_adds_errors(channel: ChannelParameters, source: SourceSettings, fraction: float) -> None:
    quiet = click_statistics(channel, source)
    tapped = click_statistics(channel, source, Attack(AttackKind.INTERCEPT_RESEND, fraction))
    np.testing.assert_allclose(tapped.gains(), quiet.gains(), rtol=1e-9, atol=1e-15)
    assert (tapped.error_rates() >= quiet.error_rates() - 1e-9).all()


@given(channels, st.floats(0.1, 1.0), st.floats(0.01, 0.9))
def test_decoy_bounds_never_promise_more_than_there_is(channel: ChannelParameters, mu: float, part: float) -> None:
    line = channel.line
    truth, bound = infinite_decoy(line), vacuum_weak(line, mu, part * mu)
    # To the last digits of the subtraction: it is of numbers that may be far larger than their difference.
    slack = 1e-12 / (part * mu)
    assert bound.yield_ <= truth.yield_ * (1 + 1e-9) + slack
    assume(bound.yield_ > 1e-6)
    assert bound.error_rate >= truth.error_rate * (1 - 1e-6) - slack / bound.yield_
    assert key_rate(line, mu, 1.1, bound) <= key_rate(line, mu, 1.1, truth) + 1e-9


@settings(max_examples=40)
@given(channels, sources, attacks, st.integers(0, 2**32), st.integers(1, 200_000))
def test_detections_are_in_order_and_apart(
    channel: ChannelParameters, source: SourceSettings, attack: Attack, seed: int, pulses: int
) -> None:
    line = QuantumChannel(channel, source, attack)
    found = line.send(pulses, np.random.default_rng(seed))
    assert len(found.positions) == len(found.is_afterpulse)
    if len(found.positions):
        assert found.positions[0] >= 0
        assert found.positions[-1] < pulses
        assert (np.diff(found.positions) > channel.dead_gates).all()
        assert Clock.of(channel, line.clicks).ready > 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6_000), st.floats(0, 0.3), st.floats(0, 0.5), st.integers(0, 2**32))
def test_reconciliation_removes_errors_and_never_invents_any(
    count: int, rate: float, estimate: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    alice = rng.integers(0, 2, count, dtype=np.uint8)
    bob = alice ^ (rng.random(count) < rate).astype(np.uint8)
    oracle = ParityOracle(alice)
    corrected, errors = reconcile(bob, oracle, estimate, rng)
    # Pairs of errors may hide in every pass, with a probability of about 2^-20 each.
    assert np.array_equal(corrected, alice)
    assert errors >= np.count_nonzero(bob != alice)
    assert len(corrected) == count


@given(st.integers(1, 300), st.data())
def test_hashing_is_linear(n: int, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, n))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    one, other = rng.integers(0, 2, (2, n), dtype=np.uint8)
    seed = rng.integers(0, 2, n + length - 1, dtype=np.uint8)
    both = toeplitz_hash(one, seed, length) ^ toeplitz_hash(other, seed, length)
    assert np.array_equal(toeplitz_hash(one ^ other, seed, length), both)
