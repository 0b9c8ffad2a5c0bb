"""``--set PATH=VALUE``: one field of a document, its value in YAML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts.errors import WrongRequest
from topologies.files.located_yaml import YamlError


def put_change(document: dict[str, Any], change: str, parse: Callable[[str, tuple[str, ...]], Any]) -> None:
    """Set the field. ``parse`` makes its value of the text and of the path, or raises YamlError. WrongRequest."""
    path, equals, text = change.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise WrongRequest(f"--set: {change!r} is not of the form PATH=VALUE")
    try:
        value = parse(text, tuple(keys))
    except YamlError as error:
        raise WrongRequest(f"--set: {path}: {text!r} is not YAML: {error}") from error
    for key in keys[:-1]:
        document = document.setdefault(key, {})
        if not isinstance(document, dict):
            raise WrongRequest(f"--set: {path}: {key} has a value of its own already")
    document[keys[-1]] = value
