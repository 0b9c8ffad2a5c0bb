"""When pools are filled: at once when they are low, else when nobody is asking."""

from __future__ import annotations

import pytest

from kms.background.pool_filler import QUIET_S, should_fill


@pytest.mark.parametrize(
    ("stored", "quiet_s", "expected"),
    [
        (0, 0.0, True),
        (7, 0.0, True),
        (8, 0.0, False),
        (31, QUIET_S / 2, False),
        (31, QUIET_S, True),
        (8, float("inf"), True),
        (32, float("inf"), False),
        (40, 0.0, False),
    ],
)
def test_a_pool_is_filled_when_it_is_low_or_all_is_quiet(stored: int, quiet_s: float, expected: bool) -> None:
    assert should_fill(stored, 32, quiet_s) is expected
