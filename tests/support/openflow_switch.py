"""A switch that speaks just enough OpenFlow 1.3 to be taken for one: it holds no rules and forwards nothing."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import suppress
from pathlib import Path

_HEADER = struct.Struct("!BBHI")
_VERSION = 4  # on the wire, of 1.3
HELLO, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 2, 3, 5, 6
MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 18, 19, 20, 21


class OpenFlowSwitch:
    """Connects at once and answers until it is closed, or the controller ends it. Use it as a context manager.

    ``certificate`` is the folder with its certificate, key and authority; None: without TLS.
    """

    def __init__(self, port: int, dpid: int, certificate: Path | None = None) -> None:
        self._dpid = dpid
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        if certificate is not None:
            context = ssl.create_default_context(cafile=str(certificate / "ca.pem"))
            context.check_hostname = False
            context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
            self._socket = context.wrap_socket(self._socket)
        self._socket.settimeout(None)
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> OpenFlowSwitch:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._socket.close()

    def _run(self) -> None:
        with suppress(OSError):
            self._send(HELLO, 1)
            while head := self._read(_HEADER.size):
                _, kind, length, xid = _HEADER.unpack(head)
                self._answer(kind, xid, self._read(length - _HEADER.size))
        self.ended.set()

    def _answer(self, kind: int, xid: int, body: bytes) -> None:
        if kind == FEATURES_REQUEST:
            self._send(FEATURES_REPLY, xid, struct.pack("!QIBB2xII", self._dpid, 0, 1, 0, 0, 0))
        elif kind == MULTIPART_REQUEST:  # nothing of what is asked for
            self._send(MULTIPART_REPLY, xid, body[:2] + bytes(6))
        elif kind == BARRIER_REQUEST:
            self._send(BARRIER_REPLY, xid)
        elif kind == ECHO_REQUEST:
            self._send(ECHO_REPLY, xid, body)

    def _send(self, kind: int, xid: int, body: bytes = b"") -> None:
        self._socket.sendall(_HEADER.pack(_VERSION, kind, _HEADER.size + len(body), xid) + body)

    def _read(self, size: int) -> bytes:
        """Empty at the end."""
        octets = b""
        while len(octets) < size:
            more = self._socket.recv(size - len(octets))
            if not more:
                return b""
            octets += more
        return octets
