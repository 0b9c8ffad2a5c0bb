"""One setting: its name, what it may be, what it is unless it is set, and who reads it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter


class Reader(StrEnum):
    """Who acts on a setting."""

    NETWORK = "the emulated network"
    CONTROLLER = "controller"
    KMS = "KMS"
    AGENTS = "tunnel agents"
    CARDS = "cards"
    UP = "`up`, `demo`"
    EXPERIMENT = "`experiment run`"
    RUNS = "`up`, `demo`, `experiment run`"
    BENCH = "`bench`"


class Place(StrEnum):
    """What a text names that may be relative: to the file that says so, else to the current directory."""

    FILE = "file"
    TOPOLOGY = "topology"
    """The name of one that is shipped, else a file."""
    USES = "uses"
    """Each KIND=TARGET, of which some are files."""


@dataclass(frozen=True)
class Setting:
    """A setting by its dotted name, which is its path in the file.

    ``type`` is a type that pydantic knows, with its limits; values are plain ones, as JSON has them.
    """

    name: str
    type: Any = field(repr=False)
    default: Any
    meaning: str
    reader: Reader
    unit: str = ""
    option: str = ""
    """The command line's, where there is one."""
    own_variable: str = ""
    """The environment's, where it is not called as :attr:`variable` makes of the name."""
    place: Place | None = None

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(self.name.split("."))

    @property
    def variable(self) -> str:
        """Two underscores for each dot: no other variable of ours has them."""
        return self.own_variable or "QSLICE_" + self.name.replace(".", "__").upper()

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        is_model = isinstance(self.type, type) and issubclass(self.type, BaseModel)
        return TypeAdapter(self.type, config=None if is_model else ConfigDict(strict=True, allow_inf_nan=False))

    def checked(self, value: Any) -> Any:
        """The value in plain form. Raises pydantic's ValidationError.

        As from JSON, where a list is good for a tuple and a text for a path.
        """
        try:
            text = json.dumps(value)
        except (ValueError, RecursionError):  # what no document holds; the adapter says what is wrong with it
            return self.adapter.validate_python(value)
        return self.adapter.dump_python(self.adapter.validate_json(text), mode="json", exclude_unset=True)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values."""
        return self.adapter.json_schema()

    @property
    def is_text(self) -> bool:
        """Whether it is read as it is written, be it like a number."""
        return self.limits.startswith(("text", "an IPv4 address"))

    @property
    def limits(self) -> str:
        """What it may be, in words."""
        return limits_in_words(self.schema)


def limits_in_words(schema: Mapping[str, Any]) -> str:
    """What a JSON Schema allows, as far as ours use it."""
    if "anyOf" in schema:
        return " or ".join(limits_in_words(each) for each in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    match schema.get("type"):
        case "integer" | "number" as kind:
            words = "a whole number" if kind == "integer" else "a number"
            return " ".join(filter(None, (words, _bounds(schema))))
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "array":
            items = limits_in_words(schema.get("items", {})).removeprefix("one of ")
            return f"a list of {items}"
        case "object":
            return "a mapping"
    return "an IPv4 address" if schema.get("format") == "ipv4" else "text"


def _bounds(schema: Mapping[str, Any]) -> str:
    names = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "to"}
    said = [f"{word} {_digits(schema[name])}" for name, word in names.items() if name in schema]
    return (" " if "minimum" in schema and "maximum" in schema else ", ").join(said)


def _digits(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"
