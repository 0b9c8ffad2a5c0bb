"""How late an agent's event loop is: what a packet, a probe or a new key waits for its turn.

A timer that is due every tenth of a second tells when it was really called. That costs nothing per packet, and sees
whatever keeps the loop: a burst, a slow call, a machine that runs something else.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from itertools import accumulate

PERIOD_S = 0.1
BOUNDS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Upper ends of the classes. The loop's timers are exact to a millisecond: nothing finer would mean anything."""


class Histogram:
    """How often a duration fell into which class; the last class, beyond all bounds, is open."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, duration_s: float) -> None:
        self._counts[bisect_left(BOUNDS_S, duration_s)] += 1
        self.sum_s += duration_s

    @property
    def count(self) -> int:
        return sum(self._counts)

    def cumulative(self) -> list[tuple[str, int]]:
        """Bound in seconds, as Prometheus writes it, and how many were not above it."""
        bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True))


class LagMeter:
    """Measures from ``start`` to ``stop``, either of which may be called twice."""

    def __init__(self) -> None:
        self.histogram = Histogram()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(loop.time() + PERIOD_S, self._look, loop, loop.time() + PERIOD_S)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self.histogram.add(max(0.0, now - due))
        self._timer = loop.call_at(now + PERIOD_S, self._look, loop, now + PERIOD_S)
