"""Waiting for a state instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(predicate: Callable[[], object], timeout_s: float, interval_s: float = 0.01) -> None:
    """Return as soon as ``predicate()`` is true; AssertionError when it is not within ``timeout_s``."""
    end = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() >= end:
            raise AssertionError(f"not within {timeout_s:g} s: {predicate}")
        time.sleep(interval_s)
