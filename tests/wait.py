"""Waiting for what is going to happen, without sleeping for longer than it takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(predicate: Callable[[], bool], timeout_s: float, interval_s: float = 0.01) -> None:
    """Return as soon as ``predicate`` holds; AssertionError when it does not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {getattr(predicate, '__name__', predicate)}")
        time.sleep(interval_s)
