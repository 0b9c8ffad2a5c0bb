"""What a person sees while a job runs, and what a log file gets; standard output has the result alone."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from scripts.console.progress import Progress, StepList
from tests.support.wait import wait_until

JOB = """
import time
from scripts.console.output import print_json
from scripts.console.progress import Progress
with Progress("counting", total=3) as progress:
    for piece in range(3):
        progress.begin(f"piece {piece} of a job with a name that is longer than any terminal is wide " * 3)
        time.sleep(0.25)  # a terminal is redrawn ten times a second
print_json({"ok": True})
"""


def shown(job: Callable[[Console], None], terminal: bool, width: int = 100) -> str:
    text = io.StringIO()
    job(Console(file=text, force_terminal=terminal, width=width, highlight=False, color_system=None))
    return text.getvalue()


def steps(console: Console) -> None:
    listed = StepList(console)
    with listed.step("ping every connection", 2) as step:
        step.detail = "250 echo requests, none lost; [brackets] are not markup and long lines are not broken"
    with listed.step("isolation", 2) as step:
        step.ok, step.detail = False, "a leak"
    with pytest.raises(KeyboardInterrupt), listed.step("interrupted", 1):
        raise KeyboardInterrupt


def test_one_line_per_step_where_there_is_no_terminal() -> None:
    first, second, third = shown(steps, terminal=False).splitlines()
    assert first.startswith("✓ ping every connection")
    assert first.endswith("[brackets] are not markup and long lines are not broken")
    assert second.startswith("✗ isolation")
    assert third.startswith("✗ interrupted")


def test_terminal_shows_the_expected_time_while_it_runs() -> None:
    assert "about 2 s left" in shown(steps, terminal=True)


def test_lines_say_what_begins_and_what_is_left() -> None:
    def job(console: Console) -> None:
        with Progress("up", total=2, console=console) as progress:
            progress.begin("certificates [of all]")
            progress.begin("network")
        with Progress("chaos", console=console) as progress:
            progress.expect(30.4)
            progress.say("link down")
            progress.say("link down")  # no news

    lines = [line.partition("s] ")[2] for line in shown(job, terminal=False).splitlines()]
    assert lines == [
        "up: certificates [of all]",
        "up: network, 1 of 2",
        "up: done",
        "chaos: link down, about 30 s left",
        "chaos: done",
    ]


def test_no_word_of_success_after_a_failure() -> None:
    def job(console: Console) -> None:
        with pytest.raises(OSError, match="gone"), Progress("up", console=console):
            raise OSError("gone")

    assert "done" not in shown(job, terminal=False)


@pytest.mark.parametrize("width", [20, 40, 79, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    def job(console: Console) -> None:
        with Progress("counting", total=3, console=console) as progress:
            for piece in range(3):
                progress.begin(f"piece {piece} of a job with a name that is longer than the terminal is wide " * 2)
                progress.close()
                progress.open()

    lines = [Text.from_ansi(line).plain for line in shown(job, terminal=True, width=width).splitlines()]
    assert all(cell_len(line) <= width for line in lines if "done" not in line)


def on_a_terminal(**environment: str) -> tuple[str, str]:
    """Standard output and standard error of a job whose standard error is a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", JOB], stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, **environment}
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # the terminal has no other end any more
                break
            seen += chunk
        assert process.stdout is not None
        output = process.stdout.read().decode()
    os.close(ours)
    assert process.returncode == 0
    return output, seen.decode()


def test_watched_terminal_is_redrawn_and_the_result_stays_clean() -> None:
    output, seen = on_a_terminal(TERM="xterm-256color", NO_COLOR="")
    assert output == '{\n  "ok": true\n}\n'
    assert "\x1b[2K" in seen  # a line erased, to be drawn again
    assert "counting: done" in seen


def test_no_colour_where_none_is_wanted() -> None:
    _, seen = on_a_terminal(TERM="xterm-256color", NO_COLOR="1")
    assert "\x1b[3" not in seen
    assert "\x1b[2K" in seen


def test_terminal_that_cannot_redraw_gets_lines() -> None:
    output, seen = on_a_terminal(TERM="dumb")
    assert output == '{\n  "ok": true\n}\n'
    assert "\x1b" not in seen
    assert [line.partition("s] ")[2][:17] for line in seen.splitlines()] == [
        "counting: piece 0", "counting: piece 1", "counting: piece 2", "counting: done",
    ]  # fmt: skip


def test_equal_pieces_tell_how_long_the_rest_takes() -> None:
    with Progress("counting", total=4, console=Console(quiet=True)) as progress:
        assert progress.left() == ""
        wait_until(lambda: progress.elapsed_s >= 0.6, timeout_s=5)
        progress.advance()
        least_s = 3 * progress.elapsed_s
        left = re.fullmatch(r"about (\d+) s left", progress.left())
        assert left is not None
        assert round(least_s) <= int(left[1]) <= round(3 * progress.elapsed_s)
