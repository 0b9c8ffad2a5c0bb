"""The stream of events (server-sent events: HTML Living Standard, 9.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus

from controller.northbound.http.messages import EVENT_STREAM, Answer, Request
from controller.northbound.http.operations import Operation, Reply
from controller.northbound.http.problems import Problem
from controller.northbound.views.events import event_view
from controller.operations.event_log import Event, EventLog, Follower, TooManyFollowers

HEARTBEAT_S = 15.0
RETRY_AFTER_S = 5
MAX_ID_DIGITS = 18


class EventHandlers:
    """Answers for ``/v1/events``."""

    def __init__(self, events: EventLog) -> None:
        self._events = events

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "GET", "/v1/events", "followEvents", "State changes of slices, connections, links and keys",
                self.follow, (Reply(200, "Server-sent events", media_type=EVENT_STREAM, items="Event"),), (400, 503),
                headers=("LastEventId",),
            ),
        )  # fmt: skip

    def follow(self, request: Request) -> Answer:
        # A client that has seen no event may send it empty: its last event ID is the empty string (HTML, 9.2.4).
        last = request.headers.get("LAST_EVENT_ID") or None
        if last is not None and not (last.isascii() and last.isdecimal() and len(last) <= MAX_ID_DIGITS):
            raise Problem(HTTPStatus.BAD_REQUEST, "Last-Event-ID: must be a whole number")
        if request.method == "HEAD":
            return Answer(HTTPStatus.OK, content_type=EVENT_STREAM)
        try:
            follower = self._events.follow(None if last is None else int(last))
        except TooManyFollowers as error:
            headers = (("Retry-After", str(RETRY_AFTER_S)),)
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers=headers) from None
        return Answer(
            HTTPStatus.OK, content_type=EVENT_STREAM, headers=(("Cache-Control", "no-store"),),
            stream=EventStream(self._events, follower),
        )  # fmt: skip


class EventStream(Iterator[bytes]):
    """What one follower is sent. A comment goes out now and then, to notice a reader who has left."""

    def __init__(self, events: EventLog, follower: Follower) -> None:
        self._events = events
        self._follower = follower
        self._chunks = self._make_chunks()

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def _make_chunks(self) -> Iterator[bytes]:
        yield b": following\nretry: 1000\n\n"
        while True:
            event = self._follower.next(HEARTBEAT_S)
            if event is not None:
                yield event_bytes(event)
            elif self._follower.is_cut_off:
                return
            else:
                yield b": still here\n\n"

    def close(self) -> None:
        """Called by the server when the answer ends, however it ends (PEP 3333): also before the first chunk."""
        self._events.unfollow(self._follower)


def event_bytes(event: Event) -> bytes:
    """The event in the stream's format: ``id`` is its sequence number, which ``Last-Event-ID`` gives back."""
    data = json.dumps(event_view(event))
    return f"event: {event.what.kind}\nid: {event.sequence}\ndata: {data}\n\n".encode()
