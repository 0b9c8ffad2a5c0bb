"""Standard error as a console: whether it is a terminal that can redraw, whether it has colours (NO_COLOR)."""

from __future__ import annotations

import sys

from rich.console import Console


def progress_console() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, force_terminal=sys.stderr.isatty())


def can_redraw(console: Console) -> bool:
    """Whether somebody watches, on a terminal that can redraw a line (TERM is not ``dumb``)."""
    return console.is_terminal and not console.is_dumb_terminal
