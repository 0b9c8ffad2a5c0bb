"""When pools are filled: at once when they are low, else when nobody is asking."""

from __future__ import annotations

import pytest

from kms.upkeep import FILL_BATCH, QUIET_S, plan_filling


@pytest.mark.parametrize(
    ("stored", "quiet_s", "expected"),
    [
        (0, 0.0, FILL_BATCH),
        (7, 0.0, FILL_BATCH),
        (8, 0.0, 0),
        (31, QUIET_S / 2, 0),
        (31, QUIET_S, 1),
        (8, float("inf"), 1),
        (32, float("inf"), 0),
        (40, 0.0, 0),
    ],
)
def test_plan(stored: int, quiet_s: float, expected: int) -> None:
    assert plan_filling(stored, 32, quiet_s) == expected
