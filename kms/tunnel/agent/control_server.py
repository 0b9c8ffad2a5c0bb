"""The agent's control socket: JSON lines on a Unix stream socket, answered in order of completion."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
from pathlib import Path
from typing import Any, Protocol

from kms.tunnel.agent.acceptor import Acceptor
from kms.tunnel.errors import ConfigurationError, Conflict, NotFound, TunnelError, Unavailable

logger = logging.getLogger(__name__)

_MAX_LINE_BYTES = 65536
_MAX_OPEN_REQUESTS = 256  # of one client; the next is read when one has been answered
_MAX_CLIENTS = 256  # one more is closed at once: each takes a descriptor

_ERROR_TYPES: tuple[tuple[type[TunnelError], str], ...] = (
    (Conflict, "conflict"),
    (ConfigurationError, "invalid"),
    (NotFound, "not_found"),
    (Unavailable, "unavailable"),
)


class Requests(Protocol):
    """Whoever answers."""

    async def carry_out(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The result of one request. Raises TunnelError."""
        ...


class ControlServer:
    """Serves one agent's requests on one path, for this user alone (mode 0600)."""

    def __init__(self, requests: Requests, path: Path) -> None:
        self._requests = requests
        self._path = path
        self._acceptor: Acceptor | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Unavailable when another agent does so already; a socket left behind by a dead one is replaced."""
        self._acceptor = Acceptor(_bind(self._path), self._welcome)
        self._acceptor.start()

    async def close(self) -> None:
        """Stop listening, end every client's requests, unlink the path."""
        if self._acceptor is None:
            return
        self._acceptor.close()
        self._path.unlink(missing_ok=True)
        clients = list(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        self._acceptor = None

    def _welcome(self, connection: socket.socket) -> None:
        if len(self._clients) >= _MAX_CLIENTS:
            connection.close()
            return
        client = asyncio.ensure_future(self._serve(connection))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_MAX_LINE_BYTES)
        except OSError as error:
            connection.close()
            logger.debug("a control client has gone: %s", error.strerror)
            return
        requests: set[asyncio.Task[None]] = set()
        room = asyncio.Semaphore(_MAX_OPEN_REQUESTS)
        try:
            while line := await reader.readline():
                await room.acquire()
                request = asyncio.create_task(self._answer(line, writer))
                requests.add(request)
                request.add_done_callback(requests.discard)
                request.add_done_callback(lambda _: room.release())
            if requests:  # the client has said all it had to say and may still be listening
                await asyncio.wait(requests)
        except ValueError:
            await _write(writer, _failure(None, ConfigurationError("", f"a line of over {_MAX_LINE_BYTES} octets")))
        except (ConnectionError, asyncio.CancelledError):
            logger.debug("a control client has gone")
        finally:
            for request in requests:
                request.cancel()
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        identifier: Any = None
        try:
            raw = _parse(line)
            identifier = raw.get("id")
            answer = {"id": identifier, "ok": True, "result": await self._requests.carry_out(raw)}
        except TunnelError as error:
            answer = _failure(identifier, error)
        except OSError as error:  # no descriptor for a question to the kernel, say: that concerns this request alone
            answer = _failure(identifier, Unavailable(f"the system refuses: {error.strerror or error}"))
        await _write(writer, answer)


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    umask = os.umask(0o177)
    try:
        if _is_stale(path):
            path.unlink(missing_ok=True)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(f"control_socket: {path} is in use by another agent") from error
        raise ConfigurationError("control_socket", f"{path}: {error.strerror or error}") from error
    finally:
        os.umask(umask)
    return listener


def _is_stale(path: Path) -> bool:
    """A socket on which nobody listens."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED


def _parse(line: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("", f"not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigurationError("", "a request is a JSON object")
    return raw


def _failure(identifier: Any, error: TunnelError) -> dict[str, Any]:
    kind = next((name for cls, name in _ERROR_TYPES if isinstance(error, cls)), "unavailable")
    body: dict[str, Any] = {"type": kind, "message": str(error)}
    if isinstance(error, ConfigurationError) and error.field:
        body["field"] = error.field
    if isinstance(error, Unavailable) and error.lacks_key:
        body["reason"] = "no_key"
    return {"id": identifier, "ok": False, "error": body}


async def _write(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    try:
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
    except ConnectionError:
        logger.debug("a control client has gone before its answer")
