"""NETCONF over SSH (RFC 6242): a listener, and a thread for each session. Keys alone let anybody in: no passwords."""

from __future__ import annotations

import base64
import contextlib
import itertools
import logging
import socket
import threading
import weakref
from pathlib import Path
from typing import Any

import paramiko

from controller.layers.device.running import Running
from controller.layers.device.schema import Schema
from controller.layers.device.session import Locks, Session

log = logging.getLogger(__name__)
SUBSYSTEM = "netconf"  # RFC 6242, 3
USER = "orchestrator"
BACKLOG = 16
GREETING_S = 10.0


class NetconfServer:
    """Serves on the address from the moment it is made until it is closed."""

    def __init__(
        self, address: tuple[str, int], host_key: Path, authorized_keys: Path, running: Running, schema: Schema
    ) -> None:
        self._key = paramiko.Ed25519Key(filename=str(host_key))
        self._authorized = frozenset(_public_keys(authorized_keys))
        self._running, self._schema = running, schema
        self._locks = Locks()
        self._transports: weakref.WeakSet[Any] = weakref.WeakSet()
        self._numbers = itertools.count(1)
        self._listener = socket.create_server(address, backlog=BACKLOG)
        self.address = self._listener.getsockname()[:2]

    def serve(self) -> None:
        """Until :meth:`close`."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """The listener, and every session."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # who waits in accept is woken
        self._listener.close()
        for transport in tuple(self._transports):
            transport.close()

    def _greet(self, connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        self._transports.add(transport)
        try:
            transport.add_server_key(self._key)
            transport.set_subsystem_handler(SUBSYSTEM, _Subsystem, self)
            transport.start_server(event=(ready := threading.Event()), server=_Gate(self._authorized))
            if not ready.wait(GREETING_S):
                transport.close()
        except (paramiko.SSHException, OSError, EOFError) as error:
            log.info("a caller did not come to be heard: %s", error)
            transport.close()

    def session(self, channel: paramiko.Channel) -> Session:
        return Session(next(self._numbers), channel, self._running, self._schema, self._locks)


class _Gate(paramiko.ServerInterface):  # type: ignore[misc]
    """Who may come in, and what for."""

    def __init__(self, authorized: frozenset[tuple[str, bytes]]) -> None:
        self._authorized = authorized

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        is_known = username == USER and (key.get_name(), key.asbytes()) in self._authorized
        return int(paramiko.AUTH_SUCCESSFUL if is_known else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        allowed = kind == "session"
        return int(paramiko.OPEN_SUCCEEDED if allowed else paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)


class _Subsystem(paramiko.SubsystemHandler):  # type: ignore[misc]
    def __init__(self, channel: paramiko.Channel, name: str, gate: _Gate, server: NetconfServer) -> None:
        super().__init__(channel, name, gate)
        self._channel, self._served_by = channel, server

    def start_subsystem(self, name: str, transport: Any, channel: paramiko.Channel) -> None:
        try:
            self._served_by.session(channel).serve()
        except Exception:
            log.exception("a session failed")
        finally:
            transport.close()


def _public_keys(path: Path) -> list[tuple[str, bytes]]:
    """Kind and key of each line. Raises ValueError."""
    lines = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    return [(kind, base64.b64decode(encoded)) for kind, encoded, *_ in lines]
