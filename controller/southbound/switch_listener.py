"""Where switches connect: OpenFlow over TLS with certificates at both ends.

Ryu's own listener loads its certificate for the first switch only: it takes its TLS context apart on the first
accept, and every later switch is refused with "no shared cipher". It also ends for good at the first error of
``accept``, and waits for ever for a switch that connects and is silent.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Any

import eventlet

from controller.listening import LastingListener, Strangers, listen
from controller.schema.config import OpenFlowConfig
from controller.southbound.switch_identity import check_datapath, check_switch
from controller.southbound.tls_stream import TlsStream

log = logging.getLogger(__name__)

MAX_STRANGERS = 256
HANDSHAKE_S = 10.0  # for the handshake of TLS and that of OpenFlow together

Handle = Callable[[Any, tuple[str, int]], None]


class SwitchListener:
    """Accepts switches and hands each to ``handle`` in a green thread of its own. Binds when it is made: OSError.

    A connection is a stranger until :meth:`admit` is called for it.
    """

    def __init__(self, config: OpenFlowConfig, handle: Handle) -> None:
        self._handle = handle
        self._switch_name = config.switch_name
        self._tls = _context(config) if config.tls else None
        self._listener = LastingListener(listen(config.host, config.port), "OpenFlow")
        self._strangers = Strangers(MAX_STRANGERS, HANDSHAKE_S)

    def serve(self) -> None:
        """Accept for ever."""
        while True:
            self._strangers.make_room()
            accepted, address = self._listener.accept()
            try:
                connection = accepted if self._tls is None else TlsStream(_wrapped(self._tls, accepted))
            except OSError as error:  # it has left already
                log.warning("a switch from %s:%d was refused: %s", *address[:2], error)
                accepted.close()
                continue
            self._strangers.enter(connection)
            eventlet.spawn(self._greet, connection, address)

    def admit(self, connection: Any, dpid: int) -> None:
        """The other end has said which datapath it is. Raises PermissionError when its certificate is not that one's.

        Without TLS whatever is said is believed.
        """
        if self._tls is not None:
            check_datapath(connection.peer_certificate, dpid)
        self._strangers.leave(connection)

    def _greet(self, connection: Any, address: tuple[str, int]) -> None:
        try:
            if self._tls is not None:
                connection.do_handshake()
                check_switch(connection.peer_certificate, self._switch_name)
        except OSError as error:  # errors of TLS are
            log.warning("a switch from %s:%d was refused: %s", *address[:2], error)
            self._strangers.leave(connection)
            connection.close()
            return
        try:
            self._handle(connection, address)
        finally:
            self._strangers.leave(connection)


def _wrapped(context: ssl.SSLContext, connection: Any) -> ssl.SSLSocket:
    return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


def _context(config: OpenFlowConfig) -> ssl.SSLContext:
    assert config.cert is not None, "the configuration was validated"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.cert, config.key)
    context.load_verify_locations(config.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
