"""Following a log misses no line, and tears no letter apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.cli.commands.observe import logs


def append(file: Path, content: bytes) -> None:
    with file.open("ab") as log:
        log.write(content)


def test_what_is_written_after_the_last_lines_were_read_is_followed(tmp_path: Path) -> None:
    file = tmp_path / "kms.log"
    file.write_bytes(b"one\ntwo\nthree\n")
    lines, end = logs._last(file, 2)
    append(file, b"four\n")
    followed = logs._followed(file, lines, end)
    assert [next(followed) for _ in range(3)] == ["two", "three", "four"]


def test_a_letter_that_is_written_in_two_parts_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kms.log"
    first, second = "\u00e9".encode()
    file.write_bytes(b"")
    followed = logs._followed(file, *logs._last(file, 1))
    append(file, bytes([first]))
    monkeypatch.setattr("time.sleep", lambda seconds: append(file, bytes([second]) + b"\n"))
    assert next(followed) == "\u00e9"
