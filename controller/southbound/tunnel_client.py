"""The tunnel agents of the hosts: JSON lines over a unix socket each.

Connections are kept and used again, each by one call at a time. An agent that has been restarted closes them; the call
that finds out is made once more, on a new one: every operation may be done twice.

What an agent answers is read here and nowhere else (:mod:`controller.southbound.tunnel_answers`): what cannot be read
concerns that agent, or of its connections that one.
"""

from __future__ import annotations

import json
import socket
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.forwarding.tunnel_endpoint import TunnelEndpoint, as_wire
from controller.model.connectivity import TunnelReport
from controller.model.errors import DriverError, KeysMissing, NotSupported
from controller.southbound import tunnel_answers
from controller.southbound.tunnel_answers import Refusal, Unreadable

CALL_TIMEOUT_S = 5.0
MAX_LINE_BYTES = 4 << 20
MAX_IDLE = 16  # connections kept per agent
_RECEIVE_BYTES = 65536


class TunnelError(DriverError):
    """An agent refused, or did not answer."""


class TunnelClient:
    """Implements :class:`controller.operations.drivers.Tunnels`."""

    def __init__(self, sockets: Mapping[str, Path]) -> None:
        self._sockets = dict(sockets)
        self._idle: defaultdict[str, list[_Line]] = defaultdict(list)

    def add(self, site: str, endpoint: TunnelEndpoint) -> None:
        self._call(site, {"op": "add", "connection": as_wire(endpoint)}, CALL_TIMEOUT_S)

    def modify(self, site: str, endpoint: TunnelEndpoint) -> None:
        self._call(site, {"op": "modify", "connection": as_wire(endpoint)}, CALL_TIMEOUT_S)

    def remove(self, site: str, connection_id: str) -> None:
        """Remove a connection; one that is not there is as good as removed."""
        try:
            self._call(site, {"op": "remove", "connection_id": connection_id}, CALL_TIMEOUT_S)
        except TunnelRefused as error:
            if error.type != "not_found":
                raise

    def wait_up(self, site: str, connection_id: str, timeout_s: float) -> None:
        """Until the connection can carry traffic both ways."""
        request = {"op": "wait_up", "connection_id": connection_id, "timeout_s": timeout_s}
        self._call(site, request, timeout_s + 1.0)

    def held(self, site: str) -> Mapping[str, Mapping[str, Any]]:
        """Every connection that the agent lists, as it was told, and what it adds."""
        result = self._call(site, {"op": "list"}, CALL_TIMEOUT_S)
        try:
            return tunnel_answers.connections(result)
        except Unreadable as error:
            raise TunnelError(f"tunnel agent at {site}: not a list of connections: {error}") from error

    def watch(self, site: str, token: str | None, timeout_s: float) -> tuple[str, Mapping[str, TunnelReport]]:
        """What has changed since ``token``, as soon as something has."""
        if site not in self._sockets:
            raise NotSupported(f"no tunnel agent is configured at {site}")
        request = {"op": "watch", "since": token, "timeout_s": timeout_s}
        try:
            return tunnel_answers.changes(self._call(site, request, 2 * timeout_s))
        except TunnelRefused as error:
            if error.type == "invalid":
                raise NotSupported(str(error)) from error
            raise
        except Unreadable as error:
            raise TunnelError(f"tunnel agent at {site}: tells no changes: {error}") from error

    def _call(self, site: str, request: dict[str, Any], timeout_s: float) -> Any:
        path = self._sockets.get(site)
        if path is None:
            raise TunnelError(f"no tunnel agent is configured at {site}")
        message = json.dumps({"id": 1, **request}).encode() + b"\n"
        try:
            line = self._ask(site, path, message, timeout_s)
        except OSError as error:
            raise TunnelError(f"tunnel agent at {site}: {error}") from error
        if not line:
            raise TunnelError(f"tunnel agent at {site}: closed the connection without an answer")
        try:
            answer = tunnel_answers.answer(line)
        except Unreadable as error:
            raise TunnelError(f"tunnel agent at {site}: {error}") from error
        if isinstance(answer, Refusal):
            raise (TunnelLacksKeys if answer.reason == "no_key" else TunnelRefused)(site, answer)
        return answer

    def _ask(self, site: str, path: Path, message: bytes, timeout_s: float) -> bytes:
        """The line that answers ``message``; empty when the agent closed the connection instead. Raises OSError."""
        idle = self._idle[site]
        while idle:
            kept = idle.pop()
            try:
                line = kept.ask(message, timeout_s)
            except ConnectionError:
                continue
            if line:
                return self._keep(site, kept, line)
        fresh = _Line(path, timeout_s)
        return self._keep(site, fresh, fresh.ask(message, timeout_s))

    def _keep(self, site: str, line: _Line, answer: bytes) -> bytes:
        if answer and len(self._idle[site]) < MAX_IDLE:
            self._idle[site].append(line)
        else:
            line.close()
        return answer


class _Line:
    """One connection to an agent. Closed when anything goes wrong on it: a late answer must not meet a new call."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(str(path))
        except BaseException:  # whatever ends it, also the end of its thread: the descriptor must not stay open
            self._socket.close()
            raise

    def ask(self, message: bytes, timeout_s: float) -> bytes:
        """The whole line that answers; empty when there is none. An answer that drips is late all the same."""
        until = time.monotonic() + timeout_s
        try:
            self._socket.settimeout(timeout_s)
            self._socket.sendall(message)
            answer = bytearray()
            while not answer.endswith(b"\n") and len(answer) <= MAX_LINE_BYTES:
                left_s = until - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError("timed out")
                self._socket.settimeout(left_s)
                part = self._socket.recv(_RECEIVE_BYTES)
                if not part:
                    break
                answer += part
        except BaseException:  # whatever ends it, also the end of its thread: an answer may still come
            self.close()
            raise
        if not answer.endswith(b"\n"):
            self.close()
            return b""
        return bytes(answer)

    def close(self) -> None:
        self._socket.close()


class TunnelRefused(TunnelError):
    """The agent's own error; ``type`` is invalid, conflict, not_found or unavailable."""

    def __init__(self, site: str, refusal: Refusal) -> None:
        self.type = refusal.type
        field = f" ({refusal.field})" if refusal.field else ""
        super().__init__(f"tunnel agent at {site}: {refusal.message}{field}")


class TunnelLacksKeys(TunnelRefused, KeysMissing):
    """The KME of the tunnel's end gave it no key in time."""
