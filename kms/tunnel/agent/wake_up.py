"""One callback of an event loop that is wanted at the earliest of several times."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class WakeUp:
    """``at`` is when ``call`` is called next; infinity while it is not going to be."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self.at = math.inf
        self._loop = loop
        self._call = call
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        """Call at ``at``, and not when it was to be before."""
        self.cancel()
        self.at = at
        self._handle = self._loop.call_at(at, self._ring)

    def cancel(self) -> None:
        self.at = math.inf
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _ring(self) -> None:
        self.at = math.inf
        self._handle = None
        self._call()
