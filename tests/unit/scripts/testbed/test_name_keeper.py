"""What keeps names up to date goes on when it cannot follow what happens for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts.errors import EnvironmentLacks
from scripts.testbed.life import name_keeper
from scripts.testbed.life.name_keeper import NameKeeper
from scripts.testbed.paths import Layout
from tests.support.wait import PATIENCE
from topologies.catalog import load


@contextmanager
def stream_for_those_with_a_token(was_followed: threading.Event) -> Iterator[str]:
    """The URL of an API whose stream of events ends at once."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            may_read = self.headers["Authorization"] == "Bearer token"
            self.send_response(HTTPStatus.OK if may_read else HTTPStatus.UNAUTHORIZED)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if may_read:
                was_followed.set()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Api:
    """A controller without slices, whose token is not there when it is first asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._asked = 0

    def call(self, *_: Any) -> tuple[int, Any]:
        return HTTPStatus.OK, {"slices": []}

    def token(self) -> str:
        self._asked += 1
        if self._asked == 1:
            raise EnvironmentLacks("there is no API token")
        return "token"


def test_a_token_that_is_not_there_yet_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_keeper, "_show_in", lambda *_: None)
    monkeypatch.setattr(name_keeper, "AGAIN_S", 0.01)
    topology, layout = load("ukqntel"), Layout(state=tmp_path / "state", run=tmp_path / "run")
    layout.make()
    was_followed = threading.Event()
    with stream_for_those_with_a_token(was_followed) as url:
        api: Any = Api(url)
        keeper = NameKeeper(topology, layout, api, dict.fromkeys(topology.site_names, 0), ())
        try:
            assert was_followed.wait(10 * PATIENCE)
        finally:
            keeper.close()
