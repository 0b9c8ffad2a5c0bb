"""XML from strangers: no document type is read, so that no entity is expanded and nothing outside is fetched.

Expat would stop the worst entity bombs by itself, and ElementTree fetches nothing; here neither is relied on.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from xml.parsers import expat

from topologies.spec import TopologyError

DEEPEST = 60
MOST_ELEMENTS = 3_000_000


def parse_xml(text: str) -> ET.Element:
    """The document's root, all names without namespaces. TopologyError names the line where it is no plain XML."""
    check_xml(text)
    root = ET.fromstring(text)  # noqa: S314 - check_xml has refused what makes it unsafe
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def check_xml(text: str) -> None:
    """TopologyError unless it is well-formed XML without a document type, of bearable depth and size."""
    parser = expat.ParserCreate("utf-8")
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    depth = count = 0

    def refuse(message: str) -> None:
        raise TopologyError(f"line {parser.CurrentLineNumber}: {message}")

    def start(_name: str, _attributes: object) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > DEEPEST:
            refuse(f"elements are nested deeper than {DEEPEST} levels")
        if count > MOST_ELEMENTS:
            refuse(f"there are more than {MOST_ELEMENTS} elements")

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: object) -> None:
        refuse("a document type (<!DOCTYPE ...>) is not read, nor the entities in it: remove it")

    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise TopologyError(f"line {error.lineno}: not well-formed XML: {expat.ErrorString(error.code)}") from None
    except UnicodeEncodeError:
        raise TopologyError("half a character (a lone surrogate) stands in it") from None
