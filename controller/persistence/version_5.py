"""Reads journals of version 5, where every slice had the papers' template and bandwidth was alike in both directions.

Nor did any slice come again. Its documents are those of :mod:`controller.persistence.codec` but for that: read once,
then written anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controller.model.connection import Connection
from controller.model.slice_record import SliceRecord
from controller.persistence import codec

VERSION = 5
SLICES = "SELECT name, document FROM slices"
CONNECTIONS = "SELECT slice, document FROM connections ORDER BY position"

Row = tuple[Any, ...]


def read_slices(slices: Iterable[Row], connections: Iterable[Row]) -> Iterator[tuple[SliceRecord, list[Connection]]]:
    """Everything in the rows that :data:`SLICES` and :data:`CONNECTIONS` give. Raises Unreadable."""
    rows = list(connections)
    for name, document in slices:
        try:
            mine = [codec.decode_connection(_connection(json.loads(d))) for s, d in rows if s == name]
            yield codec.decode_slice(_slice(json.loads(document)), [c.id for c in mine]), mine
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise codec.Unreadable(f"slice {name}, of version {VERSION}, lacks or garbles {error}") from error


def _slice(raw: Mapping[str, Any]) -> dict[str, Any]:
    request = dict(raw["request"])
    shape = {member: request.pop(member) for member in ("cells", "compute", "core", "connections")}
    shape["connections"] = {role: _spec(spec) for role, spec in shape["connections"].items()}
    return {
        **raw,
        "version": codec.VERSION,
        "request": {**request, "shape": shape, "recurrence": None},
        "occurrence": None,
    }


def _connection(raw: Mapping[str, Any]) -> dict[str, Any]:
    request = raw["request"]
    return {**raw, "version": codec.VERSION, "request": {**request, "spec": _spec(request["spec"])}}


def _spec(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {**raw, "reverse_bandwidth_kbps": None}
