"""The program's one loop: sockets that can be read, and timers accurate enough for 1 kHz."""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import time
from collections.abc import Callable

MAX_LAG_S = 0.05  # a sender that was held up longer skips what it missed rather than bursting


class EventLoop:
    """Calls back until it is stopped. Times are CLOCK_MONOTONIC seconds."""

    def __init__(self) -> None:
        # select() takes its timeout in microseconds; epoll rounds up to milliseconds, too coarse for 1 kHz.
        self._selector = selectors.SelectSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._is_stopped = False

    def on_readable(self, source: socket.socket | int, action: Callable[[], None]) -> None:
        """Call ``action`` whenever ``source`` can be read."""
        self._selector.register(source, selectors.EVENT_READ, action)

    def forget(self, source: socket.socket | int) -> None:
        self._selector.unregister(source)

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Call ``action`` once, at ``due`` or as soon after it as possible."""
        heapq.heappush(self._timers, (due, next(self._order), action))

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        self.at(time.monotonic() + delay_s, action)

    def stop(self) -> None:
        self._is_stopped = True

    def run(self) -> None:
        while not self._is_stopped:
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, _ in self._selector.select(timeout):
                if self._selector.get_map().get(key.fd) is key:  # not closed by what came just before
                    key.data()
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()


def next_due(due: float, now: float, interval_s: float) -> float:
    """When something periodic is due again, after it was due at ``due`` and done at ``now``."""
    return due + interval_s if now - due < MAX_LAG_S else now + interval_s
