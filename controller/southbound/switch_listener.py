"""Where switches connect: OpenFlow over TLS with certificates at both ends.

Ryu's own listener loads its certificate for the first switch only: it takes its TLS context apart on the first
accept, and every later switch is refused with "no shared cipher".
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Any

import eventlet

from controller.schema.config import OpenFlowConfig
from controller.southbound.switch_identity import check_switch
from controller.southbound.tls_stream import TlsStream

log = logging.getLogger(__name__)

Handle = Callable[[Any, tuple[str, int]], None]


class SwitchListener:
    """Accepts switches and hands each to ``handle`` in a green thread of its own. Binds when it is made: OSError."""

    def __init__(self, config: OpenFlowConfig, handle: Handle) -> None:
        self._handle = handle
        self._switch_name = config.switch_name
        self._tls = _context(config) if config.tls else None
        self._listener = eventlet.listen((config.host, config.port), reuse_port=False)

    def serve(self) -> None:
        """Accept for ever."""
        while True:
            connection, address = self._listener.accept()
            eventlet.spawn(self._greet, connection, address)

    def _greet(self, connection: Any, address: tuple[str, int]) -> None:
        try:
            if self._tls is not None:
                connection = TlsStream(self._tls.wrap_socket(connection, server_side=True))
                check_switch(connection.peer_certificate, self._switch_name)
        except (ssl.SSLError, OSError) as error:
            log.warning("a switch from %s:%d was refused: %s", *address[:2], error)
            connection.close()
            return
        self._handle(connection, address)


def _context(config: OpenFlowConfig) -> ssl.SSLContext:
    assert config.cert is not None, "the configuration was validated"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.cert, config.key)
    context.load_verify_locations(config.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
