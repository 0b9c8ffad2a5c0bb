"""The short form of ``python -m tests.mutation.datagrams``."""

from __future__ import annotations

from tests.mutation.datagrams import Bombardment


def test_mutated_datagrams_are_counted_and_do_no_harm() -> None:
    bombardment = Bombardment(seed=7)
    while bombardment.datagrams < 10_000:
        bombardment.round()
    assert bombardment.delivered > 0
