"""The file: YAML or JSON whose every value is held against the table, with the line of whatever is wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from scripts.configuration.setting import Setting
from scripts.configuration.table import BY_NAME, FILE_VERSION, KEY_SOURCES, SETTINGS, is_key_source
from topologies.files.located_yaml import Path, YamlError, line_of, load_located
from topologies.files.parsing import decode_text
from topologies.files.problems import DocumentError, Problem, choices, did_you_mean

VERSION = "version"
BEGIN = f"begin with `{VERSION}: {FILE_VERSION}`"
LISTED = ": `qslice config validate` lists them"


@dataclass(frozen=True)
class Given:
    """A value that somebody gave, and the line where it stands (None: not in a file)."""

    value: Any
    line: int | None = None


def parse_file(content: bytes | str, source: str) -> dict[str, Given]:
    """What a file sets, by the settings' names. DocumentError names ``source``, line and field."""
    text = content if isinstance(content, str) else decode_text(content, source)
    try:
        document, lines = load_located(text, _is_text)
    except YamlError as error:
        raise DocumentError(
            source, [Problem((), f"neither YAML nor JSON: {error}", line=error.line)], LISTED
        ) from error
    if not isinstance(document, dict):
        what = "the file is empty" if document is None else "it holds no mapping of settings"
        raise DocumentError(source, [Problem((), what, BEGIN, line_of(lines, ()))], LISTED)
    found: dict[str, Given] = {}
    problems: list[Problem] = []
    _check_version(document, problems)
    for name, value in _leaves(document, (), problems):
        try:
            found[name] = Given(checked(name, value), line_of(lines, BY_NAME[name].path))
        except Wrong as error:
            problems += error.problems
    if problems:
        located = [Problem(p.path, p.message, p.remedy, line_of(lines, p.path)) for p in problems]
        raise DocumentError(source, located, LISTED)
    return found


class Wrong(Exception):
    """A value that a setting cannot have."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


def checked(name: str, value: Any) -> Any:
    """The value in plain form. Raises Wrong, whose problems have the path of what is wrong within the file."""
    setting = BY_NAME[name]
    try:
        plain = setting.checked(value)
    except ValidationError as error:
        raise Wrong([_problem(setting, each, value) for each in error.errors(include_url=False)]) from None
    if name in KEY_SOURCES and not is_key_source(plain):
        raise Wrong([Problem(setting.path, f"{shown(plain)} is no key source", "dh, qra, qkd, or several joined by +")])
    return plain


def _check_version(document: Mapping[str, Any], problems: list[Problem]) -> None:
    version = document.get(VERSION, FILE_VERSION)
    if isinstance(version, bool) or version != FILE_VERSION:
        what = f"the file is of version {shown(version)}, and this QSlice reads version {FILE_VERSION}"
        problems.append(Problem((VERSION,), what, "see docs/reference/config.md"))


def _leaves(value: Mapping[str, Any], path: tuple[str, ...], problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    """The settings' names with their values; what names none, or no mapping where one must be, is a problem."""
    known = _below(path)
    for key, inner in value.items():
        here = (*path, key)
        name = ".".join(here)
        if here == (VERSION,):
            continue
        if name in BY_NAME and BY_NAME[name].path == here:  # and not one key with dots in it
            yield name, inner
        elif key not in known:
            problems.append(Problem(here, "there is no such setting", _meant(key, known)))
        elif inner is None:  # all that was in it has been commented out
            continue
        elif isinstance(inner, dict):
            yield from _leaves(inner, here, problems)
        else:
            remedy = f"with some of: {choices(_below(here))}"
            problems.append(Problem(here, "a mapping of settings is expected here", remedy))


def _below(path: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(s.path[len(path)] for s in SETTINGS if s.path[: len(path)] == path))


def _meant(key: str, known: Sequence[str]) -> str:
    """The nearest name beside it, else the setting of that name elsewhere."""
    if key in BY_NAME:
        return "in the file each part has a line of its own, indented below the one before: " + ", ".join(
            f"`{part}:`" for part in BY_NAME[key].path
        )
    elsewhere = [s.name for s in SETTINGS if s.path[-1] == key or s.path[0] == key]
    remedy = did_you_mean(key, known, "here there are")
    return remedy if remedy.startswith("did you mean") or not elsewhere else f"did you mean {elsewhere[0]!r}?"


def _problem(setting: Setting, error: Any, value: Any) -> Problem:
    """What pydantic found, in the words of the reference."""
    inside = _within(value, error["loc"])
    path: Path = (*setting.path, *inside)
    if error["type"] == "extra_forbidden":
        return Problem(
            path, "there is no such setting", did_you_mean(error["loc"][-1], _members(setting), "here there are")
        )
    if not inside:
        unit = f", in {setting.unit}" if setting.unit else ""
        if setting.name == "tunnel.probe_s" or error["type"] == "value_error":
            return Problem(path, f"{shown(value)} is not possible", error["msg"].removeprefix("Value error, "))
        return Problem(path, f"{shown(value)} is not {setting.limits}{unit}", "")
    return Problem(path, f"{error['msg'][0].lower()}{error['msg'][1:]}", f"not {shown(error['input'])}")


def _within(value: Any, location: Sequence[int | str]) -> Path:
    """The part of pydantic's location that is in the value (it adds the names of alternatives)."""
    path: Path = ()
    for part in location:
        is_key = isinstance(value, Mapping) and part in value
        if is_key or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
            path = (*path, part)
    return path


def _members(setting: Setting) -> list[str]:
    """What the mappings in a setting's value may have."""
    models = setting.schema.get("$defs", {}).values()
    return [name for model in models for name in model.get("properties", {})]


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    if isinstance(value, Mapping | list | tuple):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)[:80]


def _is_text(path: Path) -> bool:
    """Settings that are text, be it like a number: a topology called 2026."""
    setting = BY_NAME.get(".".join(map(str, path)))
    return setting is not None and setting.is_text
