"""What a data plane stands between: a device, played by a pair of sockets, and UDP on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, cast

from kms.tunnel.dataplane.tun import TunDevice

BUFFER_BYTES = 4 << 20


class Surroundings(NamedTuple):
    """``host`` is where packets for ``tun`` are written and those from it read; ``near`` and ``far`` are connected."""

    host: socket.socket
    tun: TunDevice
    near: socket.socket
    far: socket.socket


@contextmanager
def surroundings() -> Iterator[Surroundings]:
    host, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with host, device, near, far:
        for one in (host, device, near, far):
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        near.bind(("127.0.0.1", 0))
        far.connect(near.getsockname())
        near.connect(far.getsockname())
        tun = cast("TunDevice", type("Tun", (), {"fd": device.fileno(), "has_uso": False}))
        yield Surroundings(host, tun, near, far)
