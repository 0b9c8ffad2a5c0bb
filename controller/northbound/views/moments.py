"""Moments as answers have them."""

from __future__ import annotations

from typing import Any

from controller.model.moment import moment

MOMENT: dict[str, Any] = {"type": "string", "format": "date-time"}


def moment_or_none(seconds: float | None) -> str | None:
    """Of seconds since the epoch; None stays None."""
    return None if seconds is None else moment(seconds)
