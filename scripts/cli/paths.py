"""Paths in tables, from the one form in which the API gives them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LATENCY_PARTS = ("fibre", "cards", "switches", "tunnel")
LATENCY_COLUMNS = ("connection", "path", "ms, one way", *(f"{part}, us" for part in LATENCY_PARTS))


def path_text(path: Mapping[str, Any] | None) -> str:
    """The channels of a connection's working path, or of another of its paths; a hyphen where there is none."""
    return "-" if path is None else " ".join(path["path"]) or "-"


def latency_rows(connections: Iterable[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Per working and backup path its latency in ms and what it is made of, us: rows of :data:`LATENCY_COLUMNS`."""
    ways = [(c["name"], which, path) for c in connections for which, path in (("working", c), ("backup", c["backup"]))]
    return [
        (name, which, path["latency_ms"], *(path["latency_parts_us"][part] for part in LATENCY_PARTS))
        for name, which, path in ways
        if path is not None and path["latency_parts_us"] is not None
    ]
