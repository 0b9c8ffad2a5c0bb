"""Polling for a state."""

from __future__ import annotations

import time
from collections.abc import Callable


def poll(predicate: Callable[[], bool], timeout_s: float, interval_s: float = 0.05) -> bool:
    """Whether ``predicate`` became true within ``timeout_s``; asked every ``interval_s``."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval_s)
    return True
