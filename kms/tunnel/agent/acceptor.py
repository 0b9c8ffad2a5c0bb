"""A listening socket whose connections are accepted until it is closed, whatever the system refuses meanwhile."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

logger = logging.getLogger(__name__)

AGAIN_S = 0.1  # after a refusal: the socket stays readable, and to ask at once would take the whole processor
_AT_ONCE = 64


class Acceptor:
    """``accepted`` gets each connection, not blocking. Out of descriptors or memory, those that wait go on waiting.

    asyncio's own server tries its whole backlog again at every such error, with a traceback each.
    """

    def __init__(self, listener: socket.socket, accepted: Callable[[socket.socket], None]) -> None:
        self._listener = listener
        self._accepted = accepted
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        self._is_refused = False

    def start(self) -> None:
        self._listener.setblocking(False)
        self._listener.listen(_AT_ONCE)
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            if self._is_refused:
                self._is_refused = False
                logger.warning("connections are accepted again")
            connection.setblocking(False)
            self._accepted(connection)

    def _pause(self, error: OSError) -> None:
        if not self._is_refused:
            self._is_refused = True
            logger.error("connections have to wait: %s", error.strerror)
        self._loop.remove_reader(self._listener)
        self._again = self._loop.call_later(AGAIN_S, self._loop.add_reader, self._listener, self._accept)
