"""What a network is given to come and to go."""

from __future__ import annotations

from scripts.testbed.processes import down_timeout_s, start_timeout_s


def test_a_hundred_sites_on_processors_a_fortieth_as_fast_come_and_go_in_time() -> None:
    """14.7 s and 5.5 s on real ones (docs/benchmarks.md)."""
    assert start_timeout_s(100) > 40 * 14.7
    assert down_timeout_s(100) > 40 * 5.5


def test_a_small_network_that_hangs_is_not_waited_for_long() -> None:
    assert down_timeout_s(5) < 60
