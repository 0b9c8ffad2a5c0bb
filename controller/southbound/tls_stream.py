"""The TLS connection to a switch, with what Ryu expects of a socket and ``ssl`` does not keep.

Ryu ends a connection on which it cannot send by ``shutdown``, and reads on until the switch closes it. ``SSLSocket``
forgets its keys at a shutdown: what Ryu reads from then on are TLS records as they are on the wire, and it takes
them for OpenFlow (a record of data begins with 17 hex: "unknown version 17"). Ryu also tries again for ever,
without a pause, after any error of TLS but none of them passes.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any


class TlsStream:
    """Wraps a connected TLS socket for Ryu's ``Datapath``."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls

    @property
    def peer_certificate(self) -> Any:
        return self._tls.getpeercert()

    def do_handshake(self) -> None:
        """Raises OSError, of which ``ssl``'s errors are."""
        self._tls.do_handshake()

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self._tls.setsockopt(level, option, value)

    def settimeout(self, timeout_s: float | None) -> None:
        self._tls.settimeout(timeout_s)

    def recv(self, size: int) -> bytes:
        """Empty at the end. Raises TimeoutError, and ConnectionError when the connection is of no use any more."""
        try:
            return self._tls.recv(size)
        except ssl.SSLError as error:
            raise ConnectionError(f"TLS: {error}") from error
        except ValueError as error:  # closed meanwhile
            raise ConnectionError(str(error)) from error

    def sendall(self, octets: bytes) -> None:
        """Raises TimeoutError, ConnectionError."""
        try:
            self._tls.sendall(octets)
        except ssl.SSLError as error:
            raise ConnectionError(f"TLS: {error}") from error
        except ValueError as error:
            raise ConnectionError(str(error)) from error

    def shutdown(self, how: int) -> None:
        """End both directions, whatever ``how`` says: the reader learns of it at once, and the switch connects anew.

        The keys stay: what has come already is read as what it is.
        """
        del how
        socket.SocketType.shutdown(self._tls, socket.SHUT_RDWR)

    def close(self) -> None:
        self._tls.close()
