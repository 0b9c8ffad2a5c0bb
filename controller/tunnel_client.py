"""The tunnel agents of the hosts: JSON lines over a unix socket each, one connection per call."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.drivers import DriverError

CALL_TIMEOUT_S = 5.0
MAX_LINE_BYTES = 4 << 20


class TunnelError(DriverError):
    """An agent refused, or did not answer."""


class TunnelClient:
    """Implements :class:`controller.drivers.Tunnels`."""

    def __init__(self, sockets: Mapping[str, Path]) -> None:
        self._sockets = dict(sockets)

    def add(self, site: str, connection: Mapping[str, Any]) -> None:
        self._call(site, {"op": "add", "connection": dict(connection)}, CALL_TIMEOUT_S)

    def modify(self, site: str, connection: Mapping[str, Any]) -> None:
        self._call(site, {"op": "modify", "connection": dict(connection)}, CALL_TIMEOUT_S)

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
        """The configuration of every connection that the agent holds."""
        result = self._call(site, {"op": "list"}, CALL_TIMEOUT_S)
        connections = result.get("connections") if isinstance(result, dict) else None
        if not isinstance(connections, list) or not all(isinstance(c, dict) and "id" in c for c in connections):
            raise TunnelError(f"tunnel agent at {site}: not a list of connections")
        return {str(c["id"]): c for c in connections}

    def _call(self, site: str, request: dict[str, Any], timeout_s: float) -> Any:
        path = self._sockets.get(site)
        if path is None:
            raise TunnelError(f"no tunnel agent is configured at {site}")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(timeout_s)
                sock.connect(str(path))
                sock.sendall(json.dumps({"id": 1, **request}).encode() + b"\n")
                with sock.makefile("rb") as lines:
                    line = lines.readline(MAX_LINE_BYTES)
            answer = json.loads(line)
        except OSError as error:
            raise TunnelError(f"tunnel agent at {site}: {error}") from error
        except ValueError as error:
            raise TunnelError(f"tunnel agent at {site}: closed the connection without an answer") from error
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            raise TunnelRefused(site, answer.get("error") if isinstance(answer, dict) else None)
        return answer.get("result")


class TunnelRefused(TunnelError):
    """The agent's own error; ``type`` is invalid, conflict, not_found or unavailable."""

    def __init__(self, site: str, error: Any) -> None:
        detail = error if isinstance(error, dict) else {}
        self.type = str(detail.get("type", "unknown"))
        field = f" ({detail['field']})" if detail.get("field") else ""
        super().__init__(f"tunnel agent at {site}: {detail.get('message', 'refused')}{field}")
