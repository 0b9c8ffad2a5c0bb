"""The file's JSON Schema, for editors and for others' programs. Pure."""

from __future__ import annotations

from typing import Any

from scripts.configuration.document import VERSION
from scripts.configuration.setting import Setting
from scripts.configuration.table import FILE_VERSION, SETTINGS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Closed mappings: an editor marks what the commands refuse."""
    properties: dict[str, Any] = {
        VERSION: {"const": FILE_VERSION, "description": "Of this schema.", "default": FILE_VERSION}
    }
    definitions: dict[str, Any] = {}
    for setting in SETTINGS:
        place = properties
        for part in setting.path[:-1]:
            section = place.setdefault(
                part, {"type": ["object", "null"], "properties": {}, "additionalProperties": False}
            )
            place = section["properties"]
        schema = dict(setting.schema)
        definitions |= schema.pop("$defs", {})
        place[setting.path[-1]] = schema | {"description": description(setting), "default": setting.default}
    return {
        "$schema": DIALECT, "title": "QSlice configuration", "type": "object", "properties": properties,
        "additionalProperties": False, "$defs": definitions,
    }  # fmt: skip


def description(setting: Setting) -> str:
    """What the setting means, its unit, and who reads it."""
    unit = f" Unit: {setting.unit}." if setting.unit else ""
    return f"{setting.meaning}{unit} Read by: {setting.reader.value.replace('`', '')}."
