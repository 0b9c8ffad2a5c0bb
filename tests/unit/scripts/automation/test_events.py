"""What followers do when the stream breaks where it is worst."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from scripts.automation.events import Events
from scripts.errors import EnvironmentLacks
from tests.support.wait import PATIENCE

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: following\nretry: 1000\n\n"


class Stream:
    """Answers the first caller with the first of ``answers``, and so on; ``heard`` is what they asked."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            peer, _ = self._listening.accept()
            with closing(peer):
                self.heard.append(peer.recv(1 << 16))
                peer.sendall(answer)

    def close(self) -> None:
        self._thread.join()
        self._listening.close()


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> Iterator[Stream]:
    with closing(Stream(*request.param)) as made:
        yield made


def event(sequence: int) -> bytes:
    data = json.dumps(
        {"event": "slice", "sequence": sequence, "time": "1970-01-01T00:00:01.000Z", "slice": f"s{sequence}"}
    )
    return f"event: slice\nid: {sequence}\ndata: {data}\n\n".encode()


TORN = [event(2)[:-3], event(2)[:-20], event(2)[:20]]  # the last of them after its id


@pytest.mark.parametrize("stream", [(HEAD + event(1) + torn, HEAD + event(2)) for torn in TORN], indirect=True)
def test_an_event_that_is_torn_is_asked_for_again(stream: Stream) -> None:
    with Events(stream.url) as events:
        events.wait_for("slice", 10 * PATIENCE, slice="s2")
    assert [e.sequence for e in events.heard] == [1, 2]
    assert b"Last-Event-ID: 1\r\n" in stream.heard[1]


@pytest.mark.parametrize("stream", [(b"SSH-2.0-other\r\n",), (b"HTTP/1.1 503 Busy\r\n\r\n",)], indirect=True)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_what_is_no_stream_of_events_is_said_to_be_none(stream: Stream) -> None:
    with pytest.raises(EnvironmentLacks, match="does not answer at"), Events(stream.url):
        pass
