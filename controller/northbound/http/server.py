"""The HTTP server around the API: eventlet's, with limits of time and size, and problem documents for what it refuses
before the API sees it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import eventlet
import eventlet.wsgi

from controller.northbound.http.problems import PROBLEM, Problem, problem_document

MAX_CONNECTIONS = 512
SEND_BUFFER_BYTES = 64 << 10


@dataclass(frozen=True)
class Limits:
    """How long the server waits for a client."""

    idle_s: float = 60.0
    """For the next request on a connection that is kept."""
    header_s: float = 10.0
    """For all of a request's head, from its first byte."""
    body_s: float = 20.0
    """For all of a request's body."""
    write_s: float = 20.0
    """For a reader to take anything of what it is sent."""


class _TimedInput(eventlet.wsgi.Input):
    """A body that must be there within ``limit_s``, however it trickles in."""

    limit_s = Limits.body_s

    def read(self, length: int | None = None) -> bytes:
        with eventlet.Timeout(self.limit_s, TimeoutError("the body did not arrive in time")):
            body: bytes = super().read(length)
            return body


class _Protocol(eventlet.wsgi.HttpProtocol):
    """Bounds the time for a request's head and answers problem documents where eventlet answers bare text."""

    limits = Limits()

    def _read_request_line(self) -> bytes | str:
        if not self._has_more():
            self.close_connection = True
            return ""
        try:
            with eventlet.Timeout(self.limits.header_s, TimeoutError()):
                line: bytes | str = super()._read_request_line()
        except TimeoutError:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request line did not arrive in time")
            return ""
        if len(line) >= self.server.url_length_limit:
            self._refuse(
                HTTPStatus.REQUEST_URI_TOO_LONG, f"a target has less than {self.server.url_length_limit} bytes"
            )
            return ""
        return line

    def _has_more(self) -> bool:
        """Whether another request begins on this connection before it has been idle for too long."""
        self.connection.settimeout(self.limits.idle_s)
        try:
            return bool(self.rfile.peek(1))
        except OSError:  # silent for too long, or gone
            return False

    def parse_request(self) -> bool:
        try:
            with eventlet.Timeout(self.limits.header_s, TimeoutError()):
                if not super().parse_request():
                    return False
        except TimeoutError:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request's head did not arrive in time")
            return False
        except (eventlet.wsgi.HeaderLineTooLong, eventlet.wsgi.HeadersTooLarge):
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's head is too large")
            return False
        return self._has_sound_framing()

    def _has_sound_framing(self) -> bool:
        """One length, told in one way: anything else lets two readers see different requests (RFC 9112, 11.2)."""
        lengths = self.headers.get_all("Content-Length", [])
        is_number = all(text.strip().isascii() and text.strip().isdecimal() for text in lengths)
        if len(lengths) > 1 or not is_number:
            self._refuse(HTTPStatus.BAD_REQUEST, "Content-Length is not one number of bytes")
            return False
        if lengths and self.headers.get("Transfer-Encoding") is not None:
            self._refuse(HTTPStatus.BAD_REQUEST, "Content-Length and Transfer-Encoding do not go together")
            return False
        return True

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        # What is read under a limit of time must also be what the server itself reads on with.
        environ["wsgi.input"].__class__ = type("TimedInput", (_TimedInput,), {"limit_s": self.limits.body_s})
        return environ

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).description)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        body = problem_document(Problem(status, detail), str(getattr(self, "path", None) or "/"))
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {PROBLEM}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.wfile.write(head.encode("latin-1") + body)
        self.wfile.flush()
        self.close_connection = True


def serve(listener: Any, application: Callable[..., Any], limits: Limits | None = None) -> None:
    """Serve until the process ends; call it in a green thread of its own."""
    limits = limits or Limits()
    # Answers are small and written in parts: without TCP_NODELAY each would wait for the reader's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # What a reader does not take waits in the kernel up to this much; then he has ``write_s`` to take some of it.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    eventlet.wsgi.server(
        listener,
        application,
        protocol=type("Protocol", (_Protocol,), {"limits": limits}),
        max_size=MAX_CONNECTIONS,
        keepalive=limits.idle_s,
        socket_timeout=limits.write_s,
        log_output=False,
        debug=False,
        # The smallest chunk is one byte: an event must leave when it happens, not when 16 KiB have gathered.
        minimum_chunk_size=1,
    )
