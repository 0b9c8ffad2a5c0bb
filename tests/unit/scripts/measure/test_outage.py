"""Outages of known length, measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.measure.probes.outage import measure_outage

INTERVAL_S = 0.001
RTT_S = 0.0005


def pings(count=2000, lost=range(0), delay=None):
    sent = [10.0 + n * INTERVAL_S for n in range(count)]
    return sent, {n: at + (delay or {}).get(n, RTT_S) for n, at in enumerate(sent) if n not in lost}


def measured(stream, cut_at, settle_s=0.3):
    sent, replies = stream
    return measure_outage(sent, replies, cut_at, settle_s)


def test_nothing_lost_is_no_outage():
    outage = measured(pings(), cut_at=10.5)
    assert outage.lost == 0
    assert outage.outage_ms == pytest.approx(0, abs=0.01)


@given(st.integers(1, 900), st.integers(100, 700))
def test_a_gap_is_as_long_as_what_it_swallowed(length, start):
    outage = measured(pings(lost=range(start, start + length)), cut_at=10.0 + start * INTERVAL_S)
    assert outage.lost == length
    assert outage.lost_ms == pytest.approx(length, rel=1e-6)
    assert outage.silence_ms == pytest.approx(length, abs=0.01)
    assert sum(s.rtt_ms is None for s in outage.samples) == length


def test_scattered_losses_add_up():
    outage = measured(pings(lost={100, 300, 500}), cut_at=10.1)
    assert outage.lost == 3
    assert outage.outage_ms == pytest.approx(3, rel=1e-3)
    assert outage.silence_ms == pytest.approx(1, abs=0.01)


def test_packets_that_were_only_held_back_still_count_as_silence():
    held = {n: 0.080 - (n - 400) * INTERVAL_S for n in range(400, 480)}
    outage = measured(pings(delay=held), cut_at=10.4)
    assert outage.lost == 0
    assert outage.outage_ms == pytest.approx(79, abs=1)


def test_a_connection_that_never_recovers_is_out_to_the_end():
    outage = measured(pings(lost=range(1000, 2000)), cut_at=11.0, settle_s=0.1)
    assert outage.outage_ms == pytest.approx(900, abs=3)
    assert measured(pings(lost=range(2000)), cut_at=10.0).outage_ms > 1600


def test_requests_still_on_their_way_are_not_lost():
    sent, replies = pings()
    for n in range(1900, 2000):
        del replies[n]
    assert measure_outage(sent, replies, cut_at=10.5, settle_s=0.2).lost == 0


def test_times_are_relative_to_the_cut():
    outage = measured(pings(), cut_at=10.5)
    assert outage.samples[0].at_ms == pytest.approx(-500)
    assert outage.samples[0].rtt_ms == pytest.approx(RTT_S * 1e3)


@pytest.mark.parametrize("sent", [[], [1.0]])
def test_too_short_a_measurement_is_refused(sent):
    with pytest.raises(ValueError, match=r"echo request|lasted"):
        measure_outage(sent, {}, cut_at=0.0)
