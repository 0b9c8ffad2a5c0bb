"""The replay window against an oracle that remembers everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kms.tunnel.errors import Replayed
from kms.tunnel.packet.replay_window import ReplayWindow

NEAR = st.integers(min_value=1, max_value=300)
FAR = st.integers(min_value=1, max_value=2**32 - 1)


def is_accepted(window: ReplayWindow, sequence: int) -> bool:
    try:
        window.check(sequence)
    except Replayed:
        return False
    return True


@given(st.sampled_from([32, 33, 64, 1024, 8192]), st.lists(st.tuples(NEAR | FAR, st.booleans()), max_size=300))
def test_accepts_exactly_what_is_new_and_within_the_window(size: int, arrivals: list[tuple[int, bool]]) -> None:
    window, seen = ReplayWindow(size), {0}
    for sequence, is_authentic in arrivals:
        expected = sequence not in seen and sequence > max(seen) - size
        assert is_accepted(window, sequence) is expected
        if expected and is_authentic:
            window.commit(sequence)
            seen.add(sequence)
        assert window.top == max(seen)


@given(st.integers(min_value=1, max_value=2**32 - 1), st.integers(min_value=0, max_value=100))
def test_what_fails_authentication_does_not_move_the_window(forged: int, genuine: int) -> None:
    window = ReplayWindow(64)
    for sequence in range(1, genuine + 1):
        window.commit(sequence)
    is_accepted(window, forged)  # checked, found forged, never committed
    assert is_accepted(window, genuine + 1)
