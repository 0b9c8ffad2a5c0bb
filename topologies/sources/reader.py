"""A network's source, as the user names it, read into a graph: a file by its content, ``topohub:``, ``module:Class``.

The one module here that opens files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from topologies.graphs.network_graph import NetworkGraph
from topologies.sources.gnpy import read_gnpy
from topologies.sources.mininet_topo import read_mininet
from topologies.sources.netjson import TYPE as NETJSON_TYPE
from topologies.sources.netjson import read_netjson
from topologies.sources.networkx_formats import read_gml, read_graphml, read_node_link
from topologies.sources.sndlib import read_sndlib_json, read_sndlib_xml
from topologies.sources.sndlib_text import START as SNDLIB_TEXT
from topologies.sources.sndlib_text import read_elements
from topologies.sources.topohub_graphs import read_topohub
from topologies.sources.xml_text import parse_xml
from topologies.spec import TopologyError

Format = Literal["graphml", "gml", "sndlib", "node-link", "gnpy", "netjson"]
FORMATS: tuple[Format, ...] = get_args(Format)
LARGEST_BYTES = 64 << 20
# SNDlib's files are in Latin-1, and say so.
_XML_ENCODING = re.compile(rb"<\?xml[^>]{0,80}\sencoding=[\"'](iso-8859-1|windows-1252|us-ascii)[\"']", re.IGNORECASE)
TOPOHUB = "topohub:"
_CLASS = re.compile(r"(?:(?P<file>.+)\.py|(?P<module>[A-Za-z_][\w.]*)):(?P<name>[A-Za-z_]\w*)(?:,(?P<arguments>.*))?")


def read_source(source: str, form: Format | None = None) -> NetworkGraph:
    """The graph that ``source`` names. TopologyError says what is wrong with it, the file's name first."""
    if source.startswith(TOPOHUB):
        return read_topohub(source.removeprefix(TOPOHUB))
    path = Path(source)
    named = _CLASS.fullmatch(source)
    if named and not path.exists():
        of_class = named["name"], Path.cwd() / Path(named["file"] or "").parent, named["arguments"] or ""
        return read_mininet(named["module"] or Path(named["file"]).name, *of_class, is_file=bool(named["file"]))
    try:
        return read_text(_text(path), path.stem, form)
    except TopologyError as error:
        raise TopologyError(f"{source}: {error}") from error


def read_text(text: str, name: str, form: Format | None = None) -> NetworkGraph:
    """The graph in ``text``; its format is known by the content where it is not given."""
    form = form or _form_of(text)
    if form == "graphml":
        return read_graphml(text, name)
    if form == "gml":
        return read_gml(text, name)
    if form == "sndlib" and text.lstrip().startswith("<"):
        return read_sndlib_xml(text, name)
    if form == "sndlib" and text.lstrip().startswith(SNDLIB_TEXT):
        return read_sndlib_json(read_elements(text), name)
    document = _json(text)
    readers = {"sndlib": read_sndlib_json, "node-link": read_node_link, "gnpy": read_gnpy, "netjson": read_netjson}
    return readers[form](document, name)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise TopologyError(
                "there is no such file; a source is a file, topohub:GROUP/NAME or a Mininet Topo as module:Class"
            )
        if path.stat().st_size > LARGEST_BYTES:
            raise TopologyError(f"it is larger than {LARGEST_BYTES >> 20} MiB")
        content = path.read_bytes()
        declared = _XML_ENCODING.match(content)
        return content.decode(declared[1].decode().lower() if declared else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise TopologyError(f"byte {error.start} is no {error.encoding.upper()}") from None
    except (OSError, ValueError) as error:
        raise TopologyError(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _form_of(text: str) -> Format:
    start = text.lstrip()[:1]
    if start == "<":
        root = parse_xml(text).tag
        if root == "graphml":
            return "graphml"
        if root == "network":
            return "sndlib"
        raise TopologyError(f"XML with the root <{root}>: <graphml> and SNDlib's <network> are known")
    if start == "{":
        return _json_form(_json(text))
    if text.lstrip().startswith(SNDLIB_TEXT):
        return "sndlib"
    if re.search(r"^\s*graph\s*\[", text, re.MULTILINE):
        return "gml"
    raise TopologyError(f"its format is not known by its content: name it, --format {' | '.join(FORMATS)}")


def _json_form(document: Mapping[str, Any]) -> Format:
    if "elements" in document and "connections" in document:
        return "gnpy"
    if document.get("type") == NETJSON_TYPE:
        return "netjson"
    if "networkStructure" in document or "network" in document:
        return "sndlib"
    nodes, links = document.get("nodes"), document.get("links")
    if isinstance(nodes, Mapping) or (isinstance(links, Mapping)) or isinstance(document.get("demands"), list | dict):
        return "sndlib"
    if isinstance(nodes, list):
        return "node-link"
    raise TopologyError("this JSON is none that is known: node-link, SNDlib, GNPy, NetJSON (type NetworkGraph)")


def _json(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise TopologyError(f"not JSON: {error}") from None
    if not isinstance(document, Mapping):
        raise TopologyError("not a JSON object")
    return document


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON's")
