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

from controller.listening import LastingListener, Strangers
from controller.northbound.http.connections import Connections
from controller.northbound.http.problems import PROBLEM, Problem, problem_document
from controller.northbound.http.targets import Hosts, split_target

SEND_BUFFER_BYTES = 64 << 10
EMPTY_LINES = (b"\r\n", b"\n")


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
    awaited: Strangers
    connection: Any

    def read(self, length: int | None = None) -> bytes:
        self.awaited.enter(self.connection)
        try:
            with eventlet.Timeout(self.limit_s, TimeoutError("the body did not arrive in time")):
                body: bytes = super().read(length)
                return body
        finally:
            self.awaited.leave(self.connection)


class _Head:
    """Reads the lines of a request's head, and knows whether its end has been read."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.is_whole = False

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(size)
        self.is_whole = line in EMPTY_LINES
        return line


class _Protocol(eventlet.wsgi.HttpProtocol):
    """Bounds the time for a request's head and answers problem documents where eventlet answers bare text."""

    limits = Limits()
    hosts = Hosts()
    awaited: Strangers
    rfile: Any
    path: str

    def handle(self) -> None:
        try:
            super().handle()
        finally:
            self.awaited.leave(self.connection)

    def _read_request_line(self) -> bytes | str:
        self.awaited.enter(self.connection)
        if not self._has_more():
            self.close_connection = True
            return ""
        try:
            with eventlet.Timeout(self.limits.header_s, TimeoutError()):
                line: bytes | str = super()._read_request_line()
                while line in EMPTY_LINES:  # some clients end a body by one (RFC 9112, 2.2)
                    line = super()._read_request_line()
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
        self.rfile = head = _Head(self.rfile)  # for this head: eventlet puts back what was there before
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
        if not head.is_whole or self.headers.defects:
            self._refuse(HTTPStatus.BAD_REQUEST, "the request's head ended early, or has a line that is no header")
            return False
        if not (self._has_sound_framing() and self._is_for_us()):
            return False
        options = [option.strip().lower() for option in self.headers.get("Connection", "").split(",")]
        self.close_connection = self.close_connection or "close" in options
        self.awaited.leave(self.connection)
        return True

    def _is_for_us(self) -> bool:
        """Whether target and Host name this server (RFC 9112, 3.2); what is left of the target is a path, or ``*``."""
        named = self.headers.get_all("Host", [])
        try:
            if len(named) > 1 or (not named and self.request_version == "HTTP/1.1"):
                raise Problem(HTTPStatus.BAD_REQUEST, "Host: must be there, once")
            authority, self.path = split_target(self.command, self.path)
            # What the target says goes before what Host says. A browser always says one: HTTP/1.0 may say neither.
            for host in named if authority is None else [authority]:
                self.hosts.check(host, self.connection.getsockname()[0])
        except Problem as problem:
            self._refuse(problem.status, str(problem))
            return False
        return True

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
        of_this = {"limit_s": self.limits.body_s, "awaited": self.awaited, "connection": self.connection}
        environ["wsgi.input"].__class__ = type("TimedInput", (_TimedInput,), of_this)
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


def serve(
    listener: Any, application: Callable[..., Any], limits: Limits | None = None, hosts: Hosts | None = None
) -> None:
    """Serve until the process ends; call it in a green thread of its own."""
    limits = limits or Limits()
    connections = Connections()
    of_server = {"limits": limits, "hosts": hosts or Hosts(), "awaited": connections.awaited}
    # Answers are small and written in parts: without TCP_NODELAY each would wait for the reader's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # What a reader does not take waits in the kernel up to this much; then he has ``write_s`` to take some of it.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    eventlet.wsgi.server(
        LastingListener(listener, "the API"),
        application,
        protocol=type("Protocol", (_Protocol,), of_server),
        custom_pool=connections,
        keepalive=limits.idle_s,
        socket_timeout=limits.write_s,
        log_output=False,
        debug=False,
        # The smallest chunk is one byte: an event must leave when it happens, not when 16 KiB have gathered.
        minimum_chunk_size=1,
    )
