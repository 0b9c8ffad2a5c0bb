"""How commands speak: tables for people, one JSON document for programs, both on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

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
    _print_whole(table, title)


def say(text: str) -> None:
    """A line for a person."""
    print(text)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    style = _STATE_STYLE.get(text.lower())
    return f"[{style}]{text}[/{style}]" if style else text.replace("[", r"\[")


def _print_whole(table: Table, title: str) -> None:
    """A table of which nothing is cut: the next command needs the ids in it. Where the terminal is too narrow each row
    is a paragraph of lines."""
    console = Console()
    wide = Console(width=10_000)
    needed = max(Measurement.get(wide, wide.options, table).maximum, len(title), 1)
    if not sys.stdout.isatty() or needed <= console.width:
        Console(width=needed).print(table, crop=False, soft_wrap=False)
        return
    console.print(title, style="bold", soft_wrap=True)
    names = [str(column.header) for column in table.columns]
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        for name, cell in zip(names, cells, strict=True):
            console.print(f"  {name}: {cell}", soft_wrap=True, highlight=False)
        console.print()
