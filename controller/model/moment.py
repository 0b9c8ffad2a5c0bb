"""Moments as people and programs are told them: RFC 3339, UTC, in milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(seconds: float) -> str:
    """Of seconds since the epoch, such as ``2026-11-29T16:18:40.125Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
