"""Calls the WSGI application directly, and holds every answer to what all answers have in common."""

from __future__ import annotations

import io
import json
from http import HTTPStatus
from typing import Any

from controller.monitoring.link_state import LinkMonitor
from controller.northbound import Api, Settings, Tokens
from controller.northbound.http.problem_types import type_of
from tests.support.controller_bench import Bench

TOKEN = "a-token"
VIEWER = "another-token"
PROBLEM = "application/problem+json"


class Client:
    """The operator, unless another token (or None for none) is given."""

    def __init__(self, bench: Bench, settings: Settings | None = None) -> None:
        self.bench = bench
        self.now = 0.0
        self.api = Api(
            bench.slices, LinkMonitor(bench.topology), bench.events, Tokens(TOKEN, VIEWER), settings,
            steady=lambda: self.now,
        )  # fmt: skip

    def call(
        self, method: str, path: str, body: bytes | Any = b"", token: str | None = TOKEN, **environ: Any
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and parsed body. ``environ`` are further WSGI variables."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        path, _, query = path.partition("?")
        seen: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            seen.update(status=int(status.split()[0]), headers=dict(headers))

        full = {
            "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "wsgi.input": io.BytesIO(raw),
            "CONTENT_LENGTH": str(len(raw)), "CONTENT_TYPE": "application/json" if raw else "",
        }  # fmt: skip
        if token is not None:
            full["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        text = b"".join(self.api({**full, **environ}, start_response))
        headers = seen["headers"]
        if seen["status"] in (204, 304):
            assert "Content-Length" not in headers
            assert not text
            return seen["status"], headers, None
        assert int(headers["Content-Length"]) == len(text) or method == "HEAD"
        parsed: Any = json.loads(text) if "json" in headers["Content-Type"] and text else text.decode()
        if seen["status"] >= 400:
            assert headers["Content-Type"] == PROBLEM
            if text:
                assert parsed["status"] == seen["status"]
                assert (parsed["type"], parsed["title"]) == type_of(parsed["code"], HTTPStatus(seen["status"]))
                assert parsed["title"]
                assert parsed["detail"]
                assert parsed["code"]
                assert parsed["instance"] == path
        return seen["status"], headers, parsed
