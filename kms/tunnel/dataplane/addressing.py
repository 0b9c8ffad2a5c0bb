"""Addresses, routes and interface settings, through rtnetlink and /proc/sys; all of it may be done twice."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address

from kms.tunnel.dataplane import netlink
from kms.tunnel.errors import ConfigurationError, Unavailable
from kms.tunnel.packet.ip_header import IPV6, AddressPair

_SIOCGIFMTU = 0x8921
_SYSCTL = "/proc/sys/net"
_TRANSMIT_QUEUE_PACKETS = 1000
BURST_S = 0.002
_MIN_SEGMENTS = 2
_NO_LINK_LOCAL = "1"  # linux/if_link.h: IN6_ADDR_GEN_MODE_NONE
_MAX_SUPER_PACKET_BYTES = 65536  # linux/netdevice.h: GSO_LEGACY_MAX_SIZE


def interface_mtu(interface: str) -> int:
    """By ioctl: /sys shows another namespace's interfaces where it has not been mounted anew."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFMTU, struct.pack("16sI12x", interface.encode(), 0))
        except OSError as error:
            raise ConfigurationError("underlay_interface", f"{interface}: {error.strerror}") from error
    (mtu,) = struct.unpack("16xI12x", answer)
    return int(mtu)


def has_ipv6() -> bool:
    """Whether this kernel has IPv6 at all; interfaces may be without all the same."""
    return read_sysctl("ipv6/conf/all/disable_ipv6") is not None


def super_packet_bytes(mtu: int, rate_kbps: int | None, largest: int = _MAX_SUPER_PACKET_BYTES) -> int:
    """How much TCP may hand over at once, in octets: what a network that lets ``rate_kbps`` through takes in BURST_S.

    A policer drops most of a burst that is longer than it puts up with, and TCP waits 200 ms at the least before it
    sends again what was dropped at a burst's end.
    """
    if rate_kbps is None:
        return largest
    return min(largest, max(_MIN_SEGMENTS * mtu, int(rate_kbps * 125 * BURST_S)))


def limit_super_packets(interface: str, octets: int) -> None:
    """Change what TCP may hand over at once."""
    _carry_out(netlink.limit_super_packets(interface, _index(interface), octets))


def configure_tun(interface: str, mtu: int, gso_bytes: int, pairs: Sequence[AddressPair]) -> None:
    """Each pair's local address by itself on the TUN device and a route to the peer's through it.

    Nothing is sent unasked: without an IPv6 pair there is no IPv6, and with one no link-local address, from which
    routers would be solicited (RFC 4861, 6.3.7), and nobody's advertisement is taken.
    """
    has_ipv6 = any(pair.family is IPV6 for pair in pairs)
    if has_ipv6:
        write_sysctl(f"ipv6/conf/{interface}/addr_gen_mode", _NO_LINK_LOCAL)
        write_sysctl(f"ipv6/conf/{interface}/accept_ra", "0")
    write_sysctl(f"ipv6/conf/{interface}/disable_ipv6", "0" if has_ipv6 else "1")
    index = _index(interface)
    requests = [netlink.link_up(interface, index, mtu, _TRANSMIT_QUEUE_PACKETS, gso_bytes)]
    for pair in pairs:
        requests += netlink.add_address(index, pair.local), netlink.add_route(index, pair.peer, pair.local)
    _carry_out(*requests)


def configure_clear(interface: str, local: IPv4Address, peer: IPv4Address) -> None:
    """``local``/32 on the underlay and a route on which ``peer`` is asked for by ARP."""
    index = _index(interface)
    _carry_out(netlink.add_address(index, local), netlink.add_route(index, peer, local))


def unconfigure_clear(interface: str, local: IPv4Address, peer: IPv4Address) -> None:
    """The inverse of :func:`configure_clear`; what is gone already is no error."""
    try:
        index = socket.if_nametoindex(interface)
    except OSError:
        return  # and address and route with it
    _carry_out(netlink.remove_route(index, peer), netlink.remove_address(index, local), tolerated=netlink.GONE)


def read_sysctl(name: str) -> str | None:
    """The value of ``net/NAME``; None where the kernel has no such setting."""
    try:
        # Read every second, and so without pathlib: it notes each part of a path among the names of the interpreter,
        # which is to write on a little further, page by page, in memory that the agents otherwise share.
        with open(f"{_SYSCTL}/{name}", encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def write_sysctl(name: str, value: str) -> None:
    """Set ``net/NAME``, where the kernel has it."""
    path = f"{_SYSCTL}/{name}"
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
    except FileNotFoundError:
        return  # a kernel without IPv6 needs none switched off
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error


def leads_to(interface: str, local: IPv4Address, peer: IPv4Address) -> bool:
    """Whether packets of these addresses leave by that interface. A socket that is bound to it would not notice."""
    try:
        found = netlink.ask(netlink.ask_route(peer, local))
        return netlink.interface_of(found[0]) == socket.if_nametoindex(interface)
    except OSError:
        return False


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        raise Unavailable(f"interface {interface}: {error.strerror}") from error


def _carry_out(*requests: netlink.Request, tolerated: Collection[int] = ()) -> None:
    try:
        netlink.carry_out(requests, tolerated)
    except OSError as error:
        raise Unavailable(f"rtnetlink: {error.strerror}") from error
