"""Slice requests from files: the examples of the papers' use cases, and whatever a user hands to a command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from scripts.errors import WrongRequest
from scripts.testbed.paths import REPOSITORY

EXAMPLES = REPOSITORY / "scripts" / "examples"
EXAMPLE_NAMES = ("enterprise-app", "cdn")


def load_example(name: str) -> dict[str, Any]:
    """The request of one of the papers' use cases."""
    return _parse((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"), name)


def _read(file: str) -> dict[str, Any]:
    path = Path("standard input" if file == "-" else file)
    try:
        # Not by the name /dev/stdin: a socket cannot be opened.
        content = path.read_bytes() if file != "-" else sys.stdin.buffer.read() if sys.stdin is not None else b""
        return _parse(content.decode("utf-8"), str(path))
    except OSError as error:
        raise WrongRequest(f"FILE: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WrongRequest(f"FILE: {path} is not UTF-8 text") from error


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        request = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise WrongRequest(f"FILE: {source} is neither YAML nor JSON: {error}") from error
    if not isinstance(request, dict):
        raise WrongRequest(f"FILE: {source} holds no slice request (a mapping with name, cells, compute, core ...)")
    try:
        json.dumps(request)
    except TypeError as error:
        raise WrongRequest(f"FILE: {source}: {error}") from error
    return request
