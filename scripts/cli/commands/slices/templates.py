"""``slice schema`` and ``slice template``: how a request is written."""

from __future__ import annotations

import argparse
import json
from typing import Any

from controller.northbound.views.schemas import schemas
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json
from scripts.testbed.paths import Layout
from scripts.testbed.slice_requests import EXAMPLES, load_example

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REQUEST = "SliceRequest"
_WHERE, _HERE = "#/components/schemas/", "#/$defs/"


def request_schema() -> dict[str, Any]:
    """The JSON Schema of a slice request, with all that it refers to."""
    found = schemas()
    wanted, used = [REQUEST], {}
    while wanted:
        name = wanted.pop()
        if name not in used:
            used[name] = found[name]
            wanted += _referred_to(found[name])
    text = json.dumps({"$schema": DIALECT, "title": "A slice request of QSlice", "$ref": f"{_WHERE}{REQUEST}",
                       "$defs": used})  # fmt: skip
    schema: dict[str, Any] = json.loads(text.replace(_WHERE, _HERE))
    return schema


def _referred_to(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = schema.get("$ref")
        return [
            *([own.removeprefix(_WHERE)] if isinstance(own, str) else []),
            *(name for value in schema.values() for name in _referred_to(value)),
        ]
    return [name for value in schema for name in _referred_to(value)] if isinstance(schema, list) else []


def _schema(arguments: argparse.Namespace, layout: Layout) -> int:
    print_json(request_schema())
    return 0


def _template(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.json:
        print_json(load_example(arguments.example))
    else:
        print((EXAMPLES / f"{arguments.example}.yaml").read_text(encoding="utf-8"), end="")
    return 0


HANDLERS: Handlers = {"slice schema": _schema, "slice template": _template}
