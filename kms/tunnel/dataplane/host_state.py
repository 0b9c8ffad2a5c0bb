"""Links, addresses and routes of a network namespace, read at once, and what of a connection's is not among them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from kms.tunnel.dataplane import netlink
from kms.tunnel.dataplane.netlink import Request, attributes
from kms.tunnel.packet.ip_header import AddressPair

# linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
_NEWADDR, _GETLINK, _GETADDR, _GETROUTE = 20, 18, 22, 26
_IFLA_IFNAME, _IFLA_MTU, _IFA_ADDRESS, _IFA_LOCAL, _RTA_DST, _RTA_OIF = 3, 4, 1, 2, 1, 4
_IFF_UP = 1
_CREATE, _REPLACE = 0x400, 0x100
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_MAIN_TABLE = 254

_LINKS = Request("list interfaces", _GETLINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
_ADDRESSES = Request("list addresses", _GETADDR, 0, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
_ROUTES = Request("list routes", _GETROUTE, 0, _ROUTE.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0))


@dataclass(frozen=True)
class Link:
    index: int
    is_up: bool
    mtu: int


@dataclass(frozen=True)
class HostState:
    links: Mapping[str, Link]
    addresses: Mapping[tuple[int, bytes], bytes]  # (interface, address) -> what the kernel says of it
    routes: frozenset[tuple[int, bytes]]  # (interface, target by itself)

    def lacks(self, interface: str, mtu: int | None, pairs: Sequence[AddressPair]) -> str | None:
        """What is not as it shall be, in words; None when all is. ``mtu`` None: any."""
        link = self.links.get(interface)
        if link is None:
            return f"interface {interface} is gone"
        wrong = []
        if not link.is_up:
            wrong.append(f"{interface} is down")
        if mtu is not None and link.mtu != mtu:
            wrong.append(f"{interface} carries {link.mtu} octets instead of {mtu}")
        wrong += [f"{pair.local} is gone" for pair in pairs if (link.index, pair.local.packed) not in self.addresses]
        wrong += [
            f"the route to {pair.peer} is gone" for pair in pairs if (link.index, pair.peer.packed) not in self.routes
        ]
        return ", ".join(wrong) or None

    def address(self, interface: str, address: IPv4Address) -> bytes | None:
        """What the kernel says of an address of that interface; :func:`restore` puts it back."""
        link = self.links.get(interface)
        return None if link is None else self.addresses.get((link.index, address.packed))


def read() -> HostState:
    """Raises OSError."""
    links, addresses, routes = {}, {}, set()
    for body in netlink.dump(_LINKS):
        _, _, index, flags, _ = _LINK.unpack_from(body)
        found = attributes(body, _LINK.size)
        name = found[_IFLA_IFNAME].rstrip(b"\0").decode(errors="replace")
        links[name] = Link(index, bool(flags & _IFF_UP), struct.unpack("=I", found[_IFLA_MTU])[0])
    for body in netlink.dump(_ADDRESSES):
        index = _ADDRESS.unpack_from(body)[4]
        found = attributes(body, _ADDRESS.size)
        own = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS))
        if own is not None:
            addresses[index, own] = body
    for body in netlink.dump(_ROUTES):
        _, length, _, _, table, *_ = _ROUTE.unpack_from(body)
        found = attributes(body, _ROUTE.size)
        target, interface = found.get(_RTA_DST), found.get(_RTA_OIF)
        if table == _MAIN_TABLE and target is not None and interface is not None and length == 8 * len(target):
            routes.add((struct.unpack("=I", interface)[0], target))
    return HostState(links, addresses, frozenset(routes))


def restore(address: bytes) -> None:
    """Put back what :meth:`HostState.address` gave. Raises OSError."""
    netlink.carry_out([Request("put an address back", _NEWADDR, _CREATE | _REPLACE, address)])
