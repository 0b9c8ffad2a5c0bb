"""What commands print, on whatever their standard streams are."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.support.launcher import argv, environment

ID = "agg1-metro1-a-channel-of-a-very-long-name-qkd"
TABLE = f"""
from scripts.console.streams import take_standard_streams
from scripts.console.output import print_table
take_standard_streams()
columns = ("id", "a", "b", "state", "class", "capacity")
print_table("Channels", columns, [("{ID}", "agg1", "metro1", "up", "qkd", 1.5)] * 3)
"""


def on_a_terminal(words: list[str], columns: int, **variables: str) -> str:
    """What a command shows on a terminal so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    clean = {name: value for name, value in environment().items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env={**clean, "TERM": "xterm", **variables}
    )
    os.close(theirs)
    shown = b""
    try:
        while select.select([ours], [], [], 60)[0]:
            shown += os.read(ours, 65536)
    except OSError:  # the other side has closed
        pass
    os.close(ours)
    assert process.wait(60) == 0, shown
    return shown.decode()


@pytest.mark.parametrize("columns", [1, 20, 40, 79, 80, 400])
def test_fault_26_ids_are_whole_on_any_terminal(columns: int) -> None:
    assert on_a_terminal([sys.executable, "-c", TABLE], columns).count(ID) == 3


@pytest.mark.parametrize("columns", ["0", "20", "nonsense"])
def test_fault_26_ids_are_whole_in_a_pipe_whatever_columns_says(columns: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TABLE], env=environment(COLUMNS=columns), capture_output=True, text=True, check=True
    )
    assert done.stdout.count(ID) == 3
    assert done.stdout.count("\n") == 8  # a row is a line


@pytest.mark.parametrize(
    ("variables", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_fault_26_colours_only_where_they_are_wanted(variables: dict[str, str], has_colour: bool) -> None:
    shown = on_a_terminal([sys.executable, "-c", TABLE], 400, **variables)
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)) is has_colour


def test_fault_26_progress_is_lines_where_nothing_can_be_redrawn() -> None:
    code = (
        "from scripts.console.progress import Progress\n"
        "with Progress('up x', total=2) as progress: progress.begin('first'); progress.begin('second')"
    )
    shown = on_a_terminal([sys.executable, "-c", code], 80, TERM="dumb")
    assert "up x: first" in shown
    assert "up x: second" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(("words", "status"), [(["experiment", "list"], 0), (["experiment", "run", "nosuch"], 2)])
def test_fault_26_a_reader_who_left_changes_nothing(words: list[str], status: int) -> None:
    """The exit status says what was done, and nothing is printed about the pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    for stream in ("stdout", "stderr"):
        process = subprocess.Popen(
            argv(*words), stdin=subprocess.DEVNULL, env=environment(),
            stdout=writing if stream == "stdout" else subprocess.PIPE,
            stderr=writing if stream == "stderr" else subprocess.PIPE,
        )  # fmt: skip
        out, err = process.communicate(timeout=60)
        assert process.returncode == status
        assert b"Broken pipe" not in (out or b"") + (err or b"")
        assert b"Exception" not in (out or b"") + (err or b"")
    os.close(writing)


@pytest.mark.parametrize("stdin", ["null", "closed", "empty file", "ended pipe", "ended socket"])
def test_fault_26_up_without_a_terminal_builds_nothing(tmp_path: Path, stdin: str) -> None:
    """cron, systemd and ssh give one of these; a shell would read its end and take everything down again."""
    (tmp_path / "empty").touch()
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    ours.close()
    os.close(writing)
    given = {
        "null": os.open(os.devnull, os.O_RDONLY), "closed": -1, "empty file": os.open(tmp_path / "empty", os.O_RDONLY),
        "ended pipe": reading, "ended socket": theirs.fileno(),
    }[stdin]  # fmt: skip
    words = argv("up") if stdin != "closed" else ["sh", "-c", 'exec "$@" <&-', "sh", *argv("up")]
    done = subprocess.run(
        words, stdin=given if given >= 0 else None, env=environment(), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    theirs.close()
    os.close(reading)
    assert done.returncode == 2, done.stderr
    assert "--detach" in done.stderr
    assert "certificates" not in done.stderr


def test_fault_26_a_request_is_read_from_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"name: [not a request\n")
        ours.shutdown(socket.SHUT_WR)
        done = subprocess.run(
            argv("slice", "create", "-", "--dry-run"), stdin=theirs.fileno(), env=environment(), capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "cannot read" not in done.stderr
    assert "neither YAML nor JSON" in done.stderr


def test_fault_26_nohup_is_heeded() -> None:
    """A run that was started by nohup(1) goes on when the terminal is gone."""
    code = (
        "import os, signal\nfrom scripts.testbed.interrupts import end_on_signals\n"
        "end_on_signals(); os.kill(os.getpid(), signal.SIGHUP); print('goes on')"
    )
    done = subprocess.run(
        ["nohup", sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.stdout == "goes on\n"
