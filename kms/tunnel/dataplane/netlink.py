"""Links, addresses and routes of this network namespace, asked of the kernel directly (rtnetlink(7)), and the way there
that :mod:`kms.tunnel.dataplane.xfrm` takes as well.

An ``ip`` process per connection took longer than everything else that setting up a tunnel takes. Requests built here
are carried out in the order given, in one exchange; each is acknowledged on its own.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from kms.tunnel.packet.ip_header import Address

# linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
ROUTE, XFRM = socket.NETLINK_ROUTE, 6  # families: linux/netlink.h
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_DUMP = 0x300
_RTM_NEWLINK, _RTM_NEWADDR, _RTM_DELADDR, _RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 16, 20, 21, 24, 25, 26
_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_IFLA_MTU, _IFLA_TXQLEN, _IFLA_GSO_MAX_SIZE = 4, 13, 41
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_PREFSRC = 1, 2, 4, 7
_RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_LINK, _RT_SCOPE_NOWHERE, _RTN_UNICAST = 254, 3, 253, 255, 1
_IFF_UP = 1

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_LINK = struct.Struct("=BxHiII")  # family, device type, index, flags, mask of the flags to change
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, lengths of dst and src, tos, table, protocol, scope, type, flags
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ERROR = struct.Struct("=i")
_NO_DAD = 0x02  # linux/if_addr.h, IFA_F_NODAD: nobody else is on the link who could have the address
_RECEIVE_BYTES = 65536
_BATCH = 64  # requests in one exchange: their acknowledgements fit the socket's buffer

# What the kernel says when that which shall be removed, or the interface it was on, is not there.
GONE = frozenset({errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENETDOWN})


@dataclass(frozen=True)
class Request:
    """One message to the kernel; ``what`` says it in words."""

    what: str
    kind: int
    flags: int
    body: bytes


def link_up(interface: str, index: int, mtu: int, queue_packets: int, gso_bytes: int) -> Request:
    """Set an interface's MTU, transmit queue and largest super-packet (octets), and bring it up."""
    body = _LINK.pack(socket.AF_UNSPEC, 0, index, _IFF_UP, _IFF_UP)
    body += _u32(_IFLA_MTU, mtu) + _u32(_IFLA_TXQLEN, queue_packets) + _u32(_IFLA_GSO_MAX_SIZE, gso_bytes)
    return Request(f"bring up {interface}", _RTM_NEWLINK, 0, body)


def limit_super_packets(interface: str, index: int, gso_bytes: int) -> Request:
    """Set an interface's largest super-packet (octets)."""
    body = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + _u32(_IFLA_GSO_MAX_SIZE, gso_bytes)
    return Request(f"limit super-packets of {interface}", _RTM_NEWLINK, 0, body)


def add_address(index: int, address: Address) -> Request:
    """``address`` by itself (/32, /128) on an interface; no error when it is there already."""
    return Request(f"add address {address}", _RTM_NEWADDR, _CREATE | _REPLACE, _address(index, address))


def remove_address(index: int, address: Address) -> Request:
    return Request(f"remove address {address}", _RTM_DELADDR, 0, _address(index, address))


def add_route(index: int, target: Address, source: Address) -> Request:
    """``target`` by itself is on the link; packets to it leave with ``source``. Replaces another such route."""
    body = _route(_RT_SCOPE_LINK, index, target) + _attribute(_RTA_PREFSRC, source.packed)
    return Request(f"add a route to {target}", _RTM_NEWROUTE, _CREATE | _REPLACE, body)


def remove_route(index: int, target: Address) -> Request:
    return Request(f"remove the route to {target}", _RTM_DELROUTE, 0, _route(_RT_SCOPE_NOWHERE, index, target))


def ask_route(target: Address, source: Address) -> Request:
    """By which way a packet would leave; :func:`interface_of` reads the answer."""
    head = _ROUTE.pack(socket_family(target), target.max_prefixlen, target.max_prefixlen, 0, 0, 0, 0, 0, 0)
    body = head + _attribute(_RTA_DST, target.packed) + _attribute(_RTA_SRC, source.packed)
    return Request(f"ask for the route to {target}", _RTM_GETROUTE, 0, body)


def interface_of(route: bytes) -> int:
    """The number of the interface that a route leads to; 0: to none."""
    return int.from_bytes(attributes(route, _ROUTE.size).get(_RTA_OIF, b""), sys.byteorder)


def socket_family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def carry_out(requests: Sequence[Request], tolerated: Collection[int] = (), family: int = ROUTE) -> None:
    """Send the requests and read every acknowledgement.

    All are tried; OSError tells of the first that failed by an error number not ``tolerated``.
    """
    with _open(family) as kernel:
        failures: dict[int, int] = {}
        for first in range(0, len(requests), _BATCH):
            batch = requests[first : first + _BATCH]
            kernel.send(b"".join(_encode(request, first + n) for n, request in enumerate(batch)))
            waiting = set(range(first, first + len(batch)))
            while waiting:
                for sequence, number in _acknowledgements(kernel.recv(_RECEIVE_BYTES)):
                    waiting.discard(sequence)
                    if number and number not in tolerated:
                        failures[sequence] = number
    if failures:
        first = min(failures)
        raise OSError(failures[first], f"{requests[first].what}: {os.strerror(failures[first])}")


def ask(request: Request, family: int = ROUTE) -> list[bytes]:
    """The bodies of the answer to one request; OSError when the kernel has none."""
    return _bodies(request, 0, family)


def dump(request: Request, family: int = ROUTE) -> list[bytes]:
    """The bodies of everything that there is of a kind."""
    return _bodies(request, _DUMP, family)


def _bodies(request: Request, flags: int, family: int) -> list[bytes]:
    bodies: list[bytes] = []
    with _open(family) as kernel:
        kernel.send(_encode(Request(request.what, request.kind, request.flags | flags, request.body), 1))
        while True:
            for kind, _, body in _messages(kernel.recv(_RECEIVE_BYTES)):
                if kind == _NLMSG_ERROR:
                    number = -_ERROR.unpack_from(body)[0]
                    if number:
                        raise OSError(number, f"{request.what}: {os.strerror(number)}")
                    return bodies
                if kind == _NLMSG_DONE:
                    return bodies
                bodies.append(body)


def attributes(message: bytes, offset: int) -> dict[int, bytes]:
    """The attributes of a message, by type, from ``offset`` on."""
    found = {}
    while offset + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = message[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _open(family: int) -> socket.socket:
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
    kernel.bind((0, 0))
    return kernel


def _encode(request: Request, sequence: int) -> bytes:
    length = _HEADER.size + len(request.body)
    header = _HEADER.pack(length, request.kind, _REQUEST | _ACK | request.flags, sequence, 0)
    return header + request.body  # every body is a multiple of four octets long, as alignment wants it


def _acknowledgements(data: bytes) -> list[tuple[int, int]]:
    """(sequence, error number or 0) of each NLMSG_ERROR message."""
    return [
        (sequence, -_ERROR.unpack_from(body)[0]) for kind, sequence, body in _messages(data) if kind == _NLMSG_ERROR
    ]


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, sequence, body) of each message."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
        yield kind, sequence, data[offset + _HEADER.size : offset + length]
        offset += max(_HEADER.size, (length + 3) & ~3)


def _address(index: int, address: Address) -> bytes:
    flags = _NO_DAD if address.version == 6 else 0
    head = _ADDRESS.pack(socket_family(address), address.max_prefixlen, flags, 0, index)
    return head + _attribute(_IFA_LOCAL, address.packed) + _attribute(_IFA_ADDRESS, address.packed)


def _route(scope: int, index: int, target: Address) -> bytes:
    head = _ROUTE.pack(
        socket_family(target), target.max_prefixlen, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0
    )
    return head + _attribute(_RTA_DST, target.packed) + _u32(_RTA_OIF, index)


def _u32(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _attribute(kind: int, value: bytes) -> bytes:
    """All values here are of whole words: no padding."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
