"""Waiting for a state, in place of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(predicate: Callable[[], object], timeout_s: float, interval_s: float = 0.01) -> None:
    """Return as soon as `predicate()` is true; AssertionError when it is not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not so after {timeout_s} s: {getattr(predicate, '__qualname__', predicate)}")
        time.sleep(interval_s)
