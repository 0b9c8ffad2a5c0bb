"""What holds for all tests of the controller: what they decide is no matter of the machine's speed."""

from __future__ import annotations

import pytest

from controller.operations import bounded_search


@pytest.fixture(autouse=True)
def searches_take_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that a busy machine does not finish in its 0.8 s would be refused."""
    monkeypatch.setattr(bounded_search, "APART_S", 60.0)
