"""Stand-ins for the tunnel agents and the KMS, behind real unix sockets with the real line and HTTP formats."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class FakeTunnelAgent:
    """Keeps what it is told; ``refuse`` makes the next calls of an op fail; hooks see clear connections come and go."""

    def __init__(
        self,
        path: Path,
        on_clear: Callable[[dict[str, Any]], None] = lambda c: None,
        on_clear_removed: Callable[[dict[str, Any]], None] = lambda c: None,
    ) -> None:
        self.connections: dict[str, dict[str, Any]] = {}
        self.refuse: dict[str, str] = {}
        self.lacks_key = False  # what is refused is for want of a key
        self.calls: list[str] = []
        self._changes = 0
        self._news = threading.Condition()
        self._on_clear = on_clear
        self._on_clear_removed = on_clear_removed
        agent = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    request = json.loads(line)
                    answer = {"id": request["id"], **agent.answer(request)}
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        self._server = _UnixServer(str(path), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        op = request["op"]
        self.calls.append(op)
        if op in self.refuse:
            reason = {"reason": "no_key"} if self.lacks_key else {}
            return {"ok": False, "error": {"type": "unavailable", "message": self.refuse[op], **reason}}
        if op == "add":
            connection = request["connection"]
            known = self.connections.get(connection["id"])
            if known is not None and known != connection:
                return {"ok": False, "error": {"type": "conflict", "message": "differs from the one there is"}}
            if known is None and connection["mode"] == "clear":
                self._on_clear(connection)
            self.connections[connection["id"]] = connection
            self._note_change()
        elif op == "modify":
            if request["connection"]["id"] not in self.connections:
                return {"ok": False, "error": {"type": "not_found", "message": "no such connection"}}
            self.connections[request["connection"]["id"]] = request["connection"]
        elif op == "remove":
            gone = self.connections.pop(request["connection_id"], None)
            if gone is None:
                return {"ok": False, "error": {"type": "not_found", "message": "no such connection"}}
            if gone["mode"] == "clear":
                self._on_clear_removed(gone)
        elif op == "wait_up" and request["connection_id"] not in self.connections:
            return {"ok": False, "error": {"type": "not_found", "message": "no such connection"}}
        elif op == "watch":
            return self._watch(request)
        elif op == "list":
            return {"ok": True, "result": {"connections": list(self.connections.values())}}
        return {"ok": True, "result": {}}

    def _note_change(self) -> None:
        with self._news:
            self._changes += 1
            self._news.notify_all()

    def _watch(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a real agent tells: probes pass."""
        with self._news:
            if request["since"] == self._token:
                self._news.wait(request["timeout_s"])
            passing = {"state": "up", "hears_peer": True, "is_heard": True, "reachable_for_s": 0.0, "rtt_ms": 1.0}
            told = dict.fromkeys(self.connections, passing)
            return {"ok": True, "result": {"token": self._token, "connections": told}}

    @property
    def _token(self) -> str:
        return f"fake.{self._changes}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class FakeKms:
    """Serves section rates; change ``sections`` at will."""

    def __init__(self, path: Path, section_ids: list[str], skr_bps: float = 1000.0) -> None:
        self.sections = [
            {"id": i, "skr_bps": skr_bps, "qber": 0.02, "state": "active", "available_bits": 100_000}
            for i in section_ids
        ]
        kms = self

        class Handler(BaseHTTPRequestHandler):
            def address_string(self) -> str:
                return "unix"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                body = json.dumps({"sections": kms.sections, "pools": [], "links": []}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = _UnixServer(str(path), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
