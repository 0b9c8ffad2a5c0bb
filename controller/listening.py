"""Listening for as long as the process lives, however many connect: what OpenFlow and the API have in common."""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import eventlet

log = logging.getLogger(__name__)

BACKLOG = 1024  # of eventlet's 50 the 51st at once waits for a second, for its SYN to be sent again
ACCEPT_PAUSE_S = 0.1
TOLD_EVERY_S = 60.0
CROWDED_S = 0.5  # how long a stranger may be one although the room for strangers is full
LOOK_S = 0.01


def raise_descriptor_limit() -> None:
    """As many open files as the system allows this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listen(host: str, port: int) -> Any:
    """A listening TCP socket for green threads. Raises OSError."""
    return eventlet.listen((host, port), backlog=BACKLOG, reuse_port=False)


class LastingListener:
    """A listening socket that goes on accepting after any error.

    Errors of ``accept`` are those of the moment (no descriptor left, no memory) or of a connection that ended while it
    waited (accept(2), "Error handling"): none of them is a reason to stop.
    """

    def __init__(self, listener: Any, what: str) -> None:
        self._listener = listener
        self._what = what
        self._told_at = float("-inf")

    @property
    def family(self) -> Any:
        return self._listener.family

    def getsockname(self) -> Any:
        return self._listener.getsockname()

    def close(self) -> None:
        self._listener.close()

    def accept(self) -> tuple[Any, Any]:
        """The next connection. Raises OSError only when the socket itself has been closed."""
        while True:
            try:
                accepted: tuple[Any, Any] = self._listener.accept()
            except OSError as error:
                if self._listener.fileno() < 0:
                    raise
                self._tell(error)
                eventlet.sleep(ACCEPT_PAUSE_S)
            else:
                return accepted

    def _tell(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._told_at >= TOLD_EVERY_S:
            self._told_at = now
            log.error("%s: a connection could not be accepted: %s; it is tried again", self._what, error)


class Strangers:
    """Connections whose other end has not yet said, or shown, what is expected of it: at most ``most`` at once.

    Each may be one for ``deadline_s`` (None: somebody else bounds it). Where there is no room, the one that has been
    here the longest is ended: silence cannot keep others out. ``clock`` is steady, in seconds.
    """

    def __init__(self, most: int, deadline_s: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._deadline_s = deadline_s
        self._clock = clock
        self._since: dict[Any, float] = {}  # the eldest first
        self._timers: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self._since)

    def enter(self, connection: Any) -> None:
        """From now on it is a stranger."""
        self.leave(connection)
        self._since[connection] = self._clock()
        if self._deadline_s is not None:
            self._timers[connection] = eventlet.spawn_after(self._deadline_s, self._end, connection)

    def leave(self, connection: Any) -> None:
        """It is none any more, or has gone. Safe to call twice."""
        self._since.pop(connection, None)
        timer = self._timers.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def make_room(self) -> None:
        """Return when there is room for another."""
        while len(self._since) >= self._most:
            self.end_eldest()
            eventlet.sleep(LOOK_S)

    def end_eldest(self) -> None:
        """End the one that has been here the longest, if that is long enough."""
        eldest = next(iter(self._since), None)
        if eldest is not None and self._clock() - self._since[eldest] >= CROWDED_S:
            self._end(eldest)

    def _end(self, connection: Any) -> None:
        """Whoever reads from it or writes to it learns of the end at once, and closes it."""
        self.leave(connection)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
