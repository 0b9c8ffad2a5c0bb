"""Folders and files of results: made for who called sudo, written whole, and never through somebody's link."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.errors import WrongRequest
from scripts.files.caller import who_called_sudo


def make_results_folder(option: str, folder: Path) -> Path:
    """Make it, with what is missing above it; WrongRequest that names the option when that cannot be done."""
    try:
        _make(folder)
    except OSError as error:
        raise WrongRequest(f"{option}: cannot make {folder}: {error.strerror}") from error
    return folder


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A new file beside ``path``, of a name that nobody can have planted; it takes the place of ``path`` at the end.

    Nothing is left of it when the block fails.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    try:
        yield Path(name)
        os.fchmod(handle, 0o644)
        _give_to_caller(handle)
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        os.close(handle)


def write_result(path: Path, text: str) -> None:
    """Replace a file as a whole: an interruption leaves the last state."""
    with new_file(path) as new:
        new.write_text(text, encoding="utf-8")


def give_to_caller(folder: Path) -> None:
    """All files in a folder; not what a link leads to, and none that has another name elsewhere."""
    if who_called_sudo() is None:
        return
    for _, _, names, at in os.fwalk(folder):
        _give_to_caller(at)
        for name in names:
            with suppress(OSError):
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
                try:
                    found = os.fstat(handle)
                    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                        _give_to_caller(handle)
                finally:
                    os.close(handle)


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    _make(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _give_to_caller(handle)
    finally:
        os.close(handle)


def _give_to_caller(handle: int) -> None:
    caller = who_called_sudo()
    if caller is not None:
        os.fchown(handle, *caller)
