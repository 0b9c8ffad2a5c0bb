"""Waiting for what is going to happen, without sleeping for longer than it takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

PATIENCE = float(os.environ.get("QSLICE_PATIENCE", "3"))
"""How many times as long as on an idle machine things may take here: other work and other tests are beside them, and
more still where processors are computed. What does not hang comes long before; nothing is measured by it."""


def wait_until(predicate: Callable[[], bool], timeout_s: float, interval_s: float = 0.01) -> None:
    """Return as soon as ``predicate`` holds; AssertionError when it does not within ``timeout_s`` times PATIENCE."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while not predicate():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {getattr(predicate, '__name__', predicate)}")
        time.sleep(interval_s)
