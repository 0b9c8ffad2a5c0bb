"""The API's tokens in files: made at the first start, readable by their owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from controller.model.errors import ConfigError

TOKEN_BYTES = 32


def read_or_make_token(path: Path) -> str:
    """The token in ``path``, made when there is none. Raises ConfigError for a file that is empty or open to others."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    with os.fdopen(descriptor, "w") as file:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        file.write(token + "\n")
    return token


def _read(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path}: others than its owner may read the token; chmod 600 it, or remove it for a new one")
    token = path.read_text().strip()
    if not token:
        raise ConfigError(f"{path}: the token file is empty; remove it to have a new token made")
    return token
