"""What a person sees while the demo runs, and what a log file gets."""

import io

import pytest
from rich.console import Console

from scripts.demo.progress import ConsoleProgress


def shown(terminal):
    text = io.StringIO()
    progress = ConsoleProgress(
        Console(file=text, force_terminal=terminal, width=60, highlight=False, color_system=None)
    )
    with progress.step("ping every connection", 2) as step:
        step.detail = "250 echo requests, none lost; [brackets] are not markup and long lines are not broken"
    with progress.step("isolation", 2) as step:
        step.ok, step.detail = False, "a leak"
    with pytest.raises(KeyboardInterrupt), progress.step("interrupted", 1):
        raise KeyboardInterrupt
    return text.getvalue()


def test_one_line_per_step_where_there_is_no_terminal():
    first, second, third = shown(terminal=False).splitlines()
    assert first.startswith("✓ ping every connection")
    assert first.endswith("[brackets] are not markup and long lines are not broken")
    assert second.startswith("✗ isolation")
    assert third.startswith("✗ interrupted")


def test_terminal_shows_the_expected_time_while_it_runs():
    assert "of about 2 s" in shown(terminal=True)
