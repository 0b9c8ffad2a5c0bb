"""That links, addresses or routes of a network namespace have changed, told by the kernel (rtnetlink(7))."""

from __future__ import annotations

import contextlib
import socket

# linux/rtnetlink.h, RTMGRP_*: links, then addresses and routes of IPv4 and of IPv6
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_RECEIVE_BYTES = 65536


class HostEvents:
    """Readable when something has changed since ``drain``. Not what: whoever hears of it looks."""

    def __init__(self) -> None:
        """Raises OSError."""
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        try:
            self._socket.bind((0, _GROUPS))
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> None:
        # Until there is no more, or ENOBUFS: more than there was room for, after which it is still readable.
        with contextlib.suppress(OSError):
            while True:
                self._socket.recv(_RECEIVE_BYTES)

    def close(self) -> None:
        self._socket.close()
