"""One encrypted connection at work: a UDP socket, the session, and what seals and opens for it, on the event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from ipaddress import IPv4Address
from typing import Any

from kms.tunnel.agent.host_keeper import put_right
from kms.tunnel.agent.inside_socket import InsideSocket
from kms.tunnel.agent.key_questions import KeyQuestions
from kms.tunnel.agent.keylog import KeyLog
from kms.tunnel.agent.kme_client import KeyClient
from kms.tunnel.agent.stats import continuity_stats, sa_stats
from kms.tunnel.agent.udp_socket import open_underlay
from kms.tunnel.agent.wake_up import WakeUp
from kms.tunnel.config import ConnectionConfig
from kms.tunnel.dataplane import addressing
from kms.tunnel.dataplane.base import DataPlaneEnvironment, Plane
from kms.tunnel.dataplane.host_state import HostState
from kms.tunnel.dataplane.kernel import KernelPlane
from kms.tunnel.dataplane.userspace import UserspacePlane
from kms.tunnel.errors import ConfigurationError, Unavailable
from kms.tunnel.packet.cipher_suites import Suite
from kms.tunnel.packet.esp import inner_mtu
from kms.tunnel.packet.ip_header import IPV6, AddressPair
from kms.tunnel.protocol.continuity.passage import passage_period
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

_REFRESH_S = 1.0  # how often the data plane's own counters are looked at without being asked for

_AS_TOLD = {field.name for field in fields(SessionSettings)} & (
    ConnectionConfig.model_fields.keys() - {"role", "suite", "probe_s"}
)
"""What a session is told in the words in which the agent is: all but names that stand for something."""


class EspConnection:
    """Carries out what its session wants. ``open`` may be awaited once, ``close`` at any time."""

    def __init__(
        self,
        config: ConnectionConfig,
        *,
        local_sae: str,
        underlay_interface: str,
        underlay_address: IPv4Address,
        keys: KeyClient,
        keylog: KeyLog | None,
        probe_s: float,
        on_change: Callable[[], None],
        in_kernel: bool,
        suites: Mapping[str, Suite],
    ) -> None:
        self.config = config
        self._suites = suites
        self._underlay_interface = underlay_interface
        self._underlay_address = underlay_address
        self._keylog = keylog
        self._probe_s = probe_s
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._local_sae = local_sae
        self._mtu = inner_mtu(addressing.interface_mtu(underlay_interface))
        _check_mtu(self._mtu, config)
        self._pairs = _pairs_here(config)
        self._session = Session(self._settings(config), os.urandom(INSTANCE_BYTES), self)
        self._socket: socket.socket | None = None
        self._wake_up = WakeUp(self._loop, self._handle_timer)
        self._questions = KeyQuestions(f"connection {config.id}", self._session, keys, self._carry_out)
        self._up = asyncio.Event()
        made = KernelPlane if in_kernel else UserspacePlane
        self._plane: Plane = made(
            config,
            self._session,
            DataPlaneEnvironment(
                self._loop,
                underlay_interface,
                underlay_address,
                self._mtu,
                self._pairs,
                self._report_error,
                self._carry_out,
                self._report_lost,
            ),
        )
        self._inside = InsideSocket(config)
        self._refresh_timer: asyncio.TimerHandle | None = None
        self._healing: str | None = None  # what of the host is wrong and could not be put right
        self._inside_fd: int | None = None
        self._last_error = ""
        self._sources = {self._session.settings.context().digest(): config.key_source}  # by what keys are bound to

    def _settings(self, config: ConnectionConfig) -> SessionSettings:
        return SessionSettings(
            **{name: getattr(config, name) for name in _AS_TOLD},
            connection_id=config.id,
            role=Role(config.role),
            suite=self._suites[config.suite],
            local_sae=self._local_sae,
            mtu=self._mtu,
            probe_s=self._probe_s,
            passage_s=passage_period(self._probe_s),
        )

    def modify(self, config: ConnectionConfig) -> None:
        """Other keys while traffic goes on; ``wait_up`` then waits for them."""
        settings = self._settings(config)
        self._sources[settings.context().digest()] = config.key_source
        self._session.reconfigure(settings, self._loop.time())
        self.config = config
        self._plane.set_rate(config.rate_kbps)
        if not self._session.is_reconfigured:
            self._up.clear()
        self._carry_out()

    def pace_probes(self, period_s: float) -> None:
        self._session.pace_probes(period_s, passage_period(period_s) if self._inside.error is None else 0.0)

    def heal(self, host: HostState, warning: str | None) -> bool:
        """Put back what somebody has taken from the tunnel's interface; what cannot be put back is told.

        ``warning`` is what is wrong with the host as a whole. Whether all is as it shall be.
        """
        lacks = host.lacks(self.config.interface, self._mtu, self._pairs)
        if self.config.interface not in host.links:
            lacks = None  # one that is gone is the data plane's to tell
        before, self._healing = self._healing, put_right(self.config.id, lacks, self._plane.configure) or warning
        if self._healing != before:
            self._on_change()
        return self._healing is None

    async def open(self) -> None:
        """Make socket and interface and start the first exchange. Raises ConfigurationError or Unavailable."""
        try:
            self._socket = open_underlay(self.config, self._underlay_interface, self._underlay_address)
            # The first key is fetched while the interface is being set up; nothing is received before it is.
            self._session.start(self._loop.time())
            self._plane.open(self._socket)
            self._carry_out()
        except BaseException:
            await self.close()
            raise
        self._plane.start()
        self._open_inside()
        if self._plane.counts_apart:
            self._look_at_plane()

    async def close(self) -> None:
        """Forget the keys, stop, remove the interface."""
        self._session.close()
        self._up.clear()
        self._wake_up.cancel()
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
        if self._inside_fd is not None:
            self._loop.remove_reader(self._inside_fd)
            self._inside_fd = None
        self._inside.close()
        self._plane.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        await self._questions.close()

    async def wait_up(self, timeout_s: float) -> None:
        """Return once traffic can pass both ways; Unavailable when that takes longer than ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        except TimeoutError:
            status = self._session.status(self._loop.time())
            reason = f": {self._error(status.last_error)}" if self._error(status.last_error) else ""
            message = f"{self.config.id} is {status.link.value} after {timeout_s:g} s{reason}"
            raise Unavailable(message, lacks_key=self._questions.lacks_key) from None

    def stats(self) -> dict[str, Any]:
        """Counters and state as plain values."""
        self._refresh()
        self._receive_inside()
        status = self._session.status(self._loop.time())
        return {
            **self._session.counters.as_dict(),
            **self._traffic(),
            "state": status.link.value,
            "mode": "esp",
            "data_plane": self._plane.name,
            "host_refusals": self._plane.host_refusals(),
            "key_source": self.config.key_source,
            "keys_in_use": self._keys_in_use(),
            "suite": self.config.suite,
            "key_id": status.key_id,
            "key_age_s": status.key_age_s,
            "live_sas": status.live_sas,
            "sas": sa_stats(self._session.live, self._loop.time()) if self._plane.name == UserspacePlane.name else None,
            "rx_saved": self._session.counters.rx_saved if self.config.expects_copies else None,
            "mtu": self._mtu,
            "last_error": self._error(status.last_error) or None,
            "warning": self._warning(),
            **continuity_stats(self._session.continuity, self._loop.time()),
        }

    def _keys_in_use(self) -> str | None:
        """The source of the key that packets are sealed under now, whatever was asked for since; None without a key."""
        current = self._session.current
        return None if current is None else self._sources.get(current.context)

    def _traffic(self) -> dict[str, int]:
        """Packets and octets without those of our own probes."""
        counters, inside = self._session.counters, self._inside
        return {
            "tx_packets": max(0, counters.tx_packets - inside.sent),
            "tx_bytes": max(0, counters.tx_bytes - inside.sent_bytes),
            "rx_packets": max(0, counters.rx_packets - inside.received),
            "rx_bytes": max(0, counters.rx_bytes - inside.received_bytes),
        }

    def _warning(self) -> str | None:
        if self._session.is_blocked_inside:
            return f"packets of {self._mtu} octets do not pass through the tunnel"
        return self._healing or self._inside.error

    def _error(self, of_session: str) -> str:
        return self._last_error or of_session

    def _open_inside(self) -> None:
        self._inside_fd = self._inside.open()
        if self._inside_fd is None:
            self._session.pace_probes(self._probe_s, 0.0)
        else:
            self._loop.add_reader(self._inside_fd, self._read_inside)

    def _read_inside(self) -> None:
        self._receive_inside()
        self._carry_out()

    def _receive_inside(self) -> None:
        for payload in self._inside.receive():
            self._session.receive_inside(payload, self._loop.time())

    def _look_at_plane(self) -> None:
        self._refresh_timer = self._loop.call_later(_REFRESH_S, self._look_at_plane)
        try:
            self._refresh()
        except OSError as error:  # no descriptor for a question to the kernel, say: it is asked again
            self._report_error(error)
        self._carry_out()

    def _refresh(self) -> None:
        if self._session.link is not Link.CLOSED:
            self._session.note_sequence(self._plane.refresh(), self._loop.time())

    # What the session wants

    def _carry_out(self) -> None:
        """Effects and the timer; the quick way out is the usual one."""
        while self._session.has_effects():
            for effect in self._session.take_effects():
                self._do(effect)
        self._plane.sync_sas()
        due = self._session.next_timer()
        if due is not None and due < self._wake_up.at:
            self._wake_up.set(due)

    def _do(self, effect: Effect) -> None:
        match effect:
            case SendDatagram(datagram):
                self._plane.send(datagram)
            case SendInside(payload):
                self._inside.send(payload)
                self._plane.pump()
            case AskEncKeys() | AskDecKeys():
                self._questions.ask(effect)
            case LinkChanged(link):
                logger.info("connection %s is %s", self.config.id, link.value)
                if link is Link.UP:
                    self._last_error = ""  # it has passed
                if self._session.is_reconfigured:
                    self._up.set()
                else:
                    self._up.clear()
                self._on_change()
            case ContinuityChanged():
                self._on_change()
            case SaInstalled():
                if self._keylog is not None:
                    self._keylog.write(effect, self._underlay_address, self.config.peer_underlay)

    # What the session asks of the data plane before an SA is one

    def install(self, sas: Sequence[SaInstalled]) -> None:
        self._plane.install(sas)

    def transmit_on(self, spi: int) -> None:
        self._plane.transmit_on(spi)

    def _handle_timer(self) -> None:
        self._session.handle_timer(self._loop.time())
        self._carry_out()

    def _report_error(self, error: OSError | Unavailable) -> None:
        self._last_error = error.strerror if isinstance(error, OSError) and error.strerror else str(error)

    def _report_lost(self, reason: str) -> None:
        """The interface was removed under us: nothing can pass, and the keys are of no more use."""
        logger.error("connection %s: %s", self.config.id, reason)
        self._last_error = reason
        self._session.close()
        self._carry_out()


def _pairs_here(config: ConnectionConfig) -> tuple[AddressPair, ...]:
    """Without IPv6 in the kernel a connection for both families carries IPv4, and all else is as it would be."""
    if addressing.has_ipv6() or config.local_address6 is None:
        return config.pairs
    logger.warning("connection %s carries IPv4 alone: this kernel has no IPv6", config.id)
    return tuple(pair for pair in config.pairs if pair.family is not IPV6)


def _check_mtu(mtu: int, config: ConnectionConfig) -> None:
    for pair in config.pairs:
        least = pair.family.min_mtu
        if mtu < least:
            field = "connection.local_address6" if pair.family is IPV6 else "underlay_interface"
            raise ConfigurationError(field, f"IPv{pair.family.version} wants {least} octets, the tunnel carries {mtu}")
