"""Reads journals of version 6, where no slice came again: read once, then written anew."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controller.model.connection import Connection
from controller.model.slice_record import SliceRecord
from controller.persistence import codec

VERSION = 6
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
    request = {**raw["request"], "recurrence": None}
    return {**raw, "version": codec.VERSION, "request": request, "occurrence": None}


def _connection(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {**raw, "version": codec.VERSION}
