"""A client has carrier when its frames would leave sealed and arrive, and in no other case."""

from __future__ import annotations

from itertools import product

import pytest

from kms.tunnel.cards.carrier import LineState


@pytest.mark.parametrize(
    ("light", "key", "heard", "peer"),
    list(product((True, False), (True, False), (True, False, None), ((3,), (4,), ()))),
)
def test_nothing_less_than_all_of_it_gives_carrier(
    light: bool, key: bool, heard: bool | None, peer: tuple[int, ...]
) -> None:
    state = LineState(light, key, heard, frozenset(peer))
    assert state.carries(3) is (light and key and heard is not False and 3 in peer)


def test_the_nearest_cause_is_told() -> None:
    nobody = frozenset[int]()
    told = [
        LineState(False, False, False, nobody).why_not(1),
        LineState(True, False, False, nobody).why_not(1),
        LineState(True, True, False, nobody).why_not(1),
        LineState(True, True, True, nobody).why_not(1),
        LineState(True, True, True, frozenset({1})).why_not(1),
    ]
    assert told == [
        "no carrier on the line", "no key", "the other card does not answer", "down at the other end", None,
    ]  # fmt: skip
