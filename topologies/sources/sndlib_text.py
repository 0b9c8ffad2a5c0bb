"""SNDlib's native text format, version 1.0: sections of lines of words and brackets.

``?SNDlib native format; type: network; version: 1.0``, then NODES, LINKS, DEMANDS, META and ADMISSIBLE_PATHS, each with
its lines between brackets; ``#`` begins a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from topologies.graphs.distances import is_on_earth
from topologies.sources.attributes import number as as_number
from topologies.spec import TopologyError

START = "?SNDlib"
_HEADER = re.compile(r"\?SNDlib native format; *type: *(?P<type>\w+); *version: *(?P<version>[\w.]+)")
_PIECES = re.compile(r"[()]|[^\s()]+")
_SECTION = re.compile(r"(?P<name>[A-Z_]+)\s*\(\s*\)?$")
_SECTIONS = ("META", "NODES", "LINKS", "DEMANDS", "ADMISSIBLE_PATHS")


@dataclass(frozen=True)
class _Line:
    number: int
    words: tuple[str | tuple[str, ...], ...]
    """What is in brackets is one entry."""

    def word(self, at: int, what: str) -> str:
        found = self.words[at] if at < len(self.words) else None
        if not isinstance(found, str):
            raise TopologyError(f"line {self.number}: {what} is missing")
        return found

    def group(self, at: int, size: int, what: str) -> tuple[str, ...]:
        found = self.words[at] if at < len(self.words) else None
        if not isinstance(found, tuple) or len(found) < size:
            raise TopologyError(f"line {self.number}: {what} is missing")
        return found


def read_elements(text: str) -> Mapping[str, Any]:
    """The network as :func:`topologies.sources.sndlib.read_sndlib_json` takes it. TopologyError names the line."""
    sections = _sections(text)
    nodes = [_node(line) for line in sections["NODES"]]
    return {
        "meta": dict(_setting(line) for line in sections.get("META", ())),
        "networkStructure": {
            "coordinatesType": "geographical" if all(map(_is_geographic, nodes)) else "pixel",
            "nodes": nodes,
            "links": [_link(line) for line in sections.get("LINKS", ())],
        },
        "demands": [_demand(line) for line in sections.get("DEMANDS", ())],
    }


def _sections(text: str) -> dict[str, list[_Line]]:
    found: dict[str, list[_Line]] = {}
    section = None
    header = None
    for number, line in _told(text):
        if header is None:
            header = _checked_header(line, number)
        elif section is None:
            begins = _SECTION.match(line)
            if begins is None or begins["name"] not in _SECTIONS:
                raise TopologyError(f"line {number}: a section is to begin here: {', '.join(_SECTIONS)}, then (")
            if begins["name"] in found:
                raise TopologyError(f"line {number}: a second {begins['name']}")
            found[begins["name"]] = []
            section = None if line.endswith(")") else begins["name"]
        elif line == ")":
            section = None
        else:
            found[section].append(_Line(number, tuple(_words(line, number))))
    if section is not None:
        raise TopologyError(f"the section {section} has no end: a line with ) is missing")
    if "NODES" not in found:
        raise TopologyError("there is no section NODES")
    return found


def _told(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.split("#", 1)[0].strip()
        if said:
            yield number, said


def _checked_header(line: str, number: int) -> str:
    header = _HEADER.match(line)
    if header is None:
        raise TopologyError(
            f"line {number}: SNDlib's header is to stand here: {START} native format; type: network; ..."
        )
    if (header["type"], header["version"]) != ("network", "1.0"):
        raise TopologyError(
            f"line {number}: it is a {header['type']} of version {header['version']}; a network of version 1.0 is known"
        )
    return line


def _words(line: str, number: int) -> Iterator[str | tuple[str, ...]]:
    inside: list[str] | None = None
    for piece in _PIECES.findall(line):
        if piece == "(":
            if inside is not None:
                raise TopologyError(f"line {number}: a bracket within brackets")
            inside = []
        elif piece == ")":
            if inside is None:
                raise TopologyError(f"line {number}: ) without (")
            yield tuple(inside)
            inside = None
        elif inside is not None:
            inside.append(piece)
        else:
            yield piece
    if inside is not None:
        raise TopologyError(f"line {number}: a bracket is not closed")


def _setting(line: _Line) -> tuple[str, str]:
    name = line.word(0, "a name")
    at = 2 if len(line.words) > 1 and line.words[1] == "=" else 1
    return name, " ".join(word for word in line.words[at:] if isinstance(word, str))


def _node(line: _Line) -> dict[str, Any]:
    where = f"line {line.number}"
    x, y = (as_number(word, where, "a coordinate") for word in line.group(1, 2, "the node's place, ( x y ),")[:2])
    return {"id": line.word(0, "the node's name"), "coordinates": {"x": x, "y": y}}


def _is_geographic(node: Mapping[str, Any]) -> bool:
    """This format does not say whether places are degrees or those of a drawing."""
    return is_on_earth((node["coordinates"]["x"], node["coordinates"]["y"]))


def _link(line: _Line) -> dict[str, Any]:
    """``id ( source target ) installed_capacity installed_cost routing_cost set_up_cost ( {capacity cost}* )``."""
    source, target = line.group(1, 2, "the link's ends, ( source target ),")[:2]
    return {
        "id": line.word(0, "the link's name"),
        "source": source,
        "target": target,
        "preInstalledCapacity": line.word(2, "the capacity installed already"),
    }


def _demand(line: _Line) -> dict[str, Any]:
    """``id ( source target ) routing_unit value most_hops``."""
    source, target = line.group(1, 2, "the demand's ends, ( source target ),")[:2]
    value = line.word(3, "the demand's value")
    return {"id": line.word(0, "the demand's name"), "source": source, "target": target, "demandValue": value}
