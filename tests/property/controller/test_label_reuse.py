"""No packet reaches a host outside its connection, over whatever history of switches (see tests.label_histories)."""

from __future__ import annotations

import pytest

from tests.label_histories import NoQuarantine, run_histories


@pytest.mark.parametrize("first", range(0, 10_000, 1_000))
def test_fault_01_no_history_of_switches_misdelivers_a_packet(first: int) -> None:
    assert run_histories(first, 1_000) is None


def test_fault_01_without_the_quarantine_of_labels_one_is_found_soon() -> None:
    assert run_histories(0, 500, NoQuarantine) is not None


def test_fault_01_with_paths_over_switches_that_nobody_has_compared_one_is_found_soon() -> None:
    assert run_histories(0, 4_000, is_careful=False) is not None
