"""Moments as answers have them: RFC 3339, UTC, in milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

MOMENT: dict[str, Any] = {"type": "string", "format": "date-time"}


def moment(seconds: float) -> str:
    """Of seconds since the epoch, such as ``2026-11-29T16:18:40.125Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_or_none(seconds: float | None) -> str | None:
    """The same; None stays None."""
    return None if seconds is None else moment(seconds)
