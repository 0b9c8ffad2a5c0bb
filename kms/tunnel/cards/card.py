"""One card at work: its end of the line, its session with the other card, and the clients whose frames it seals."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from kms.tunnel.agent.key_questions import KeyQuestions
from kms.tunnel.agent.keylog import KeyLog
from kms.tunnel.agent.kme_client import KeyClient
from kms.tunnel.agent.stats import continuity_stats, sa_stats
from kms.tunnel.agent.wake_up import WakeUp
from kms.tunnel.cards import line
from kms.tunnel.cards.carrier import STATUS_HOLDS_S, LineState
from kms.tunnel.cards.client_port import ClientPort
from kms.tunnel.cards.client_status import ClientStatus
from kms.tunnel.cards.config import CardConfig, ShelfConfig
from kms.tunnel.cards.frames_in import ClientDelivery
from kms.tunnel.cards.frames_out import FramesOut
from kms.tunnel.cards.tap import TapPort
from kms.tunnel.dataplane.paths.datagram_sender import DatagramSender
from kms.tunnel.dataplane.paths.inbound_path import InboundPath
from kms.tunnel.dataplane.paths.outbound_path import DeviceLost
from kms.tunnel.errors import Malformed
from kms.tunnel.protocol.effects import (
    AskDecKeys,
    AskEncKeys,
    ContinuityChanged,
    Effect,
    LinkChanged,
    SaInstalled,
    SendDatagram,
    SendInside,
)
from kms.tunnel.protocol.messages import INSTANCE_BYTES
from kms.tunnel.protocol.session import Session
from kms.tunnel.protocol.settings import Role, SessionSettings
from kms.tunnel.protocol.states import Link

logger = logging.getLogger(__name__)

STATUS_PERIOD_S = 1.0


class Card:
    """Carries out what its session wants; a client has carrier only while the line carries it, sealed."""

    def __init__(
        self,
        config: CardConfig,
        shelf: ShelfConfig,
        keys: KeyClient,
        keylog: KeyLog | None,
        on_change: Callable[[], None],
    ) -> None:
        self.config = config
        self._keylog = keylog
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._session = Session(_settings(config, shelf), os.urandom(INSTANCE_BYTES))
        self._wake_up = WakeUp(self._loop, self._handle_timer)
        self._questions = KeyQuestions(f"wavelength {config.wavelength}", self._session, keys, self._carry_out)
        self._clients: tuple[ClientPort, ...] = ()
        self._udp: socket.socket | None = None
        self._sender: DatagramSender | None = None
        self._has_light = False
        self._peer = ClientStatus(frozenset())
        self._peer_heard_at: float | None = None
        self._status_timer: asyncio.TimerHandle | None = None
        self._is_waiting = False  # for room in the socket
        self._last_error = ""

    # Its life

    def open(self, interfaces: frozenset[str]) -> None:
        """Take over the line and the clients' ports, of the ``interfaces`` that there are, and ask for the first key.

        Raises TunnelError.
        """
        self._udp = line.open_line(self.config.line)
        counters = self._session.counters
        self._sender = DatagramSender(self._udp, counters, self._report_error)
        ports = []
        for client in self.config.clients:
            ports.append(ClientPort(client, TapPort(client.interface, client.interface in interfaces)))
            self._clients = tuple(ports)
        self._out = FramesOut(self._session.outbound, self._sender)
        fds = {port.tag: port.tap.fd for port in self._clients}
        delivery = ClientDelivery(fds, counters, self._receive_status, self._report_error)
        self._in = InboundPath(delivery, self._udp, self._session.inbound, self._report_error)
        self._session.start(self._loop.time())
        self._loop.add_reader(self._udp, self._read_line)
        self._read_ports()
        self._tell_status()
        self._carry_out()

    async def close(self) -> None:
        """Forget the keys; the clients have no carrier any more."""
        self._session.close()
        self._wake_up.cancel()
        if self._status_timer is not None:
            self._status_timer.cancel()
        for client in self._clients:
            self._loop.remove_reader(client.tap.fd)
            client.tap.close()
        self._clients = ()
        if self._udp is not None:
            self._loop.remove_reader(self._udp)
            self._loop.remove_writer(self._udp)
            self._udp.close()
            self._udp = None
        await self._questions.close()

    # What the kernel tells

    def look(self, kernel: socket.socket) -> None:
        """Links have changed, perhaps ours: the line's, or a client's in the namespace of ``kernel``."""
        if self._udp is None:
            return
        self._has_light = line.has_carrier(self.config.line.interface, self._udp)
        before = self._up
        for client in self._clients:
            client.is_up = not client.is_gone and line.is_up(client.config.interface, kernel)
        if self._up != before:
            self._send_status()
        self._settle()

    @property
    def _up(self) -> frozenset[int]:
        return frozenset(client.config.circuit for client in self._clients if client.is_up)

    # Clients' signals

    def _line_state(self) -> LineState:
        now, heard = self._loop.time(), self._peer_heard_at
        return LineState(
            has_light=self._has_light,
            has_key=self._session.link is Link.UP,
            is_heard=self._session.continuity.reachable,
            peer_up=self._peer.up if heard is not None and now - heard < STATUS_HOLDS_S else frozenset(),
        )

    def _settle(self) -> None:
        state = self._line_state()
        if [client for client in self._clients if client.settle(state)]:
            self._on_change()

    def _tell_status(self) -> None:
        self._status_timer = self._loop.call_later(STATUS_PERIOD_S, self._tell_status)
        self._send_status()
        self._settle()  # what the other card has said last may be too old

    def _send_status(self, asks: bool | None = None) -> None:
        if self._session.link is Link.UP and self._sender is not None and not self._sender.is_stalled:
            asks = self._peer_heard_at is None if asks is None else asks
            frame = ClientStatus(self._up, asks).encode()
            datagram = self._session.outbound.send_packet(frame, self._loop.time())
            if datagram is not None:
                self._sender.send(datagram)
                self._wait_for_room()

    def _receive_status(self, frame: bytes) -> None:
        try:
            said = ClientStatus.decode(frame)
        except Malformed:
            self._session.counters.rx_malformed += 1
            return
        self._peer, self._peer_heard_at = said, self._loop.time()
        if said.asks:
            self._send_status(asks=False)
        self._settle()

    # Frames

    def _read_line(self) -> None:
        self._in.read_socket(self._loop.time())
        self._carry_out_effects()

    def _read_ports(self) -> None:
        for client in self._clients:
            if not client.is_gone:
                self._loop.add_reader(client.tap.fd, partial(self._read_port, client))

    def _read_port(self, client: ClientPort) -> None:
        try:
            self._out.read_port(client.tap.fd, int.from_bytes(client.tag), self._loop.time())
        except DeviceLost as error:
            self._loop.remove_reader(client.tap.fd)
            client.lose(error)
            self._send_status()
            self._on_change()
        self._wait_for_room()
        self._carry_out_effects()

    def _wait_for_room(self) -> None:
        """While the socket is full no port is read, so that senders feel it."""
        if self._sender is None or self._udp is None or not self._sender.is_stalled or self._is_waiting:
            return
        self._is_waiting = True
        for client in self._clients:
            self._loop.remove_reader(client.tap.fd)
        self._loop.add_writer(self._udp, self._resume)

    def _resume(self) -> None:
        assert self._sender is not None
        assert self._udp is not None
        self._sender.resume()
        if not self._sender.is_stalled:
            self._is_waiting = False
            self._loop.remove_writer(self._udp)
            self._read_ports()

    # What the session wants

    def _carry_out_effects(self) -> None:
        """After frames, of which there are many. They bring no timer forward but that of a pair of SAs that drains:
        the next probe's is soon enough for that."""
        if self._session.has_effects():
            self._carry_out()

    def _carry_out(self) -> None:
        while self._session.has_effects():
            for effect in self._session.take_effects():
                self._do(effect)
        due = self._session.next_timer()
        if due is not None and due < self._wake_up.at:
            self._wake_up.set(due)

    def _do(self, effect: Effect) -> None:
        match effect:
            case SendDatagram(datagram):
                if self._sender is not None and not self._sender.is_stalled:  # else lost: it will be repeated
                    self._sender.send(datagram)
                    self._wait_for_room()
            case AskEncKeys() | AskDecKeys():
                self._questions.ask(effect)
            case LinkChanged(link):
                logger.info("wavelength %s is %s", self.config.wavelength, link.value)
                self._last_error = "" if link is Link.UP else self._last_error
                self._send_status()
                self._settle()
                self._on_change()
            case ContinuityChanged():
                self._settle()
                self._on_change()
            case SaInstalled():
                if self._keylog is not None:
                    self._keylog.write(effect, self.config.line.address, self.config.line.peer)
            case SendInside():
                raise AssertionError("nothing inside asks: cards are told so")

    def _handle_timer(self) -> None:
        self._session.handle_timer(self._loop.time())
        self._carry_out()

    def _report_error(self, error: OSError) -> None:
        self._last_error = error.strerror or str(error)

    # What there is to tell

    def stats(self) -> dict[str, Any]:
        """Counters and state as plain values; frames from card to card are among the packets."""
        status = self._session.status(self._loop.time())
        return {
            **self._session.counters.as_dict(),
            "wavelength": self.config.wavelength,
            "peer": self.config.peer_sae,
            "role": self.config.role,
            "state": status.link.value,
            "key_source": self.config.key_source,
            "has_light": self._has_light,
            "key_id": status.key_id,
            "key_age_s": status.key_age_s,
            "live_sas": status.live_sas,
            "sas": sa_stats(self._session.live, self._loop.time()),
            "clients": [client.stats() for client in self._clients],
            "last_error": self._last_error or status.last_error or None,
            **continuity_stats(self._session.continuity, self._loop.time()),
        }


def _settings(config: CardConfig, shelf: ShelfConfig) -> SessionSettings:
    return SessionSettings(
        connection_id=f"wavelength {config.wavelength}",  # a blank: no host's connection has this name
        role=Role(config.role),
        local_address=config.line.address,
        peer_address=config.line.peer,
        local_sae=shelf.sae_id,
        peer_sae=config.peer_sae,
        key_source=config.key_source,
        rekey_s=shelf.rekey_s,
        lifetime_s=shelf.lifetime_s,
        carries_frames=True,
        probe_s=shelf.probe_s,
        queue_packets=0,  # without carrier nobody sends
    )
