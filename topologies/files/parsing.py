"""A document's text, or what was read of it, made a :class:`Topology`: well formed first, then consistent. Pure."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from topologies.files.expansion import CannotExpand, expand
from topologies.files.located_yaml import Path, YamlError, line_of, load_located
from topologies.files.problems import DocumentError, Problem, by_place, did_you_mean
from topologies.files.scale import DEFAULT_MBPS_PER_GBPS, require_scale
from topologies.files.schema import SITE_PATTERN, Document
from topologies.spec import SITE_NAME_LENGTH, Topology

MOST_BYTES = 4 << 20
MOST_VALUES = 400_000  # 100 sites with 800 channels are 15,000; aliases count as often as they are used
_TEXT_KEYS = {
    "name", "id", "a", "b", "wavelength", "class", "description", "tier", "protocol", "model", "url", "ca", "cert",
    "key", "sae", "attach", "allocation",
}  # fmt: skip
_TEXT_LISTS = {"channels", "sections", "risk_groups", "qkd_with", "ends"}


def parse_text(
    content: bytes | str, source: str, mbps_per_gbps: float = DEFAULT_MBPS_PER_GBPS, shaped: bool = True
) -> Topology:
    """The topology in a YAML or JSON text. DocumentError names ``source``, the line and the field; ScaleError."""
    document, lines = read_text(content, source)
    return parse_document(document, source, mbps_per_gbps, shaped, lines)


def read_text(
    content: bytes | str, source: str, remedy: str = "it begins with name: and sites:"
) -> tuple[dict[str, Any], Mapping[Path, int]]:
    """The document in a text, not yet checked, and its lines. DocumentError; ``remedy`` where it is no mapping."""
    text = content if isinstance(content, str) else decode_text(content, source)
    try:
        document, lines = load_located(text, _is_text, MOST_VALUES)
    except YamlError as error:
        raise DocumentError(source, [Problem((), f"neither YAML nor JSON: {error}", line=error.line)]) from error
    if not isinstance(document, dict):
        what = "the file is empty" if document is None else "the document is no mapping"
        raise DocumentError(source, [Problem((), what, remedy, line=lines[()])])
    return document, lines


def parse_document(
    document: Mapping[str, Any],
    source: str,
    mbps_per_gbps: float = DEFAULT_MBPS_PER_GBPS,
    shaped: bool = True,
    lines: Mapping[Path, int] | None = None,
) -> Topology:
    """The topology that a document in plain values describes, compact or full. DocumentError, ScaleError.

    ``lines`` are those of its values, where it was read from a file.
    """
    require_scale(mbps_per_gbps)
    try:
        return expand(Document.model_validate(document), mbps_per_gbps, shaped)
    except ValidationError as error:
        problems = [_problem(*each) for each in by_place(error.errors(include_url=False), document).items()]
    except CannotExpand as error:
        problems = list(error.problems)
    raise DocumentError(source, [_located(p, lines) for p in problems])


def decode_text(content: bytes, source: str) -> str:
    """The text of a file that people write. DocumentError where it is none, or longer than anybody writes one."""
    if len(content) > MOST_BYTES:
        raise DocumentError(source, [Problem((), f"it has more than {MOST_BYTES >> 20} MiB", "describe less")])
    # As PowerShell redirects, and as editors on Windows save.
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DocumentError(
            source, [Problem((), "it is not UTF-8 text", "save it in that encoding", line=line)]
        ) from error


def _is_text(path: Path) -> bool:
    """Names, which may look like numbers: a channel called 1e3, a wavelength called 012."""
    return path[-1:] != () and (
        path[-1] in _TEXT_KEYS or (len(path) > 1 and isinstance(path[-1], int) and path[-2] in _TEXT_LISTS)
    )


def _located(problem: Problem, lines: Mapping[Path, int] | None) -> Problem:
    if lines is None:
        return problem
    return Problem(problem.path, problem.message, problem.remedy, line_of(lines, problem.path))


def _problem(path: Path, error: Any) -> Problem:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    shown = _shown(value)
    match kind:
        case "extra_forbidden":
            known = _fields_beside(error["loc"])
            return Problem(path, "there is no such field", did_you_mean(path[-1], known, "fields here"))
        case "missing":
            return Problem(path, f"the field {error['loc'][-1]!r} is missing", "add it")
        case "string_pattern_mismatch" if context["pattern"] == SITE_PATTERN:
            rule = f"a letter from a to z, then at most {SITE_NAME_LENGTH - 1} letters or digits, lower case"
            return Problem(path, f"{shown} is no name of a site", rule)
        case "string_pattern_mismatch":
            rule = "a letter or digit, then at most 63 letters, digits, dots, dashes or underscores, none but ASCII"
            return Problem(path, f"{shown} is no name", rule)
        case "literal_error":
            return Problem(path, f"{shown} is unknown", f"one of {context['expected'].replace(' or ', ', ')}")
        case "finite_number":
            return Problem(path, f"{shown} is no finite number", "write a number")
        case "model_type":
            return Problem(path, "a mapping of fields is expected here", f"not {shown}")
        case "tuple_type":
            return Problem(path, "a list is expected here", f"not {shown}")
        case "too_short":
            return Problem(path, "it is empty", "list at least one")
    return Problem(path, f"{error['msg'][0].lower()}{error['msg'][1:]}", f"not {shown}")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    return "nothing" if value is None else repr(value)[:80]


def _fields_beside(location: Iterable[int | str]) -> list[str]:
    """The fields of the object in which the location's last part was not expected."""
    schema: Any = _SCHEMA
    for part in tuple(location)[:-1]:
        schema = _step(schema, part)
    return list(_resolved(schema).get("properties", {}))


def _step(schema: Any, part: int | str) -> Any:
    schema = _resolved(schema)
    if isinstance(part, int):
        return schema.get("items", {})
    return schema.get("properties", {}).get(part, schema)  # else the name of an alternative


def _resolved(schema: Any) -> Any:
    for option in schema.get("anyOf", ()):
        found = _resolved(option)
        if "properties" in found or "items" in found:
            return found
    return _SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


_SCHEMA = Document.model_json_schema(by_alias=True)
