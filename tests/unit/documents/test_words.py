"""One thing has one word: what the glossary retires is neither in the documents nor in any command's help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cli.grammar.tree import leaves
from scripts.testbed.paths import REPOSITORY
from tests.unit.documents.reading import DOCUMENTS, name_of, without_code

GLOSSARY = REPOSITORY / "docs/reference/glossary.md"
# What was said and decided at its time stays as it was; papers have words of their own.
OF_THEIR_OWN = ("CHANGELOG.md", "docs/decisions/", "docs/papers.md", "docs/reference/glossary.md")
CHECKED = [document for document in DOCUMENTS if not name_of(document).startswith(OF_THEIR_OWN)]


def retired() -> dict[str, str]:
    """The glossary's words that are not used, with what is said instead."""
    table = GLOSSARY.read_text(encoding="utf-8").split("## Words that are not used")[1]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    return {word: instead for word, instead in rows if word not in ("not", "---")}


def found_in(text: str) -> list[str]:
    prose = " ".join(text.split())
    return [f"{word}: say {but}" for word, but in retired().items() if re.search(rf"\b{re.escape(word)}s?\b", prose)]


def helps() -> Iterator[tuple[str, str]]:
    for leaf in leaves():
        said = [leaf.sentence, leaf.details, leaf.fails, *(str(a.options.get("help", "")) for a in leaf.arguments)]
        yield leaf.path, " ".join(said)


@pytest.mark.parametrize("document", CHECKED, ids=name_of)
def test_no_document_uses_a_retired_word(document: Path) -> None:
    assert found_in(without_code(document.read_text(encoding="utf-8"))) == []


def test_no_help_uses_a_retired_word() -> None:
    assert {path: found for path, said in helps() if (found := found_in(said))} == {}


def test_the_words_are_seen() -> None:
    assert len(retired()) > 10
    assert found_in("The primary\npaths of 3 Mbps") == ["primary path: say working path", "Mbps: say Mbit/s"]
    assert found_in("a working path of 3 Mbit/s") == []
