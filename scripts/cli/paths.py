"""Paths in tables, from the one form in which the API gives them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def path_text(path: Mapping[str, Any] | None) -> str:
    """The channels of a connection's working path, or of another of its paths; a hyphen where there is none."""
    return "-" if path is None else " ".join(path["path"]) or "-"
