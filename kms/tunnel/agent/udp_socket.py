"""UDP sockets of the agent: each of one interface and address, and none whose packets the network may cut up."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address

from kms.tunnel.config import ConnectionConfig
from kms.tunnel.errors import ConfigurationError, Conflict, TunnelError, Unavailable

_BUFFER_BYTES = 4 << 20
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h: beyond what users may have
_IP_MTU_DISCOVER = 10  # linux/in.h
_IP_PMTUDISC_PROBE = 3  # set DF, and do not believe ICMP about the path: nobody can forge our MTU down


def open_udp(
    interface: str, address: IPv4Address, port: int, peer: IPv4Address | None = None, buffer_bytes: int | None = None
) -> socket.socket:
    """A socket on that port of the interface, connected to the same port of ``peer`` if there is one. Raises OSError.

    ``buffer_bytes`` None leaves its buffers as the system has them.
    """
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if buffer_bytes is not None:
            for option in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
                udp.setsockopt(socket.SOL_SOCKET, option, buffer_bytes)
        udp.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        udp.bind((str(address), port))
        if peer is not None:
            udp.connect((str(peer), port))
    except OSError:
        udp.close()
        raise
    return udp


def open_underlay(config: ConnectionConfig, interface: str, address: IPv4Address) -> socket.socket:
    """The socket of an encrypted connection. Raises Conflict, ConfigurationError or Unavailable."""
    try:
        return open_udp(interface, address, config.port, config.peer_underlay, _BUFFER_BYTES)
    except OSError as error:
        raise _refused(error, config, address) from error


def _refused(error: OSError, config: ConnectionConfig, address: IPv4Address) -> TunnelError:
    match error.errno:
        case errno.EADDRINUSE:
            return Conflict("connection.port", f"UDP port {config.port} is in use")
        case errno.EADDRNOTAVAIL:
            return ConfigurationError("underlay_address", f"{address} is not an address of this host")
        case errno.ENETUNREACH | errno.EHOSTUNREACH:
            return ConfigurationError("connection.peer_underlay", f"no route to {config.peer_underlay}")
        case _:
            return Unavailable(f"UDP socket: {error.strerror}")
