"""The values in force, each with where it comes from: option, else environment, else file, else default. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scripts.configuration.setting import Setting
from scripts.configuration.table import BY_NAME, SETTINGS


class Source(StrEnum):
    """What says so, the weakest first."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    OPTION = "option"


@dataclass(frozen=True)
class Origin:
    """Where a value comes from: ``where`` is the file and its line, the variable, or the option."""

    source: Source = Source.DEFAULT
    where: str = ""

    def __str__(self) -> str:
        return (
            f"{self.source.value} {self.where}"
            if self.source is Source.ENVIRONMENT
            else self.where or self.source.value
        )


@dataclass(frozen=True)
class Entry:
    """The value of a setting, as plain as JSON has it, and its origin."""

    value: Any
    origin: Origin = Origin()


class Configuration:
    """What is in force. It does not change; :meth:`with_entries` makes another."""

    def __init__(self, given: Mapping[str, Entry] | None = None) -> None:
        """``given`` has what is not a default, checked, by the settings' names."""
        self._given = dict(given or {})

    def __getitem__(self, name: str) -> Any:
        return self.entry(name).value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configuration) and self._given == other._given

    def __hash__(self) -> int:
        return hash(frozenset(self._given))

    def entry(self, name: str) -> Entry:
        """KeyError where there is no such setting."""
        setting = BY_NAME[name]
        return self._given.get(name) or Entry(setting.default)

    def entries(self) -> Iterator[tuple[Setting, Entry]]:
        """All settings in the order of the table."""
        return ((setting, self.entry(setting.name)) for setting in SETTINGS)

    def with_entries(self, given: Mapping[str, Entry]) -> Configuration:
        """Another in which these are in force."""
        return Configuration({**self._given, **given})

    def section(self, name: str) -> dict[str, Any]:
        """The settings below a name as the mapping of mappings that they are in the file."""
        found: dict[str, Any] = {}
        start = (*name.split("."),)
        for setting, entry in self.entries():
            if setting.path[: len(start)] == start:
                _put(found, setting.path[len(start) :], entry.value)
        return found

    def document(self) -> dict[str, Any]:
        """A file in which what is not a default stands."""
        found: dict[str, Any] = {}
        for name, value in self.differing().items():
            _put(found, BY_NAME[name].path, value)
        return found

    def differing(self) -> dict[str, Any]:
        """What is not as it is by default, by the settings' names."""
        return {s.name: entry.value for s, entry in self.entries() if entry.value != s.default}

    def to_dict(self) -> dict[str, Any]:
        """As :meth:`from_dict` reads it: for the process that holds a run, and for the record of one."""
        return {
            name: {"value": e.value, "source": e.origin.source.value, "where": e.origin.where}
            for name, e in self._given.items()
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Configuration:
        return cls({name: Entry(e["value"], Origin(Source(e["source"]), e["where"])) for name, e in raw.items()})


DEFAULTS = Configuration()


def _put(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        document = document.setdefault(part, {})
    document[path[-1]] = value
