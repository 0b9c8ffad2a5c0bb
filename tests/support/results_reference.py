"""What docs/reference/results.md names, file by file, and the names in a document that a run wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from scripts.testbed.paths import REPOSITORY

REFERENCE = REPOSITORY / "docs" / "reference" / "results.md"
ORIGIN_HEADING = "Where results come from"
_VALUE = re.compile(r"[A-Z][A-Z_]*")
SPREAD = "(?:p50|p90|p99|min|max)"


def names_in(document: Any, prefix: str = "") -> Iterator[str]:
    """Every name of a value, such as ``results[].probes[].sent``; what is empty has the name of its place."""
    if isinstance(document, dict) and document:
        for key, value in document.items():
            yield from names_in(value, f"{prefix}.{key}" if prefix else key)
    elif isinstance(document, list) and document:
        for value in document:
            yield from names_in(value, f"{prefix}[]")
    else:
        yield f"{prefix}[]" if document == [] else f"{prefix}{{}}" if document == {} else prefix


def documented(*headings: str) -> list[str]:
    """The names under these headings, in full."""
    found: list[str] = []
    heading = ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").strip("`")
        elif line.startswith("| `") and heading in headings:
            last = ""
            for name in re.findall(r"`([^`]+)`", line.split(" | ")[0]):
                if name in (".min", ".max"):
                    found.append(last + name)
                    continue
                last = last.rpartition(".")[0] + name if name.startswith(".") else name
                found.append(last)
    return found


def unknown(document: Any, *headings: str) -> list[str]:
    """The names in a document that the reference does not have under these headings."""
    named = documented(*headings)
    known = [_pattern(name) for name in named]
    around = [_pattern(each) for each in {name[:n] for name in named for n, c in enumerate(name) if c in ".["}]

    def is_known(name: str) -> bool:
        empty = name[:-2] if name.endswith(("[]", "{}")) else None
        is_around = empty is not None and any(each.fullmatch(empty) for each in around)
        return is_around or any(each.fullmatch(name) for each in known)

    return sorted({name for name in names_in(document) if not is_known(name)})


def missing(document: Any, *headings: str) -> list[str]:
    """The names that the reference has and a document has not."""
    there = set(names_in(document))
    return [name for name in documented(*headings) if not any(_pattern(name).fullmatch(each) for each in there)]


def _pattern(name: str) -> re.Pattern[str]:
    """A word in capitals stands for any value, a list or mapping that is empty for what is in it."""
    text = ""
    for part in re.split(r"([A-Z][A-Z_]*)", name):
        if part == "SPREAD":
            text += SPREAD
        elif _VALUE.fullmatch(part):
            text += ".+" if part in ("NAME", "PACKAGE", "SETTING", "FIGURE") else r"[^.\[\]]+"
        else:
            text += re.escape(part)
    return re.compile(text)
