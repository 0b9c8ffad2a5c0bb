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

    Raises OSError or http.client.HTTPException when there is none, and what ``token`` raises.
    """

    def __init__(
        self,
        api_url: str,
        after: str | None = None,
        *,
        token: Callable[[], str] | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        """``token`` gives the API's, where it wants one for reading."""
        address = urlsplit(api_url)
        connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=silence_s)
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        try:
            connection.request("GET", "/v1/events", headers=headers)
            self.socket = connection.sock  # the answer takes it over
            response = connection.getresponse()
            if response.status == HTTPStatus.UNAUTHORIZED and token is not None:
                response.read()
                headers["Authorization"] = f"Bearer {token()}"
                connection.request("GET", "/v1/events", headers=headers)
                self.socket, response = connection.sock, connection.getresponse()
            if response.status != HTTPStatus.OK:
                response.close()
                raise OSError(f"the event stream answered {response.status}")
            response.readline()  # the comment that says: from here on nothing is missed
        except BaseException:  # what ``token`` raises, and Ctrl-C, too
            connection.close()
            raise
        self._response = response

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each event, until the stream ends; one that is torn by a controller's death is left out, and comes again."""
        for line in self._response:
            name, _, text = line.partition(b": ")
            if name == b"data" and text.endswith(b"\n"):
                yield json.loads(text)

    def close(self) -> None:
        self._response.close()
