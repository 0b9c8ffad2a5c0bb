"""Graphs of the TopoHub package: Topology Zoo, SNDlib, CAIDA, Gabriel graphs, synthetic backbones.

An optional extra (``pip install topohub``), of which only the data are read. Its lengths (``dist``) are km on Earth,
except on Gabriel graphs, which lie in a plane. Where SNDlib has coordinates of a drawing, TopoHub takes them for
degrees, and its lengths are not kilometres: there the graph has none.
"""

from __future__ import annotations

import difflib
import json
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from topologies.graphs.distances import is_on_earth
from topologies.graphs.network_graph import NetworkGraph
from topologies.sources.networkx_formats import read_node_link
from topologies.spec import TopologyError

PLANAR_GROUP = "gabriel"
DRAWING_THAT_LOOKS_LIKE_EARTH = "sndlib/india35"


class TopoHubMissing(TopologyError):
    """The package is not installed; the message says what installs it."""


def read_topohub(key: str) -> NetworkGraph:
    """The graph called ``GROUP/NAME``. TopoHubMissing without the package, TopologyError with what is called alike."""
    document: dict[str, Any] = json.loads(_resource(key).read_text(encoding="utf-8"))
    places = [node.pop("pos") for node in document["nodes"]]
    on_earth = key != DRAWING_THAT_LOOKS_LIKE_EARTH and all(map(is_on_earth, places))
    for node, (x, y) in zip(document["nodes"], places, strict=True):
        node |= {"longitude": x, "latitude": y} if on_earth else {"x": x, "y": y}
    for edge in document["edges"]:
        km = edge.pop("dist")
        if on_earth or key.startswith(f"{PLANAR_GROUP}/"):
            edge["km"] = km
        del edge["ecmp_fwd"], edge["ecmp_bwd"]  # loads of a routing that is not ours
    document["graph"]["name"] = key.rpartition("/")[2]
    return read_node_link(document, key)


def topohub_keys() -> list[str]:
    """The names of all graphs. TopoHubMissing without the package."""

    def walk(folder: Traversable, prefix: str) -> list[str]:
        found = []
        for entry in folder.iterdir():
            if entry.is_dir():
                found += walk(entry, f"{prefix}{entry.name}/")
            elif entry.name.endswith(".json"):
                found.append(prefix + entry.name.removesuffix(".json"))
        return found

    return sorted(walk(_data(), ""))


def _data() -> Traversable:
    try:
        return resources.files("topohub") / "data"
    except ModuleNotFoundError:
        raise TopoHubMissing(
            "the package topohub is not installed: .venv/bin/python -m pip install --constraint constraints.txt topohub"
        ) from None


def _resource(key: str) -> Traversable:
    found = _data()
    parts = key.split("/")
    if all(part and not part.startswith(".") and "\\" not in part for part in parts):
        found = found.joinpath(*parts[:-1], f"{parts[-1]}.json")
        if found.is_file():
            return found
    keys = topohub_keys()
    near = difflib.get_close_matches(key, keys, n=3) or [k for k in keys if key.lower() in k.lower()][:3]
    groups = ", ".join(dict.fromkeys(k.split("/")[0] for k in keys))
    hint = f"did you mean {' or '.join(near)}?" if near else f"its groups are {groups}"
    raise TopologyError(f"TopoHub has no graph {key!r}: {hint}")
