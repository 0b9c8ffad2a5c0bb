"""Slice requests from files: the examples of the papers' use cases, and whatever a user hands to a command."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path
from typing import Any

from scripts.errors import WrongRequest
from scripts.testbed.paths import REPOSITORY
from topologies.files.located_yaml import Path as ValuePath
from topologies.files.located_yaml import YamlError, load_located

EXAMPLES = REPOSITORY / "scripts" / "examples"
_TEXTS = {("name",), ("core",), ("compute", "site"), ("sNSSAI", "sd")}
_LISTED_TEXTS = {("name",), ("from",), ("to",)}
EXAMPLE_NAMES = ("enterprise-app", "cdn", "enterprise-app-protected", "cdn-protected")
MOST_VALUES = 400_000  # a traffic matrix of 20,000 pairs has half of that
RING = "ring"  # connections between any sites, as no template of the papers has them


def load_example(name: str) -> dict[str, Any]:
    """The request of one of the papers' use cases, as they are or protected, or :data:`RING`."""
    return _parse((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"), name)


def read_document(file: str) -> dict[str, Any]:
    """A request or a patch from a YAML or JSON file, ``-`` for standard input. Raises WrongRequest."""
    path = Path("standard input" if file == "-" else file)
    try:
        # Not by the name /dev/stdin: a socket cannot be opened.
        content = path.read_bytes() if file != "-" else sys.stdin.buffer.read() if sys.stdin is not None else b""
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as PowerShell redirects
        return _parse(content.decode("utf-16" if is_utf16 else "utf-8"), str(path))
    except OSError as error:
        raise WrongRequest(f"FILE: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WrongRequest(f"FILE: {path} is not UTF-8 text") from error


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        request, _ = load_located(text, is_text_in_request, MOST_VALUES)
    except YamlError as error:
        raise WrongRequest(f"FILE: {source}:{error.line}: neither YAML nor JSON: {error}") from error
    if not isinstance(request, dict):
        raise WrongRequest(f"FILE: {source} holds no slice request (a mapping with name, sNSSAI, connections ...)")
    return request


def is_text_in_request(path: ValuePath) -> bool:
    """Names, which may look like numbers or truth values: a slice called 2026, or the differentiator 100000."""
    within = path[2:] if path[:1] == ("slices",) else path  # a file of many requests
    is_listed = within[:1] == ("connections",) and within[2:] in _LISTED_TEXTS
    return within in _TEXTS or within[:1] == ("cells",) or is_listed


def parse_value(text: str, path: ValuePath) -> Any:
    """One value of a request; YamlError when it is none."""
    value, _ = load_located(text, lambda within: is_text_in_request((*path, *within)))
    return value
