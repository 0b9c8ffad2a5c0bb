"""A command as a value: how it is called, what it does, two examples, what exit status 1 means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Needs(Enum):
    """What has to be there before a command can run."""

    ROOT = "root"  # root, and the whole set-up
    API = "api"  # the same; neither root nor this machine's network where --api or QSLICE_API names a controller
    PYTHON = "python"  # the Python environment alone
    NOTHING = "nothing"  # the system's own Python


@dataclass(frozen=True)
class Argument:
    """One argument, as ``argparse`` takes it. ``names`` says what a shell may complete it with: a kind of the file of
    names (``slice``, ``site`` ...), or ``file`` or ``folder``."""

    flags: tuple[str, ...]
    options: Mapping[str, Any]
    names: str | None = None

    @property
    def is_option(self) -> bool:
        return self.flags[0].startswith("-")

    @property
    def is_hidden(self) -> bool:
        return bool(self.options.get("help") == "==SUPPRESS==")

    @property
    def takes_value(self) -> bool:
        return self.options.get("action") not in ("store_true", "store_false", "store_const")


def argument(*flags: str, names: str | None = None, **options: Any) -> Argument:
    """An argument of a command; ``options`` are those of ``ArgumentParser.add_argument``."""
    return Argument(flags, options, names)


@dataclass(frozen=True)
class Leaf:
    """A command that does something, such as ``slice create``.

    ``module`` in :mod:`scripts.cli.commands` has it in its ``HANDLERS``; None where the launcher runs it. ``fails``
    completes "Exit status 1: ". ``name_of`` is the member of its JSON, or of each of a list there, that ``-o name``
    prints; None where there are no names to print.
    """

    path: str
    module: str | None
    sentence: str
    examples: tuple[str, str]
    fails: str
    arguments: tuple[Argument, ...] = ()
    needs: Needs = Needs.ROOT
    aliases: tuple[str, ...] = ()
    name_of: str | None = None
    details: str = ""
    passes_on: bool = False
    """Whether what it does not know is somebody else's: pytest's, a script's."""

    @property
    def command(self) -> str:
        return self.path.split()[0]

    @property
    def paths(self) -> tuple[str, ...]:
        return self.path, *self.aliases


@dataclass(frozen=True)
class Section:
    """Commands about one thing; ``groups`` has what the words are about under which several leaves stand."""

    title: str
    leaves: tuple[Leaf, ...]
    groups: Mapping[str, str] = field(default_factory=dict)
