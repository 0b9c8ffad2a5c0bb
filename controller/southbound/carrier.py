"""Which interfaces of this network namespace have carrier, as the kernel tells it the moment it changes (rtnetlink(7)).

Open vSwitch hears the same, reconfigures itself first and tells its controller some ten milliseconds later. Where the
switches' ports are this machine's own interfaces there is no need to wait for that. On switches elsewhere it would be
their operating system's telemetry (gNMI, ON_CHANGE) that says so.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Iterator

log = logging.getLogger(__name__)

# linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if.h
RTMGRP_LINK = 1
NLMSG_DONE = 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
IFLA_IFNAME = 3
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_LINK = struct.Struct("=BxHiII")  # family, device type, index, flags, mask of changes
_ATTRIBUTE = struct.Struct("=HH")  # length without padding, type
_READ_BYTES = 1 << 16
BUFFER_BYTES = 1 << 20  # many links that change at once, as when a site is switched off


class CarrierWatch:
    """A subscription to this namespace's links. Raises OSError where the kernel refuses it."""

    def __init__(self, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._kernel.bind((0, RTMGRP_LINK))
        self._is_being_told_all = self._has_lost_words = False
        self._ask_for_all()

    def close(self) -> None:
        self._kernel.close()

    def news(self) -> dict[str, bool]:
        """Wait for the kernel's next word: whether there is carrier, by interface. At first that is all of them.

        Where words were lost, more having come than was read, all are asked for again.
        """
        states: dict[str, bool] = {}
        try:
            datagram = self._kernel.recv(_READ_BYTES)
            states = dict(carriers(datagram))
            if any(kind == NLMSG_DONE for kind, _ in messages(datagram)):
                self._is_being_told_all = False
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            log.warning("the kernel told of more links at once than could be taken in; asking for all")
            self._has_lost_words = True
        if self._has_lost_words and not self._is_being_told_all:
            self._ask_for_all()
        return states

    def _ask_for_all(self) -> None:
        # Not while an answer is still coming: the kernel refuses a second dump (EBUSY), and the first may have passed
        # the link that changed.
        self._is_being_told_all, self._has_lost_words = True, False
        request = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        flags = NLM_F_REQUEST | NLM_F_DUMP
        self._kernel.send(_HEADER.pack(_HEADER.size + len(request), RTM_GETLINK, flags, 1, 0) + request)


def carriers(datagram: bytes) -> Iterator[tuple[str, bool]]:
    """Interfaces that a datagram of rtnetlink messages names, each with whether it has carrier; gone ones have none."""
    for kind, body in messages(datagram):
        name = _name(body) if kind in (RTM_NEWLINK, RTM_DELLINK) and len(body) >= _LINK.size else None
        if name is not None:
            flags = _LINK.unpack_from(body)[3]
            yield name, kind == RTM_NEWLINK and bool(flags & IFF_UP) and bool(flags & IFF_LOWER_UP)


def messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message; what is cut off ends it."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, _, _, _ = _HEADER.unpack_from(datagram, at)
        yield kind, datagram[at + _HEADER.size : at + length]
        at += max(_HEADER.size, length + -length % 4)


def _name(body: bytes) -> str | None:
    at = _LINK.size
    while at + _ATTRIBUTE.size <= len(body):
        size, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == IFLA_IFNAME:
            return body[at + _ATTRIBUTE.size : at + size].rstrip(b"\0").decode(errors="replace")
        at += max(_ATTRIBUTE.size, size + -size % 4)
    return None
