"""How commands speak: tables for people, one document for programs, both on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_STATE_STYLE = {"up": "green", "active": "green", "down": "red", "degraded": "yellow", "aborted": "red"}


@dataclass
class _Form:
    """What ``-o`` chose for this process: ``json``, ``yaml`` or ``name``, and the member that holds a name."""

    kind: str = "json"
    name_of: str | None = None


_form = _Form()


def choose_form(kind: str, name_of: str | None) -> None:
    """How :func:`print_json` prints from now on; ``name_of`` is the member that ``name`` prints."""
    _form.kind, _form.name_of = kind, name_of


def print_json(document: Any) -> None:
    """The one document of a command called with ``--json``, in the form that ``-o`` chose."""
    if _form.kind == "yaml":
        import yaml  # not part of Python, and seldom asked for

        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")
    elif _form.kind == "name" and _form.name_of is not None:
        for name in _names(document, _form.name_of):
            print(name)
    else:
        print(json.dumps(document, indent=2))


def print_error(document: Mapping[str, Any]) -> None:
    """The document of a command that failed; where names were asked for there is none."""
    if _form.kind != "name":
        print_json(document)


def tell_early_end(program: str, message: str, exit_status: int, as_json: bool = False) -> int:
    """Why a check came to no result, on standard error and ``as_json`` as a document too; the exit status."""
    if as_json:
        print_error({"ok": False, "error": message, "exit_status": exit_status})
    print(f"{program}: {message}", file=sys.stderr)
    return exit_status


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; states are coloured where the terminal can."""
    try:
        from rich.table import Table
    except ModuleNotFoundError:  # a machine without the set-up, which asks a controller elsewhere
        _print_plain(title, columns, [[_text(value) for value in row] for row in rows])
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _print_whole(table, title)


def say(text: str) -> None:
    """A line for a person."""
    print(text)


def _names(document: Any, member: str) -> Iterator[Any]:
    if isinstance(document, Mapping):
        if member in document:
            yield document[member]
            return
        document = [each for value in document.values() if isinstance(value, list) for each in value]
    yield from (each[member] for each in document if isinstance(each, Mapping) and member in each)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _cell(value: Any) -> str:
    text = _text(value)
    style = _STATE_STYLE.get(text.lower())
    return f"[{style}]{text}[/{style}]" if style else text.replace("[", r"\[")


def _print_plain(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    print(title)
    for row in (columns, *rows):
        print("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())


def _print_whole(table: Any, title: str) -> None:
    """A table of which nothing is cut: the next command needs the ids in it. Where the terminal is too narrow each row
    is a paragraph of lines."""
    from rich.console import Console
    from rich.measure import Measurement

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
