"""Adapter: the controller's stream of events (server-sent events), as long as it lasts."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

SILENCE_S = 60.0  # the stream says something every 15 s


class EventStream:
    """An open stream. ``after`` is the sequence number of the last event that is known: what came since comes first.

    A ``token`` goes along at once, that of ``ask_for_token`` only where the controller wants one. Raises OSError or
    http.client.HTTPException when there is no stream.
    """

    def __init__(
        self,
        api_url: str,
        after: str | None = None,
        *,
        token: str | None = None,
        ask_for_token: Callable[[], str] | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        address = urlsplit(api_url)
        connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=silence_s)
        try:
            response = self._ask(connection, after, token)
            if response.status == HTTPStatus.UNAUTHORIZED and ask_for_token is not None:
                response.read()
                response = self._ask(connection, after, ask_for_token())
            if response.status != HTTPStatus.OK:
                response.close()
                raise OSError(f"the event stream answered {response.status}")
            response.readline()  # the comment that says: from here on nothing is missed
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        self._response = response

    def _ask(
        self, connection: http.client.HTTPConnection, after: str | None, token: str | None
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "text/event-stream"}
        headers |= {"Last-Event-ID": after} if after else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", "/v1/events", headers=headers)
        self.socket = connection.sock  # the answer takes it over
        return connection.getresponse()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each event, until the stream ends; one that is torn by a controller's death is left out, and comes again."""
        for line in self._response:
            name, _, text = line.partition(b": ")
            if name == b"data" and text.endswith(b"\n"):
                yield json.loads(text)

    def close(self) -> None:
        self._response.close()
