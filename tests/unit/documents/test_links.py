"""Every link between the documents leads to a file that is there, and to a heading in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.unit.documents.reading import DOCUMENTS, Link, anchors, links, name_of

KINDS = ("tutorial", "how-to", "reference", "explanation")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_and_their_anchors_are_whole(document: Path) -> None:
    found = links(document.read_text(encoding="utf-8"))
    assert [link for link in found if not leads_somewhere(document, link)] == []


def leads_somewhere(document: Path, link: Link) -> bool:
    target = (document.parent / link.target).resolve() if link.target else document
    if link.anchor is None:
        return target.exists()
    return target.is_file() and link.anchor in anchors(target.read_text(encoding="utf-8"))


def test_the_index_lists_every_document_of_the_four_kinds() -> None:
    index = REPOSITORY / "docs/index.md"
    listed = {(index.parent / link.target).resolve() for link in links(index.read_text(encoding="utf-8"))}
    there = {path for kind in KINDS for path in (REPOSITORY / "docs" / kind).glob("*.md")}
    assert {name_of(path) for path in there - listed} == set()


def test_every_document_is_of_one_of_the_four_kinds() -> None:
    """Beside them stand the index, the papers, the measured figures, and what is for those who work on QSlice."""
    beside = {path.name for path in (REPOSITORY / "docs").glob("*.md")}
    assert beside <= {"index.md", "papers.md", "benchmarks.md", "contributing.md"}


def test_a_broken_link_or_anchor_is_seen() -> None:
    text = "# A heading, `here`\n\n[a](nowhere.md) [b](#a-heading-here) `[c](code.md)`\n\n    [d](code.md)\n"
    assert [link.target for link in links(text)] == ["nowhere.md", ""]
    assert anchors(text) == {"a-heading-here"}
