"""A connection whose security is none: no tunnel, its address stands on the underlay."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from kms.tunnel.agent.stats import continuity_stats
from kms.tunnel.agent.wake_up import WakeUp
from kms.tunnel.config import ConnectionConfig
from kms.tunnel.dataplane import addressing
from kms.tunnel.errors import Unavailable
from kms.tunnel.protocol.continuity.clear_echo import EchoSession
from kms.tunnel.protocol.messages import MAX_DATAGRAM_BYTES

logger = logging.getLogger(__name__)

_BATCH = 16


class ClearConnection:
    """An address and a route on the underlay; the peer's address is found by ARP.

    Beside the traffic a UDP socket on that address asks the peer whether it is heard: the switches know the
    connection by its addresses, so that the echoes go where the traffic goes.
    """

    def __init__(
        self, config: ConnectionConfig, *, underlay_interface: str, probe_s: float, on_change: Callable[[], None]
    ) -> None:
        self.config = config
        self._interface = underlay_interface
        self._mtu = addressing.interface_mtu(underlay_interface)
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._session = EchoSession(
            config.id, probe_s, is_leader=config.role == "initiator", entropy=os.urandom(7)
        )  # fmt: skip
        self._socket: socket.socket | None = None
        self._wake_up = WakeUp(self._loop, self._handle_timer)
        self._told: object = None
        self._is_up = False

    async def open(self) -> None:
        config = self.config
        try:
            addressing.configure_clear(self._interface, config.local_address, config.peer_address)
            self._socket = self._open_socket()
        except BaseException:
            await self.close()
            raise
        self._loop.add_reader(self._socket, self._read)
        self._is_up = True
        self._session.start(self._loop.time())
        self._settle()

    def modify(self, config: ConnectionConfig) -> None:
        """It has no keys that could be others."""
        self.config = config

    def pace_probes(self, period_s: float) -> None:
        self._session.pace_probes(period_s)

    async def close(self) -> None:
        self._is_up = False
        self._wake_up.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        addressing.unconfigure_clear(self._interface, self.config.local_address, self.config.peer_address)

    async def wait_up(self, timeout_s: float) -> None:
        """It is up as soon as it is there."""

    def stats(self) -> dict[str, Any]:
        return {
            "state": "up" if self._is_up else "closed",
            "mode": "clear",
            "key_source": "none",
            "keys_in_use": "none",
            "mtu": self._mtu,
            "last_error": None,
            **continuity_stats(self._session.continuity, self._loop.time()),
        }

    def _open_socket(self) -> socket.socket:
        config = self.config
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
            udp.bind((str(config.local_address), config.port))
            udp.connect((str(config.peer_address), config.port))
        except OSError as error:
            udp.close()
            raise Unavailable(f"UDP socket for echoes: {error.strerror}") from error
        return udp

    def _read(self) -> None:
        for _ in range(_BATCH):
            if self._socket is None:
                return
            try:
                datagram = self._socket.recv(MAX_DATAGRAM_BYTES + 1)
            except BlockingIOError:
                break
            except OSError as error:
                logger.debug("connection %s: %s", self.config.id, error.strerror)  # e.g. nobody listens there yet
                continue
            answer = self._session.receive(datagram, self._loop.time())
            if answer is not None:
                self._send(answer)
        self._settle()

    def _send(self, datagram: bytes) -> None:
        """What does not go out is lost, as on the network: it is asked again."""
        assert self._socket is not None
        try:
            self._socket.send(datagram)
        except OSError as error:
            logger.debug("connection %s: %s", self.config.id, error.strerror)

    def _settle(self) -> None:
        continuity = self._session.continuity
        if self._told != (continuity.reachable, continuity.failing):
            self._told = (continuity.reachable, continuity.failing)
            self._on_change()
        due = self._session.next_timer()
        if due is not None and due < self._wake_up.at:
            self._wake_up.set(due)

    def _handle_timer(self) -> None:
        question = self._session.handle_timer(self._loop.time())
        if question is not None:
            self._send(question)
        self._settle()
