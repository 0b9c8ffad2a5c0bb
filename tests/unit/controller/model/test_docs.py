"""The diagrams in the documentation are those of the transition tables."""

from __future__ import annotations

import pytest

from controller.model.diagrams import diagrams
from scripts.testbed.paths import REPOSITORY

DOCUMENT = REPOSITORY / "docs/explanation/controller.md"


@pytest.mark.parametrize("about", ["slice", "connection"])
def test_the_document_shows_the_table_as_it_is(about: str) -> None:
    assert diagrams()[about] in DOCUMENT.read_text()
