"""The kernel data plane of one connection: it keeps the kernel's SAs and policies in step with the session's.

The session agrees on keys and says which SA is in use, as ever; here that is told to the kernel, which seals and opens.
A new SA is there before any policy names it, an old one goes after. While no SA is in use, the policy blocks: the
interface takes no packet that it could send otherwise than sealed.

What the kernel refuses of a new SA ends its exchange, and what was in use goes on. What it refuses of the clearing up
is asked again every time the counters are looked at.
"""

from __future__ import annotations

import errno
import logging
import math
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kms.tunnel.config import ConnectionConfig
from kms.tunnel.dataplane import addressing, kernel_host, netlink, xfrm
from kms.tunnel.dataplane.base import DataPlaneEnvironment
from kms.tunnel.errors import Conflict, Unavailable
from kms.tunnel.protocol.effects import SaInstalled
from kms.tunnel.protocol.session import Session

logger = logging.getLogger(__name__)

_UNCLEAR = -1  # in the place of an SPI
_SOL_UDP = 17
# linux/in.h: ICMP about the path is not believed. The kernel's packets share the route whose MTU it would change.
_IP_MTU_DISCOVER, _IP_PMTUDISC_INTERFACE = 10, 4
_BATCH_DATAGRAMS, _RECEIVE_BYTES = 64, 2048
_DEVICES = Path("/proc/self/net/dev")  # of this process's namespace, which /sys may not be


@dataclass
class _Traffic:
    """What the interface has counted."""

    rx_bytes: int = 0
    rx_packets: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_drops: int = 0


class KernelPlane:
    """Everything of one connection that is in the kernel. ``close`` may be called at any time."""

    name = "kernel"
    counts_apart = True

    def __init__(self, config: ConnectionConfig, session: Session, environment: DataPlaneEnvironment) -> None:
        self._config = config
        self._session = session
        self._counters = session.counters
        self._environment = environment
        self._if_id = kernel_host.MARK | config.port
        self._out = xfrm.Ends(environment.underlay_address, config.peer_underlay, environment.pairs)
        self._in = self._out.reversed()
        self._installed: dict[tuple[bool, int], xfrm.Usage] = {}  # whether outbound, SPI: as read last
        self._rate_kbps = config.rate_kbps
        self._current: int | None = None  # outbound SPI that the policies name; _UNCLEAR: they may differ
        self._is_refusing = False  # until the counters are looked at again
        self._traffic = _Traffic()
        self._socket: socket.socket | None = None
        self._is_open = False

    def open(self, udp: socket.socket) -> None:
        """Interface, policies and the socket's part; nothing passes yet. Raises Conflict or Unavailable."""
        name = self._config.interface
        try:
            index = socket.if_nametoindex(self._environment.underlay_interface)
            try:
                netlink.carry_out([xfrm.add_interface(name, index, self._if_id)])
            except FileExistsError:
                kernel_host.remove_leftover(name)
                netlink.carry_out([xfrm.add_interface(name, index, self._if_id)])
        except OSError as error:
            if error.errno == errno.EEXIST:
                raise Conflict("connection.interface", f"an interface {name} exists already") from error
            raise Unavailable(f"cannot make interface {name}: {error.strerror}") from error
        self._is_open = True
        self._tell(*xfrm.let_nothing_out(self._out, self._if_id), *xfrm.let_in(self._in, self._if_id))
        self.configure()
        try:
            udp.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_INTERFACE)
            udp.setsockopt(_SOL_UDP, xfrm.UDP_ENCAP, xfrm.UDP_ENCAP_ESPINUDP)
        except OSError as error:
            raise Unavailable(f"ESP in UDP: {error.strerror}") from error
        self._socket = udp

    def configure(self) -> None:
        octets = addressing.super_packet_bytes(self._environment.mtu, self._rate_kbps)
        addressing.configure_tun(self._config.interface, self._environment.mtu, octets, self._environment.pairs)

    def pump(self) -> None:
        """The interface counts by itself."""

    def start(self) -> None:
        assert self._socket is not None
        self._environment.loop.add_reader(self._socket, self._read_control)

    def send(self, datagram: bytes) -> None:
        """A control message that finds the socket full is lost, as on the network: it will be repeated."""
        assert self._socket is not None
        for _ in range(2):
            try:
                self._socket.send(datagram)
            except ConnectionRefusedError:
                continue  # that was about an earlier datagram; this one has not been sent yet
            except OSError as error:
                self._counters.tx_socket_drops += 1
                self._environment.report_error(error)
            return
        self._counters.tx_socket_drops += 1

    def install(self, sas: Sequence[SaInstalled]) -> None:
        """New SAs: they receive from now on, or can be sent on. Unavailable: none of them is there."""
        added: list[tuple[bool, int]] = []
        try:
            for sa in sas:
                self._tell(xfrm.add_state(self._state(sa)))
                added.append((sa.is_outbound, sa.spi))
                self._installed[sa.is_outbound, sa.spi] = xfrm.UNUSED
        except Unavailable:
            for key in added:
                self._remove(*key)
            raise

    def _state(self, sa: SaInstalled) -> xfrm.State:
        ends = self._out if sa.is_outbound else self._in
        # The kernel counts whole seconds, we in fractions: it must not be the first to forget.
        seconds = math.ceil(self._session.settings.lifetime_s) + 1
        # A connection that is here already and is to have a wider window than the kernel has keeps the widest.
        window = min(self._session.settings.replay_window, xfrm.MAX_REPLAY_WINDOW)
        return xfrm.State(ends, sa.spi, self._config.port, self._if_id, window, seconds, sa.key, sa.salt, sa.suite)

    def transmit_on(self, spi: int) -> None:
        """Let packets out under that SA and none else. Unavailable: all is as it was."""
        if not self._is_open or not self._count_traffic():
            raise Unavailable(f"interface {self._config.interface} is gone")
        before = self._current
        try:
            self._set_policies(spi)
        except Unavailable:
            if before != _UNCLEAR:
                self._try_to_set_policies(before)
            raise

    def _set_policies(self, spi: int | None) -> None:
        """What packets leave under, and that they may come in. Where it is refused it may hold for one family."""
        self._current = _UNCLEAR
        self._tell(
            *(
                xfrm.let_nothing_out(self._out, self._if_id)
                if spi is None
                else xfrm.let_out(self._out, self._if_id, spi)
            ),
            *xfrm.let_in(self._in, self._if_id),
        )
        self._current = spi

    def _try_to_set_policies(self, spi: int | None) -> None:
        try:
            self._set_policies(spi)
        except Unavailable as error:
            self._report_refusal(error)

    def sync_sas(self) -> None:
        """Transmit on the SA that is in use or not at all, and forget what is not there any more."""
        if not self._is_open or self._is_refusing:
            return
        current = self._session.current
        outbound = current.outbound.spi if current is not None else None
        if outbound != self._current:
            if not self._count_traffic():
                return
            self._try_to_set_policies(outbound)
        wanted = {key for pair in self._session.live for key in ((True, pair.outbound.spi), (False, pair.inbound.spi))}
        for is_outbound, spi in self._installed.keys() - wanted:
            self._remove(is_outbound, spi)

    def host_refusals(self) -> dict[str, int]:
        return kernel_host.host_refusals()

    def _read_control(self) -> None:
        """The kernel takes the ESP packets; what comes here is for the session, and never a packet to deliver."""
        assert self._socket is not None
        now = self._environment.loop.time()
        for _ in range(_BATCH_DATAGRAMS):
            try:
                datagram = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                self._environment.report_error(error)
                continue
            self._session.inbound.receive_datagram(datagram, now)
        self._environment.carry_out()

    def set_rate(self, rate_kbps: int | None) -> None:
        self._rate_kbps = rate_kbps
        octets = addressing.super_packet_bytes(self._environment.mtu, rate_kbps)
        try:
            addressing.limit_super_packets(self._config.interface, octets)
        except Unavailable as error:
            self._environment.report_error(error)

    def refresh(self) -> int:
        """Bring the counters up to date. The highest sequence number of the SAs, either way.

        Where the interface has been removed under us, that is told.
        """
        self._is_refusing = False
        if self._is_open:
            self._count_traffic()
        highest = 0
        for is_outbound, spi in list(self._installed):
            usage = self._read(is_outbound, spi)
            if usage is not None:
                highest = max(highest, usage.sent, usage.received)
        return highest

    def close(self) -> None:
        """Remove everything. What is gone already is no error."""
        if self._socket is not None:
            self._environment.loop.remove_reader(self._socket)
            self._socket = None
        if not self._is_open:
            return
        self._forget()
        try:
            index = socket.if_nametoindex(self._config.interface)
            netlink.carry_out([xfrm.remove_interface(self._config.interface, index)], netlink.GONE)
        except OSError as error:
            logger.debug("interface %s: %s", self._config.interface, error.strerror)

    def _forget(self) -> None:
        """Nothing passes any more."""
        self._is_open = False
        try:
            self._tell(
                *xfrm.remove_policies(self._out, self._if_id, is_outbound=True),
                *xfrm.remove_policies(self._in, self._if_id, is_outbound=False),
                *(self._removal(is_outbound, spi) for is_outbound, spi in self._installed),
            )
        except Unavailable as error:
            self._report_refusal(error)
        self._installed.clear()

    def _remove(self, is_outbound: bool, spi: int) -> None:
        """One that cannot be removed ends with its lifetime, and is tried again before."""
        self._read(is_outbound, spi)
        try:
            self._tell(self._removal(is_outbound, spi))
        except Unavailable as error:
            self._report_refusal(error)
        else:
            del self._installed[is_outbound, spi]

    def _removal(self, is_outbound: bool, spi: int) -> netlink.Request:
        return xfrm.remove_state((self._out if is_outbound else self._in).destination, spi)

    def _read(self, is_outbound: bool, spi: int) -> xfrm.Usage | None:
        """Count what has come since the last reading; None where the kernel has the SA no more."""
        ends = self._out if is_outbound else self._in
        try:
            answers = netlink.ask(xfrm.ask_state(ends.destination, spi), family=netlink.XFRM)
        except OSError:
            return None
        usage = xfrm.parse_state(answers[0])
        before = self._installed[is_outbound, spi]
        self._installed[is_outbound, spi] = usage
        if not is_outbound:
            counters, repeated = self._counters, usage.repeated - before.repeated
            counters.rx_auth_failures += usage.auth_failures - before.auth_failures
            counters.rx_replay_drops += usage.too_old - before.too_old
            if self._session.settings.expects_copies:
                counters.rx_copies += repeated
            else:
                counters.rx_replay_drops += repeated
        return usage

    def _count_traffic(self) -> bool:
        """False when the interface has been removed under us, which is told."""
        now, before = _traffic_of(self._config.interface), self._traffic
        if now is None:
            self._forget()
            self._environment.report_lost(f"interface {self._config.interface} is gone")
            return False
        counters = self._counters
        counters.rx_bytes += now.rx_bytes - before.rx_bytes
        counters.rx_packets += now.rx_packets - before.rx_packets
        counters.tx_bytes += now.tx_bytes - before.tx_bytes
        counters.tx_packets += now.tx_packets - before.tx_packets
        # The interface refuses what no policy lets out: everything while there is no key, else what has other ends.
        if self._current is None:
            counters.tx_no_sa_drops += now.tx_drops - before.tx_drops
        else:
            counters.tx_selector_drops += now.tx_drops - before.tx_drops
        self._traffic = now
        return True

    def _tell(self, *requests: netlink.Request) -> None:
        """In order. What is to be removed and is gone already is no error; the kernel ends SAs of its own accord."""
        try:
            netlink.carry_out(requests, netlink.GONE, family=netlink.XFRM)
        except OSError as error:
            raise Unavailable(f"xfrm: {error.strerror}") from error

    def _report_refusal(self, error: Unavailable) -> None:
        self._is_refusing = True
        logger.error("connection %s: %s", self._config.id, error)
        self._environment.report_error(error)


def _traffic_of(interface: str) -> _Traffic | None:
    for line in _DEVICES.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name.strip() == interface:
            numbers = [int(number) for number in rest.split()]
            return _Traffic(numbers[0], numbers[1], numbers[8], numbers[9], numbers[11])
    return None
