"""What is wrong with a topology's document, where it stands, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from topologies.files.located_yaml import Path
from topologies.spec import TopologyError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: ``path`` leads to it in the document, ``line`` counts from 1 (None: not from a file)."""

    path: Path
    message: str
    remedy: str = ""
    line: int | None = None

    @property
    def place(self) -> str:
        """The path as people write it: ``fibres[3].qkd.detector_efficiency``; empty for the whole document."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.place, self.message))) + (f": {self.remedy}" if self.remedy else "")


class DocumentError(TopologyError):
    """A document that is no topology. The message names source, line, field, and remedy of the first problem.

    ``problems`` has all that were found, in the order of their lines.
    """

    def __init__(
        self, source: str, problems: Iterable[Problem], listed: str = ": `qslice topo validate` lists them"
    ) -> None:
        """``listed`` says where all of them are to be had."""
        self.source = source
        self.problems = tuple(sorted(problems, key=lambda p: p.line or 0))
        more = len(self.problems) - 1
        first = self.problems[0]
        others = f" (and {more} more{listed})" if more else ""
        line = "" if first.line is None else f":{first.line}"
        super().__init__(f"{source}{line}: {first}{others}")


def by_place(errors: Iterable[Any], document: Any) -> dict[Path, Any]:
    """Pydantic's errors by their place in the document; of alternatives that all failed, the one that came furthest."""
    found = [(_within(document, error["loc"]), error) for error in errors]
    outer = {path[:depth] for path, _ in found for depth in range(len(path))}
    first: dict[Path, Any] = {}
    for path, error in found:
        if path not in outer:
            first.setdefault(path, error)
    return first


def _within(document: Any, location: Iterable[int | str]) -> Path:
    """The part of pydantic's location that is in the document (it adds the names of alternatives)."""
    path: Path = ()
    for part in location:
        is_key = isinstance(document, Mapping) and part in document
        is_place = isinstance(document, list | tuple) and isinstance(part, int) and part < len(document)
        if is_key or is_place:
            document = document[part]
            path = (*path, part)
    return path


def choices(known: Iterable[str], most: int = 12) -> str:
    """Names to choose from, the first of them where there are many."""
    names = list(known)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def did_you_mean(word: object, known: Iterable[str], what: str) -> str:
    """A remedy for a word that is not known: the nearest that is, or those to choose from."""
    names = list(known)
    near = difflib.get_close_matches(str(word)[:64], names, n=1) if len(names) <= 2000 else []
    return f"did you mean {near[0]!r}?" if near else f"{what}: {choices(names)}" if names else f"there are no {what}"
