"""Which sites have keys ready before the first slice."""

from __future__ import annotations

from scripts.bench.scale.networks import network
from scripts.testbed.life.ready_pairs import MOST_PAIRS, slice_pairs
from topologies.catalog import load


def test_pairs_are_those_that_a_slice_can_join() -> None:
    assert slice_pairs(load("ukqntel")) == [
        ("agg1", "cell1"),
        ("agg1", "cell2"),
        ("agg1", "core1"),
        ("cell1", "core1"),
        ("cell1", "metro1"),
        ("cell2", "core1"),
        ("cell2", "metro1"),
        ("core1", "metro1"),
    ]


def test_neither_a_site_with_itself_nor_a_cell_with_a_cell() -> None:
    pairs = slice_pairs(load("metro-ring"))
    assert len(pairs) == len(set(pairs))
    assert all(a < b for a, b in pairs)
    assert ("cell1", "cell2") not in pairs
    assert ("core1", "core2") in pairs  # compute at one core for the other


def test_in_a_large_network_they_are_the_nearest() -> None:
    pairs = slice_pairs(network(100))
    assert len(pairs) == MOST_PAIRS
    assert {("agg1", "cell1"), ("core20", "metro20")} <= set(pairs)
    assert ("cell1", "core10") not in pairs
