"""The two streams as consoles: what is a terminal, how wide it is, whether it has colours (NO_COLOR)."""

from __future__ import annotations

import sys

from rich.console import Console

WIDTH_OF_A_FILE = 200
"""A pipe has no width: what another program will read is not folded. Columns."""


def output_console() -> Console:
    """Standard output."""
    if sys.stdout.isatty():
        return Console()
    return Console(force_terminal=False, width=WIDTH_OF_A_FILE)


def progress_console() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, force_terminal=sys.stderr.isatty())


def can_redraw(console: Console) -> bool:
    """Whether somebody watches, on a terminal that can redraw a line (TERM is not ``dumb``)."""
    return console.is_terminal and not console.is_dumb_terminal
