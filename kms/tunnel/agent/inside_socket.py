"""The socket through which a connection's probes enter its tunnel, on the inner address, as an application's would."""

from __future__ import annotations

import logging
import socket

from kms.tunnel.agent.udp_socket import open_udp
from kms.tunnel.config import ConnectionConfig
from kms.tunnel.dataplane import addressing
from kms.tunnel.protocol.continuity.passage import UDP_HEADERS_BYTES

logger = logging.getLogger(__name__)

_BATCH = 16


class InsideSocket:
    """UDP between the inner addresses, on the connection's own port. What is lost is lost, as on the network."""

    def __init__(self, config: ConnectionConfig) -> None:
        self._config = config
        self._socket: socket.socket | None = None
        self.sent = self.received = 0
        self.sent_bytes = self.received_bytes = 0  # of IP packets, as connections count them
        self.error: str | None = None

    def open(self) -> int | None:
        """The descriptor to be read; None where it cannot be had, say an application has the port: ``error`` tells."""
        config = self._config
        try:
            inside = open_udp(config.interface, config.local_address, config.port)
        except OSError as error:
            self.error = f"no probes through the tunnel: UDP port {config.port} inside: {error.strerror}"
            logger.warning("connection %s: %s", config.id, self.error)
            return None
        self._socket, self.error = inside, None
        return inside.fileno()

    def send(self, payload: bytes) -> None:
        config = self._config
        if self._socket is None or not addressing.leads_to(config.interface, config.local_address, config.peer_address):
            return
        try:
            self._socket.sendto(payload, (str(config.peer_address), config.port))
        except OSError as error:
            logger.debug("connection %s: a probe inside: %s", self._config.id, error.strerror)
            return
        self.sent += 1
        self.sent_bytes += len(payload) + UDP_HEADERS_BYTES

    def receive(self) -> list[bytes]:
        """What has come from the peer's address."""
        payloads: list[bytes] = []
        while self._socket is not None and len(payloads) < _BATCH:
            try:
                payload, source = self._socket.recvfrom(65536)
            except BlockingIOError:
                break
            except OSError as error:
                logger.debug("connection %s: a probe inside: %s", self._config.id, error.strerror)
                break
            if source == (str(self._config.peer_address), self._config.port):
                self.received += 1
                self.received_bytes += len(payload) + UDP_HEADERS_BYTES
                payloads.append(payload)
        return payloads

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
