"""The documents as the tests read them: files, headings, links, indented code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.testbed.paths import REPOSITORY

DOCUMENTS = (REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").rglob("*.md")))
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)")


@dataclass(frozen=True)
class Link:
    """A relative link in a document: the file (the document itself if empty) and the heading it names."""

    target: str
    anchor: str | None


def name_of(document: Path) -> str:
    return str(document.relative_to(REPOSITORY))


def links(text: str) -> Iterator[Link]:
    """Links outside of code."""
    for found in _LINK.finditer(without_code(text)):
        yield Link(found[1], found[2])


def without_code(text: str) -> str:
    """The text without indented blocks and without what stands between backticks."""
    lines = [line for line in text.splitlines() if not line.startswith("    ")]
    return re.sub(r"`[^`]*`", "", "\n".join(lines))


def anchors(text: str) -> set[str]:
    """The names by which GitHub and its like link a document's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", "\n".join(_prose(text)), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).strip().lower()).replace(" ", "-")
        number, name = 0, slug
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return found


def blocks(text: str) -> Iterator[list[str]]:
    """The indented blocks, without their indentation; a blank line within one is part of it."""
    block: list[str] = []
    for line in [*text.splitlines(), "end"]:
        if line.startswith("    "):
            block.append(line[4:])
        elif block and not line.strip():
            block.append("")
        elif block:
            yield _trimmed(block)
            block = []


def _trimmed(block: list[str]) -> list[str]:
    while block and not block[-1]:
        block = block[:-1]
    return block


def _prose(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("    ")]
