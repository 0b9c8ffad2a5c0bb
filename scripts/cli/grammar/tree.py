"""The tree of commands: sections in the order in which help shows them, and in which module each command stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from scripts.cli.grammar.leaf import Leaf, Section

# Every command by the module in sections/ that declares it: the one that is given is found without loading the others.
MODULES: Mapping[str, tuple[str, ...]] = {
    "start": ("up", "down", "status", "demo"),
    "slices": ("slice", "ping", "iperf", "capture"),
    "network": (
        "link",
        "site",
        "node",
        "section",
        "risk",
        "fibre",
        "wavelength",
        "eavesdrop",
        "process",
        "fault",
        "kill",
        "restart",
    ),
    "topologies": ("topo",),
    "keys": ("keys", "tunnel", "pki", "kme"),
    "observe": ("events", "logs", "exec", "python"),
    "measure": ("experiment", "bench"),
    "lab": ("lab",),
    "installation": ("setup", "doctor", "config", "extension", "completion", "version", "test"),
}
COMMANDS = tuple(command for commands in MODULES.values() for command in commands)


@cache
def section(module: str) -> Section:
    """The section that a module in sections/ declares."""
    found: Section = import_module(f"scripts.cli.grammar.sections.{module}").SECTION
    return found


def sections(command: str | None = None) -> tuple[Section, ...]:
    """The section that has a command; all of them if none, or one that is not there, is named."""
    modules = [module for module, commands in MODULES.items() if command in commands] or list(MODULES)
    return tuple(section(module) for module in modules)


def leaves(command: str | None = None) -> Iterator[Leaf]:
    """Every leaf of these sections."""
    for each in sections(command):
        yield from each.leaves


def find(path: str) -> Leaf | None:
    """The leaf of this path, or the one that it is another name of."""
    words = path.split()
    return next((leaf for leaf in leaves(words[0] if words else None) if path in leaf.paths), None)


def about(group: str) -> str:
    """What the commands under a word are about; empty where it is a leaf itself."""
    return next((each.groups[group] for each in sections(group) if group in each.groups), "")
