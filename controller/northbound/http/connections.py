"""How many connections are served at once, and which of them ends when there is one more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eventlet

from controller.listening import LOOK_S, Strangers

MAX_CONNECTIONS = 512


class Connections(eventlet.GreenPool):
    """The green threads that serve connections, for eventlet's server.

    Where all are taken, the connection is ended of whose client more has been awaited for the longest: the next
    request, the rest of its head, or its body. So whoever only connects, or trickles, keeps nobody out.
    """

    def __init__(self) -> None:
        super().__init__(MAX_CONNECTIONS)
        self.awaited = Strangers(MAX_CONNECTIONS)

    def spawn(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """As of any pool; waits for room."""
        while self.free() <= 0:
            self.awaited.end_eldest()
            eventlet.sleep(LOOK_S)
        return super().spawn(function, *arguments, **named)
