"""The API's tokens in files: made at the first start, readable by their owner alone."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from controller.model.errors import ConfigError

TOKEN_BYTES = 32


def read_or_make_token(path: Path) -> str:
    """The token in ``path``, made when there is none.

    ConfigError for a file that belongs to somebody else or is open to others: its token is known to them.
    """
    if not path.exists():
        with suppress(FileExistsError):
            _make(path, replace=False)
    found = path.stat()
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{path}: it belongs to user {found.st_uid}, who knows the token; remove it for a new one")
    if found.st_mode & 0o077:
        raise ConfigError(f"{path}: others than its owner may read the token; chmod 600 it, or remove it for a new one")
    if not path.read_text().strip():
        # A version that made the file first and wrote the token then was killed in between.
        _make(path, replace=True)
    return path.read_text().strip()


def _make(path: Path, *, replace: bool) -> None:
    """The file is there with its token, or not at all. FileExistsError where there is one that is to stay."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
        if replace:
            beside.replace(path)
        else:
            os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)
