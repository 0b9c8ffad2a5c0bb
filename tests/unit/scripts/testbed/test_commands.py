"""The command line: every command is found, and loads what it needs and no more."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from scripts.checks.check import ROOT
from scripts.cli.grammar import tree
from scripts.cli.grammar.leaf import Leaf

HEAVY = (
    "mininet",
    "networkx",
    "matplotlib",
    "controller.state.network_state",
    "scripts.experiments.scripted.run",
    "scripts.bench.kms.run",
)
LEAVES = [leaf for leaf in tree.leaves() if leaf.module is not None]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.path)
def test_a_command_is_in_the_module_that_it_loads(leaf: Leaf) -> None:
    assert leaf.path in import_module(f"scripts.cli.commands.{leaf.module}").HANDLERS


def test_every_handler_of_every_module_is_a_command() -> None:
    folder = ROOT / "scripts" / "cli" / "commands"
    for file in folder.rglob("*.py"):
        name = ".".join(Path(file).relative_to(folder).with_suffix("").parts)
        handlers = getattr(import_module(f"scripts.cli.commands.{name}"), "HANDLERS", {})
        assert set(handlers) == {leaf.path for leaf in LEAVES if leaf.module == name}, name


@pytest.mark.parametrize(
    "words", ["exec cell1 ls", "slice list", "slice create -", "link list", "link down x", "keys", "tunnel stats"]
)
def test_what_is_called_often_loads_little(words: str) -> None:
    asked = f"import sys; from scripts.cli.main import prepared; prepared({words.split()!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(done.stdout.split())
