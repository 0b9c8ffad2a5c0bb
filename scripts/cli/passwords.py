"""Passwords that a command needs: from a file or a terminal, never an argument, which others see in `ps`."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path

from scripts.errors import WrongRequest

_MOST_OCTETS = 1024


def read_password(file: Path | None, option: str) -> bytes:
    """The first line of ``file``, which others may not read; without one it is asked for, twice, at the terminal."""
    password = _asked() if file is None else _from_file(file, option)
    if not password:
        raise WrongRequest(f"{option}: the password is empty")
    return password


def _from_file(file: Path, option: str) -> bytes:
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
                raise WrongRequest(f"{option}: others may read {file}: chmod 600 {file}")
            line = stream.readline(_MOST_OCTETS + 1)
    except OSError as error:
        raise WrongRequest(f"{option}: {file}: {error.strerror}") from error
    if len(line) > _MOST_OCTETS:
        raise WrongRequest(f"{option}: the password is longer than {_MOST_OCTETS} octets")
    return line.rstrip(b"\r\n")


def _asked() -> bytes:
    if not sys.stdin.isatty():
        raise WrongRequest("--password-file: there is no terminal to ask for a password at")
    password = getpass.getpass("Password of the PKCS#12 file: ")
    if getpass.getpass("Once more: ") != password:
        raise WrongRequest("the two passwords differ")
    return password.encode()
