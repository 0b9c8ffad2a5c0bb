"""Arguments that several commands have."""

from __future__ import annotations

from pathlib import Path

from scripts.cli.grammar.leaf import Argument, argument
from scripts.cli.grammar.values import port

LEVELS = ("none", "dh", "qra", "qkd")
TOPOLOGY = argument("topology", metavar="NAME|FILE", names="topology", help="a shipped topology, or a file")
API_PORT = argument("--api-port", type=port, default=8080, metavar="PORT", help="the API's (default %(default)s)")


def topology_option(default: str | None, text: str = "") -> Argument:
    """``--topo``; without a default the command chooses, as ``text`` says."""
    shown = text or "a shipped topology (`topo list`), or a YAML or JSON file (default %(default)s)"
    return argument("--topo", default=default, metavar="NAME|FILE", names="topology", help=shown)


def out_option(default: str, text: str = "where results go") -> Argument:
    """``--out`` of a folder that the command may make."""
    return argument("--out", type=Path, metavar="DIR", names="folder", help=f"{text} (default {default})")
