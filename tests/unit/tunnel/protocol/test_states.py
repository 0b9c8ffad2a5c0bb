"""The transition tables: complete, and as documented."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest

from kms.tunnel.protocol.states import EXCHANGE, LINK, OFFERED, Link, LinkInput, advance, mermaid
from scripts.testbed.paths import REPOSITORY

DOCUMENT = REPOSITORY / "docs/explanation/tunnel.md"
TABLES = pytest.mark.parametrize("table", [LINK, EXCHANGE, OFFERED])


@TABLES
def test_the_document_shows_the_table(table: Mapping[Any, Any]) -> None:
    assert mermaid(table) in DOCUMENT.read_text()


@TABLES
def test_every_state_but_the_first_is_reachable_and_every_input_used(table: Mapping[tuple[Any, Any], Any]) -> None:
    states: type[Enum] = type(next(iter(table.values())))
    inputs: type[Enum] = type(next(iter(table))[1])
    reached, (first, *_) = set(table.values()), states
    assert set(states) - {first} <= reached
    assert {event for _, event in table} == set(inputs)


def test_a_transition_that_is_not_in_the_table_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        advance(LINK, Link.CLOSED, LinkInput.SA_USABLE)
