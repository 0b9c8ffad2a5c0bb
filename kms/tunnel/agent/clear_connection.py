"""A connection whose security is none: no tunnel, its address stands on the underlay."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from kms.tunnel.agent.host_keeper import put_right
from kms.tunnel.agent.stats import continuity_stats
from kms.tunnel.agent.udp_socket import open_udp
from kms.tunnel.agent.wake_up import WakeUp
from kms.tunnel.config import ConnectionConfig
from kms.tunnel.dataplane import addressing
from kms.tunnel.dataplane.host_state import HostState
from kms.tunnel.errors import Unavailable
from kms.tunnel.protocol.continuity.check import Continuity
from kms.tunnel.protocol.continuity.clear_echo import EchoSession
from kms.tunnel.protocol.continuity.passage import UDP_HEADERS_BYTES, joined, passage_period

logger = logging.getLogger(__name__)

_BATCH = 16
_RECEIVE_BYTES = 65536


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
        is_leader = config.role == "initiator"
        self._session = EchoSession(config.id, probe_s, is_leader=is_leader, entropy=os.urandom(7))
        size = self._mtu - UDP_HEADERS_BYTES
        self._large = EchoSession(
            f"{config.id}\0inside", passage_period(probe_s), is_leader=is_leader, entropy=os.urandom(7), size=size
        )
        self._size = size
        self._healing: str | None = None  # what of the host is wrong and could not be put right
        self._socket: socket.socket | None = None
        self._wake_up = WakeUp(self._loop, self._handle_timer)
        self._told: object = None
        self._is_up = False

    async def open(self) -> None:
        config = self.config
        try:
            self._configure()
            try:
                self._socket = open_udp(self._interface, config.local_address, config.port, config.peer_address)
            except OSError as error:
                raise Unavailable(f"UDP socket for echoes: {error.strerror}") from error
        except BaseException:
            await self.close()
            raise
        self._loop.add_reader(self._socket, self._read)
        self._is_up = True
        for session in (self._session, self._large):
            session.start(self._loop.time())
        self._settle()

    def modify(self, config: ConnectionConfig) -> None:
        """It has no keys that could be others."""
        self.config = config

    def pace_probes(self, period_s: float) -> None:
        self._session.pace_probes(period_s)
        self._large.pace_probes(passage_period(period_s))

    def heal(self, host: HostState, warning: str | None) -> bool:
        """Put back what somebody has taken from the host; what cannot be put back is told.

        ``warning`` is what is wrong with the host as a whole. Whether all is as it shall be.
        """
        lacks = host.lacks(self._interface, None, self.config.pairs)
        before, self._healing = self._healing, put_right(self.config.id, lacks, self._configure) or warning
        if self._healing != before:
            self._on_change()
        return self._healing is None

    def _configure(self) -> None:
        addressing.configure_clear(self._interface, self.config.local_address, self.config.peer_address)

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
            "warning": self._warning(),
            **continuity_stats(self._continuity, self._loop.time()),
        }

    def _warning(self) -> str | None:
        if self._session.continuity.reachable and self._large.continuity.reachable is False:
            return f"packets of {self._mtu} octets do not pass"
        return self._healing

    def _read(self) -> None:
        for _ in range(_BATCH):
            if self._socket is None:
                return
            try:
                datagram = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                logger.debug("connection %s: %s", self.config.id, error.strerror)  # e.g. nobody listens there yet
                continue
            session = self._large if len(datagram) == self._size else self._session
            answer = session.receive(datagram, self._loop.time())
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
        continuity = self._continuity
        if self._told != (continuity.reachable, continuity.failing):
            self._told = (continuity.reachable, continuity.failing)
            self._on_change()
        for session in (self._session, self._large):
            due = session.next_timer()
            if due is not None and due < self._wake_up.at:
                self._wake_up.set(due)

    @property
    def _continuity(self) -> Continuity:
        return joined(self._session.continuity, self._large.continuity)

    def _handle_timer(self) -> None:
        for session in (self._session, self._large):
            question = session.handle_timer(self._loop.time())
            if question is not None:
                self._send(question)
        self._settle()
