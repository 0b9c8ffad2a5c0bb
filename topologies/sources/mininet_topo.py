"""Mininet's Topo classes, ``module:Class`` or ``file.py:Class,3,depth=2``: switches become sites, hosts are left out.

Mininet itself is not imported here; the module that holds the class imports it. Running that module and the class is
what was asked for: it is the user's own code.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from topologies.graphs.network_graph import GraphEdge, NetworkGraph
from topologies.sources.attributes import graph_node, number, one_kind
from topologies.spec import FIBRE_DELAY_US_PER_KM, TopologyError

US_IN = {"us": 1.0, "ms": 1e3, "s": 1e6}


def read_mininet(
    module: str, class_name: str, folder: Path, arguments: str = "", is_file: bool = False
) -> NetworkGraph:
    """The network of a Topo class or function, imported from what is installed or from ``folder``.

    ``is_file``: it is that folder's, whatever is installed under the same name. ``arguments`` are those of a call,
    separated by commas: whole numbers, numbers, else words.
    """
    words = [word for word in arguments.split(",") if word]
    values = [_value(word) for word in words if "=" not in word]
    named = {name: _value(word) for name, equals, word in (word.partition("=") for word in words) if equals}
    with _on_path(folder):
        try:
            imported = _run(folder / f"{module}.py") if is_file else importlib.import_module(module)
            topo = getattr(imported, class_name)(*values, **named)
        except Exception as error:  # the user's code may raise anything
            raise TopologyError(f"{module}:{class_name}: {type(error).__name__}: {error}") from error
    if not all(callable(getattr(topo, name, None)) for name in ("switches", "hosts", "links", "nodeInfo")):
        raise TopologyError(f"{module}:{class_name}: this makes a {type(topo).__name__}, which is no Mininet Topo")
    return graph_of(topo, class_name)


def _run(file: Path) -> ModuleType:
    """The file as a module, under a name that no other module has."""
    name = f"qslice_topo_{file.stem}"
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    made = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def _value(word: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def graph_of(topo: Any, name: str) -> NetworkGraph:
    """The network of a Topo. A link's ``bw`` is Mbit/s, its ``delay`` that of the fibre: 4.9 us are a km."""
    switches = set(topo.switches())
    hosts = len(topo.hosts())
    found = [graph_node(switch, _plain(topo.nodeInfo(switch))) for switch in topo.switches()]
    nodes, geographic = one_kind(found)
    edges = [_edge(a, b, dict(info)) for a, b, info in topo.links(withInfo=True) if a in switches and b in switches]
    notes = (f"{hosts} hosts of the Topo are left out: every site has one host of its own",) if hosts else ()
    if not nodes:
        raise TopologyError(f"{name}: this Topo has no switches: sites are made of those")
    return NetworkGraph(name, nodes, tuple(edges), (), geographic, notes=notes)


def _edge(a: str, b: str, info: dict[str, Any]) -> GraphEdge:
    where = f"link {a} - {b}"
    km = gbps = None
    if info.get("delay") is not None:
        km = round(_delay_us(info["delay"], where) / FIBRE_DELAY_US_PER_KM, 3)
    if info.get("km") is not None:
        km = number(info["km"], where, "km")
    if info.get("bw") is not None:
        gbps = number(info["bw"], where, "bw") / 1000
    return GraphEdge(a, b, km, gbps, attributes=_plain(info))


def _delay_us(value: object, where: str) -> float:
    text = str(value).strip()
    unit = next((unit for unit in ("us", "ms", "s") if text.endswith(unit)), None)
    if unit is None:
        raise TopologyError(f"{where}: its delay {text!r} has no unit: us, ms or s")
    return number(text.removesuffix(unit).strip(), where, "delay") * US_IN[unit]


def _plain(info: Any) -> dict[str, Any]:
    return {str(key): value for key, value in dict(info).items() if isinstance(value, str | int | float)}


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
