"""How commands speak: tables for people, one JSON document for programs, both on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from scripts.terminal import print_whole

_STATE_STYLE = {"up": "green", "active": "green", "down": "red", "degraded": "yellow", "aborted": "red"}


def print_json(document: Any) -> None:
    """The one document of a command called with ``--json``."""
    print(json.dumps(document, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; states are coloured where the terminal can."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    print_whole(table, title)


def say(text: str) -> None:
    """A line for a person."""
    print(text)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    style = _STATE_STYLE.get(text.lower())
    return f"[{style}]{text}[/{style}]" if style else text.replace("[", r"\[")
