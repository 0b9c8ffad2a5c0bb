"""Which pairs are tried, and what counts as reachable."""

from scripts.measure.probes.isolation import Attempt, judge_isolation, split_pairs
from tests.support.demo_report import example_connections


def test_every_ordered_pair_on_different_hosts_is_either_tried_or_connected():
    connections = example_connections()
    apart, connected = split_pairs(connections)
    ends = {end for c in connections for end in c.ends}
    expected = {(a, b) for a in ends for b in ends if a.host != b.host}
    assert set(apart) | set(connected) == expected
    assert not set(apart) & set(connected)
    assert len(connected) == 2 * len(connections)
    assert len(apart) == len(set(apart)) == 294


def attempts():
    apart, connected = split_pairs(example_connections())
    hosts = {end.host for pair in apart for end in pair}
    tried = [Attempt(a, b, device, f"{n}{device}") for n, (a, b) in enumerate(apart) for device in (None, "data0")]
    control = [Attempt(a, b, None, f"c{n}") for n, (a, b) in enumerate(connected)]
    return tried, control, {h: set() for h in hosts}, {h: set() for h in hosts}


def test_silence_everywhere_is_isolation_but_the_control_fails():
    tried, control, arrived, answered = attempts()
    result = judge_isolation(tried, control, arrived, answered)
    assert (result.pairs, result.reachable, result.control_reachable) == (294, 0, 0)
    assert len(result.unheard) == result.control_pairs == 20


def test_one_way_is_reachable_too_and_a_pair_counts_once():
    tried, control, arrived, answered = attempts()
    for attempt in tried[:2]:  # the same pair, by two ways
        arrived[attempt.destination.host].add(attempt.token)
    answered[tried[4].source.host].add(tried[4].token)
    result = judge_isolation(tried, control, arrived, answered)
    assert result.reachable == 2
    assert len(result.leaks) == 3
    assert "forced out of data0" in result.leaks[1]


def test_control_needs_arrival_and_answer():
    tried, control, arrived, answered = attempts()
    for attempt in control:
        arrived[attempt.destination.host].add(attempt.token)
    assert judge_isolation(tried, control, arrived, answered).control_reachable == 0
    for attempt in control:
        answered[attempt.source.host].add(attempt.token)
    assert judge_isolation(tried, control, arrived, answered).unheard == ()
