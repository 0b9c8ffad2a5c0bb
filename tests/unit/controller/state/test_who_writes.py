"""Nobody but the part that keeps it writes a piece of the controller's state, and what is read cannot be changed."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from controller.pce.network import Network
from controller.state.allocations import Allocations
from controller.state.install_stages import InstallStages
from controller.state.key_allocations import KeyAllocations
from controller.state.network_state import NetworkState
from controller.state.observations import Observations
from controller.state.reading import StateReading
from controller.state.recording import StateRecording
from controller.state.slice_registry import SliceRegistry
from scripts.testbed.paths import REPOSITORY
from topologies.catalog import metro_ring

PARTS = (SliceRegistry, Allocations, KeyAllocations, InstallStages, Observations)
STATE = REPOSITORY / "controller" / "state"
NAMES = frozenset(n for c in (*PARTS, StateReading) for n, v in vars(c).items() if isinstance(v, property))
CONTAINER_WRITERS = frozenset(
    {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
)
# What changes the objects that are read as they are: the network, the labels, the intended set.
OBJECT_WRITERS = frozenset(
    ["reserve", "release", "reserve_compute", "release_compute", "take_over", "allocate", "claim", "assign"]
) | frozenset(name for name in vars(Network) if name.startswith("set_"))


def chain(node: ast.expr) -> list[str]:
    """``engine.model.slices[name].x`` as its names, from the left; calls and subscripts left out."""
    names: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            node = node.value
        else:
            return [*([node.id] if isinstance(node, ast.Name) else []), *names[::-1]]


def of_the_state(node: ast.expr) -> list[str]:
    """What follows the model in an expression: its attribute and what is done with that; nothing for others."""
    names = chain(node)
    where = max((i for i, name in enumerate(names) if name in ("model", "_model", "trial")), default=len(names))
    return names[where + 1 :]


def targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign | ast.Delete):
        return [leaf for t in node.targets for leaf in (t.elts if isinstance(t, ast.Tuple | ast.List) else [t])]
    return [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For) else []


def writes(source: str) -> Iterator[str]:
    """Writes to the state, and looks at what is private to it, in a module outside controller.state."""
    for node in ast.walk(ast.parse(source)):
        for target in targets(node):
            if of_the_state(target) and of_the_state(target)[0] in NAMES:
                yield f"{target.lineno}: {ast.unparse(target)} is written"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names = of_the_state(node.func)
            if len(names) > 1 and names[0] in NAMES and names[-1] in CONTAINER_WRITERS | OBJECT_WRITERS:
                yield f"{node.lineno}: {ast.unparse(node.func)} is called"
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and of_the_state(node) == [node.attr]:
            yield f"{node.lineno}: {ast.unparse(node)} is private"


def intrusions(source: str) -> Iterator[str]:
    """Looks, in a module of controller.state, at what is private to another object than oneself and one's twin."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
            continue
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "twin")):
            yield f"{node.lineno}: {ast.unparse(node)}"


def modules(*folders: str) -> list[Path]:
    return [p for folder in folders for p in sorted((REPOSITORY / folder).rglob("*.py")) if STATE not in p.parents]


def test_nobody_outside_writes_the_state() -> None:
    read = modules("controller", "scripts", "tests")
    found = {str(path.relative_to(REPOSITORY)): list(writes(path.read_text())) for path in read}
    assert {path: what for path, what in found.items() if what} == {}


def test_no_part_touches_what_is_private_to_another() -> None:
    found = {p.name: list(intrusions(p.read_text())) for p in sorted(STATE.glob("*.py"))}
    assert {path: what for path, what in found.items() if what} == {}
    # A twin is made by its own kind alone, in one method.
    for kind in (*PARTS, NetworkState):
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
        forks = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and f.name == "fork"]
        inside = {id(n) for f in forks for n in ast.walk(f)}
        twins = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "twin"]
        assert twins
        assert all(id(n) in inside for n in twins), kind


@pytest.mark.parametrize(
    "wrong",
    [
        "model.connections[x] = y",
        "self._engine.model.doubted = frozenset()",
        "del engine.model.slices[name]",
        "suspected, engine.model.silent = engine.model.silent, silent",
        "model.findings |= {}",
        "model.connections.update({})",
        "engine.model.network.set_channel_up(channel, True)",
        "model.intended.assign(owner, ())",
        "self._model.labels.release(lane)",
        "model._registry.set_state(i, state)",
        "model.spares[channel]: object = 1",
    ],
)  # fmt: skip
def test_what_is_looked_for_is_found(wrong: str) -> None:
    assert list(writes(wrong))


def test_an_intruder_is_found() -> None:
    assert list(intrusions("self._registry._slices.clear()"))
    assert not list(intrusions("self._registry.slices"))


@pytest.mark.parametrize("kind", [*PARTS, StateReading])
def test_fields_are_private_and_what_is_read_has_no_type_that_can_be_written(kind: type) -> None:
    for name, value in vars(kind).items():
        if not isinstance(value, property):
            continue
        assert value.fset is None
        read = typing.get_type_hints(value.fget)["return"]
        assert (typing.get_origin(read) or read) not in (dict, list, set), name
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    fields = {t.attr for n in ast.walk(tree) for t in targets(n) if isinstance(t, ast.Attribute)}
    assert fields
    assert all(name.startswith("_") for name in fields)


def test_nothing_that_is_read_can_be_changed_where_it_stands() -> None:
    model = NetworkState(metro_ring())
    for name in sorted(NAMES):
        value = getattr(model, name)
        if isinstance(value, Mapping):
            assert isinstance(value, types.MappingProxyType), name
        with pytest.raises(AttributeError):
            setattr(model, name, value)


def test_no_method_sets_whatever_it_is_told_to() -> None:
    for kind in (*PARTS, StateReading, StateRecording, NetworkState):
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            kinds = {p.kind for p in inspect.signature(method).parameters.values()}
            assert inspect.Parameter.VAR_KEYWORD not in kinds, (kind, name)


def test_no_file_has_grown_into_what_it_came_from() -> None:
    for path in STATE.glob("*.py"):
        assert len(path.read_text().splitlines()) < 300, path
