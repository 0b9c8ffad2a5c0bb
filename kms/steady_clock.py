"""Time for durations that bear a date: seconds since the epoch, counted on by a clock that nobody sets."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

# Suspended time counts: a key ages while the machine sleeps.
_since_boot = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


class SteadyClock:
    """The epoch as it was known when this was made, and what has passed since. Setting the machine's clock moves
    nothing: no key expires early, and none lives on.

    For what other machines judge by their clocks (certificates, the times in exchanges) this is the wrong clock.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _since_boot) -> None:
        self._steady = steady
        self._offset = wall() - steady()

    def __call__(self) -> float:
        return self._steady() + self._offset
