"""YAML with the line of every value, so that a complaint can say where. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

Path = tuple[str | int, ...]


class YamlError(ValueError):
    """Not YAML, or a key stands twice; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def load_located(text: str) -> tuple[Any, Mapping[Path, int]]:
    """The document and the line of each of its values by path; () is the document itself."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(1 if mark is None else mark.line + 1, error.problem or "not YAML") from error
    except yaml.YAMLError as error:
        raise YamlError(1, str(error)) from error
    lines: dict[Path, int] = {(): 1}
    if node is not None:
        _walk(node, (), lines)
    return value, lines


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of the value at ``path``, or of the nearest that encloses it."""
    while path not in lines:
        path = path[:-1]
    return lines[path]


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise YamlError(key.start_mark.line + 1, f"{name!r} stands here a second time")
            seen.add(name)
            _walk(value, (*path, name), lines)
            lines[(*path, name)] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _walk(value, (*path, number), lines)
