"""The userspace data plane of one connection: a TUN device, and the loops that move packets through the session."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from kms.tunnel.config import ConnectionConfig
from kms.tunnel.dataplane import addressing
from kms.tunnel.dataplane.base import DataPlaneEnvironment
from kms.tunnel.dataplane.paths.batching import SOL_UDP, UDP_GRO
from kms.tunnel.dataplane.paths.delivery import TunDelivery
from kms.tunnel.dataplane.paths.inbound_path import ROOM_BYTES, InboundPath
from kms.tunnel.dataplane.paths.outbound_path import DeviceLost, OutboundPath, largest_super_packet
from kms.tunnel.dataplane.tun import TunDevice
from kms.tunnel.errors import Unavailable
from kms.tunnel.protocol.effects import SaInstalled
from kms.tunnel.protocol.session import Session
from kms.tunnel.protocol.states import Link


class UserspacePlane:
    """Wakes the loops up when there is something to read, or room to write."""

    name = "userspace"
    counts_apart = False

    def __init__(self, config: ConnectionConfig, session: Session, environment: DataPlaneEnvironment) -> None:
        self._config = config
        self._session = session
        self._environment = environment
        self._loop = environment.loop
        self._tun: TunDevice | None = None
        self._socket: socket.socket | None = None
        self._outbound: OutboundPath | None = None
        self._inbound: InboundPath | None = None
        self._rate_kbps = config.rate_kbps
        self._is_waiting = False  # for room in the socket

    def open(self, udp: socket.socket) -> None:
        config = self._config
        try:
            udp.setsockopt(SOL_UDP, UDP_GRO, 1)
        except OSError as error:
            raise Unavailable(f"UDP socket: {error.strerror}") from error
        self._tun = TunDevice(config.interface)
        self._socket = udp
        report_error = self._environment.report_error
        self._outbound = OutboundPath(self._tun, udp, self._session.outbound, report_error)
        delivery = TunDelivery(self._tun, self._session.counters, ROOM_BYTES, report_error)
        self._inbound = InboundPath(delivery, udp, self._session.inbound, report_error)
        self._environment.carry_out()  # the first key is asked for while the interface is being set up
        self.configure()

    def configure(self) -> None:
        environment, octets = self._environment, self._super_packet(self._rate_kbps)
        addressing.configure_tun(self._config.interface, environment.mtu, octets, environment.pairs)

    def pump(self) -> None:
        if not self._is_waiting and self._tun is not None and self._session.link is not Link.CLOSED:
            self._read_device()

    def start(self) -> None:
        assert self._tun is not None
        assert self._socket is not None
        self._loop.add_reader(self._socket, self._read_socket)
        self._loop.add_reader(self._tun.fd, self._read_tun)

    def close(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = None
        if self._tun is not None:
            self._loop.remove_reader(self._tun.fd)
            self._tun.close()
            self._tun = None

    def send(self, datagram: bytes) -> None:
        """A control message that finds the socket full is lost, as on the network: it will be repeated."""
        assert self._outbound is not None
        if self._outbound.sender.is_stalled:
            self._session.counters.tx_socket_drops += 1
        else:
            self._outbound.sender.send(datagram)
            self._wait_for_room()

    def install(self, sas: Sequence[SaInstalled]) -> None:
        """The session itself seals and opens."""

    def transmit_on(self, spi: int) -> None:
        """As above."""

    def sync_sas(self) -> None:
        """As above."""

    def set_rate(self, rate_kbps: int | None) -> None:
        self._rate_kbps = rate_kbps
        try:
            addressing.limit_super_packets(self._config.interface, self._super_packet(rate_kbps))
        except Unavailable as error:
            self._environment.report_error(error)

    def _super_packet(self, rate_kbps: int | None) -> int:
        mtu = self._environment.mtu
        return addressing.super_packet_bytes(mtu, rate_kbps, largest_super_packet(mtu))

    def refresh(self) -> int:
        return 0

    def host_refusals(self) -> None:
        return None

    def _read_tun(self) -> None:
        if self._read_device():
            self._environment.carry_out()

    def _read_device(self) -> bool:
        """False when it is gone, which is told."""
        assert self._outbound is not None
        try:
            self._outbound.read_device(self._loop.time())
        except DeviceLost as error:
            assert self._tun is not None
            self._loop.remove_reader(self._tun.fd)
            self._environment.report_lost(f"interface {self._config.interface} is gone: {error.strerror}")
            return False
        self._wait_for_room()
        return True

    def _read_socket(self) -> None:
        assert self._inbound is not None
        self._inbound.read_socket(self._loop.time())
        self._environment.carry_out()

    def _wait_for_room(self) -> None:
        """While the socket is full the TUN is not read, so that senders feel it."""
        assert self._outbound is not None
        if self._outbound.sender.is_stalled and not self._is_waiting:
            assert self._socket is not None
            self._is_waiting = True
            if self._tun is not None:
                self._loop.remove_reader(self._tun.fd)
            self._loop.add_writer(self._socket, self._resume)

    def _resume(self) -> None:
        assert self._socket is not None
        assert self._outbound is not None
        self._outbound.sender.resume()
        if self._outbound.sender.is_stalled:
            return
        self._is_waiting = False
        self._loop.remove_writer(self._socket)
        if self._tun is not None and self._session.link is not Link.CLOSED:
            self._loop.add_reader(self._tun.fd, self._read_tun)
