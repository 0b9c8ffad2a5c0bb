"""When a slice comes, goes or is given up, for a person."""

from __future__ import annotations

from datetime import datetime
from typing import Any

DAY_S, HOUR_S, MINUTE_S = 86_400, 3_600, 60


def time_text(slice_: dict[str, Any], now: float) -> str:
    """What the clock will do next with a slice of the API; empty where nothing. ``now``: seconds since the epoch."""
    request, occurrence = slice_["request"], slice_.get("occurrence")
    if slice_.get("expires_at") is not None:
        return f"{left(slice_['expires_at'], now)} left to activate it"
    waits = slice_["state"] == "SCHEDULED"
    start, end = (occurrence["start"], occurrence["end"]) if occurrence else (request.get("start"), request.get("end"))
    at = start if waits else end
    if at is None or slice_["state"] == "FAILED":
        return ""
    which = f", occurrence {occurrence['number']}" if occurrence else ""
    return f"{'begins' if waits else 'ends'} in {left(at, now)}{which}"


def left(moment: str, now: float) -> str:
    """How long until then, to two units; never less than nothing."""
    whole = max(0, round(datetime.fromisoformat(moment).timestamp() - now))
    days, hours, minutes = whole // DAY_S, whole // HOUR_S % 24, whole // MINUTE_S % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % MINUTE_S} s" if minutes else f"{whole} s"
