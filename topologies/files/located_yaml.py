"""YAML and JSON as people write them, with the line of every value, so that a complaint can say where. Pure.

Scalars are read by the core schema of YAML 1.2, not as PyYAML does by YAML 1.1: there `1:1` is 61, `no` is false, `012`
is ten and a date is no string. What has leading zeros is text: a slice differentiator, hardly a number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.composer import Composer
from yaml.resolver import Resolver

Path = tuple[str | int, ...]

MOST_VALUES = 20_000
MOST_DEPTH = 60
_NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
_STR, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_MAP, _SEQ = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


class YamlError(ValueError):
    """Not YAML, or not what can be meant; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Of its implicit types only those of YAML 1.2's core schema, and merge keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    (_BOOL, r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (_NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (_INT, r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (_FLOAT, r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", list("-+0123456789.")),
    (_FLOAT, r"[-+]?\.(?:inf|Inf|INF)|\.nan|\.NaN|\.NAN", list("-+.")),
    (_MERGE, r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)


_READERS: Mapping[str, Callable[[str], bool | int | float]] = {
    _BOOL: lambda text: {"true": True, "false": False}[text.lower()],
    _INT: lambda text: int(text, 0) if text.startswith(("0o", "0x")) else int(text),
    _FLOAT: lambda text: float(re.sub(r"\.(inf|nan)$", r"\1", text.lower())),
}


def load_located(
    text: str, is_text: Callable[[Path], bool] = lambda _: False, most_values: int = MOST_VALUES
) -> tuple[Any, Mapping[Path, int]]:
    """The document and the line of each of its values by path; () is the document itself.

    A scalar where ``is_text`` holds is taken as it is written, be it like a number or a date. YamlError names the line.
    """
    try:
        node = _compose(text)
    except YamlError as error:
        # JSON may begin with a tab, and have longer keys and more characters than YAML.
        return _json(text, error), {(): 1}
    reader = _Reader(is_text, most_values)
    value = None if node is None else reader.read(node, ())
    return value, {(): 1} | reader.lines


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of the value at ``path``, or of the nearest that encloses it."""
    while path not in lines:
        path = path[:-1]
    return lines[path]


def _json(text: str, refused: YamlError) -> Any:
    if not text.lstrip().startswith(("{", "[", '"')):
        raise refused
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_no_number, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):
        raise refused from None


class _FastLoader(Composer, CParser, Resolver):
    """libyaml's parser, several times as fast. Nodes are composed in Python: libyaml's binding follows nested ones by
    recursion in C, and what is nested deeply enough ends the process."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        Composer.__init__(self)
        Resolver.__init__(self)


def _compose(text: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = _FastLoader(text).get_single_node()
    except yaml.YAMLError:
        return _compose_slowly(text)  # which says more of what is wrong
    except RecursionError:
        raise YamlError(1, f"it is nested deeper than {MOST_DEPTH} levels") from None
    return node


def _compose_slowly(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(1 if mark is None else mark.line + 1, error.problem or "not YAML") from error
    except yaml.reader.ReaderError as error:
        message = f"the character U+{error.character:04X} does not belong into text"
        raise YamlError(text.count("\n", 0, error.position) + 1, message) from error
    except yaml.YAMLError as error:
        raise YamlError(1, str(error)) from error
    except RecursionError:
        raise YamlError(1, f"it is nested deeper than {MOST_DEPTH} levels") from None


class _Reader:
    """Makes values of nodes."""

    def __init__(self, is_text: Callable[[Path], bool], most_values: int) -> None:
        self._is_text, self._most_values = is_text, most_values
        self._around: list[yaml.Node] = []
        self._count = 0
        self.lines: dict[Path, int] = {}

    def read(self, node: yaml.Node, path: Path) -> Any:
        self.lines.setdefault(path, _line(node))
        self._count += 1
        if self._count > self._most_values:
            raise YamlError(_line(node), f"with its aliases (*) the document has more than {self._most_values} values")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if any(node is outer for outer in self._around):
            raise YamlError(_line(node), "this holds itself, by an alias (*): write out what is meant")
        if len(self._around) >= MOST_DEPTH:
            raise YamlError(_line(node), f"it is nested deeper than {MOST_DEPTH} levels")
        self._around.append(node)
        try:
            return self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        finally:
            self._around.pop()

    def _sequence(self, node: yaml.Node, path: Path) -> list[Any]:
        _require_tag(node, _SEQ)
        return [self.read(value, (*path, number)) for number, value in enumerate(node.value)]

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        _require_tag(node, _MAP)
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for each in self._merged(value, path):
                    merged = {**each, **merged}  # what stands first has precedence
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise YamlError(_line(key), "a key is one word")
            name = _characters(key)
            if name in own:
                raise YamlError(_line(key), f"{name!r} stands here a second time: remove one of the two")
            self.lines[(*path, name)] = _line(key)
            own[name] = self.read(value, (*path, name))
        return {**merged, **own}

    def _merged(self, value: yaml.Node, path: Path) -> list[dict[str, Any]]:
        found = [self.read(each, path) for each in (value.value if isinstance(value, yaml.SequenceNode) else [value])]
        if not all(isinstance(each, dict) for each in found):
            raise YamlError(_line(value), "<< takes a mapping, or a list of them")
        return found

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text = _characters(node)
        if node.tag == _STR or (self._is_text(path) and node.tag in _READERS):
            return text
        if node.tag == _NULL:
            return None
        if node.tag not in _READERS:
            raise YamlError(_line(node), f"the tag {node.tag!r} is not known: leave it out")
        try:
            value = _READERS[node.tag](text)
            is_finite = math.isfinite(value)  # OverflowError where no float is as large
        except (ValueError, KeyError, OverflowError) as error:
            kind = node.tag.rpartition(":")[2]
            raise YamlError(_line(node), f"{_dotted(path)}: {text[:40]!r} is no {kind}") from error
        if not is_finite:
            raise YamlError(_line(node), f"{_dotted(path)}: {text} is no number that can be asked for")
        return value


def _characters(node: yaml.ScalarNode) -> str:
    """JSON writes a character beyond U+FFFF as two escaped halves, which PyYAML leaves apart."""
    try:
        return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise YamlError(_line(node), "half a character (a lone surrogate) stands here") from None


def _dotted(path: Path) -> str:
    return ".".join(map(str, path)) or "the document"


def _require_tag(node: yaml.Node, tag: str) -> None:
    if node.tag != tag:
        raise YamlError(_line(node), f"the tag {node.tag!r} is not known: leave it out")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _no_number(name: str) -> None:
    raise ValueError(name)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
