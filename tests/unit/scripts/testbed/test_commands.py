"""The command line: every command is found, and loads what it needs and no more."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from scripts.checks.check import ROOT
from scripts.cli.main import MODULES, build_parser

HEAVY = (
    "mininet",
    "networkx",
    "matplotlib",
    "controller.state.network_state",
    "scripts.experiments.scripted.run",
    "scripts.bench.kms.run",
)


def commands_of(parser: argparse.ArgumentParser) -> set[str]:
    (choices,) = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return set(choices)


def test_every_command_of_every_module_is_known() -> None:
    assert commands_of(build_parser()) == set(MODULES)
    assert commands_of(build_parser("nothing")) == set(MODULES)


@pytest.mark.parametrize("command", MODULES)
def test_a_command_is_in_the_module_that_it_loads(command: str) -> None:
    assert command in commands_of(build_parser(command))


@pytest.mark.parametrize("command", ["exec", "slice", "link", "keys", "tunnel"])
def test_what_is_called_often_loads_little(command: str) -> None:
    asked = f"import sys; from scripts.cli.main import build_parser; build_parser({command!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(done.stdout.split())
