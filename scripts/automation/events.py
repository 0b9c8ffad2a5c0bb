"""The controller's events, followed while a block is open."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from scripts.automation.values import Event
from scripts.errors import DidNotHold, EnvironmentLacks
from scripts.testbed.event_stream import EventStream

RECONNECT_S = 0.2


class Events:
    """Everything that happens from the beginning of the block on, also over a restart of the controller."""

    def __init__(self, api_url: str, token: Callable[[], str] | None = None) -> None:
        """``token`` gives the API's, where it wants one for reading."""
        self._url, self._token = api_url, token
        self._heard: list[Event] = []
        self._news = threading.Condition()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="events", daemon=True)
        self._socket: socket.socket | None = None
        self._last = ""

    def __enter__(self) -> Self:
        try:
            self._stream = self._open()
        except (OSError, http.client.HTTPException) as error:
            raise EnvironmentLacks(f"the controller does not answer at {self._url}: {error}") from error
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._shut()
        self._thread.join()
        self._stream.close()

    @property
    def heard(self) -> tuple[Event, ...]:
        """What has been heard until now, in order."""
        with self._news:
            return tuple(self._heard)

    def wait_for(self, kind: str, timeout_s: float = 30.0, **members: object) -> Event:
        """The first event of a kind whose members have these values, since the block began.

        Raises DidNotHold when there is none within ``timeout_s``.
        """
        until, looked_at = time.monotonic() + timeout_s, 0
        with self._news:
            while True:
                for event in self._heard[looked_at:]:
                    if event.kind == kind and all(event.members.get(name) == value for name, value in members.items()):
                        return event
                looked_at = len(self._heard)
                if not self._news.wait(max(0.0, until - time.monotonic())):
                    raise DidNotHold(f"no event {kind} with {members} within {timeout_s:g} s")

    def _open(self) -> EventStream:
        stream = EventStream(self._url, self._last, token=self._token)
        self._socket = stream.socket
        return stream

    def _follow(self) -> None:
        while not self._is_over.is_set():
            try:
                self._read(self._stream)
                self._stream.close()
                if not self._is_over.wait(RECONNECT_S):
                    self._stream = self._open()
            except (OSError, http.client.HTTPException, EnvironmentLacks):
                # The controller is away, its token is not there (yet), or the block has ended.
                self._is_over.wait(RECONNECT_S)

    def _read(self, stream: EventStream) -> None:
        for heard in stream:
            event = Event.of(heard)
            self._last = str(event.sequence)  # is its id; only now, so that none is passed over
            with self._news:
                self._heard.append(event)
                self._news.notify_all()

    def _shut(self) -> None:
        """End what the reading thread waits for."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
