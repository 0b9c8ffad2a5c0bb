"""The path benchmark in small: every figure is there, and every instance agrees with its oracle."""

from __future__ import annotations

from scripts.bench.pce.baseline import KShortestAndFilter
from scripts.bench.pce.instances import small_connection, small_network
from scripts.bench.pce.large import large_network, large_request
from scripts.bench.pce.run import Effort, run
from tests.support.small_networks import ask, channel, network

SMALL = Effort(
    routes=60, pairs=40, slices=20, milp_routes=12, milp_pairs=4, queries=20, baseline_queries=5, sizes=(30, 600)
)


def test_the_report_has_the_agreed_shape() -> None:
    lines: list[str] = []
    report = run(SMALL, lines.append)
    assert set(report) == {"bench", "machine", "versions", "figures", "notes"}
    figures = report["figures"]
    assert figures["oracle.instances"] == 60 + 40 + 20 + 12 + 4
    assert figures["oracle.equal"] == figures["oracle.instances"]
    assert 0 < figures["oracle.feasible"] < figures["oracle.instances"]
    for sites in (30, 600):
        for name in ("p50_ms", "p99_ms", "baseline_p50_ms"):
            assert figures[f"sites_{sites}.{name}"] > 0
        assert figures[f"sites_{sites}.queries"] == 20
    assert lines


def test_large_networks_are_connected_and_reproducible() -> None:
    one, other = large_network(200, 5), large_network(200, 5)
    assert one.topology.channels == other.topology.channels
    assert [one.residual_kbps(c) for c in one.index.channel_ids] == [
        other.residual_kbps(c) for c in other.index.channel_ids
    ]
    assert large_request(one, 3) == large_request(other, 3)
    assert all(one.index.bounds.is_connected(0, site) for site in range(200))
    assert {len(parallel) for row in one.index.neighbours for _, parallel in row} == {5}


def test_small_instances_are_reproducible() -> None:
    assert small_network(7).topology == small_network(7).topology
    assert small_connection(7, small_network(7)) == small_connection(7, small_network(7))


def test_the_baseline_finds_what_it_can_and_is_cut_off_at_its_limit() -> None:
    thin = channel("thin", "a", "b", mbps=1)
    small = KShortestAndFilter(network(thin, channel("ac", "a", "c"), channel("cb", "c", "b")))
    outcome = small.ask(ask("a", "b"), limit_s=60.0)
    assert outcome.is_finished
    assert outcome.is_answered
    refused = small.ask(ask("a", "b", mbps=10**6), limit_s=60.0)
    assert refused.is_finished
    assert not refused.is_answered
    large = KShortestAndFilter(large_network(1000, 1))
    assert not large.ask(ask("s0", "s999"), limit_s=0.001).is_finished
