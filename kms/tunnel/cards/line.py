"""A card's end of the line, in a network namespace that nobody else is in: its socket, and whether there is light."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kms.tunnel.agent.udp_socket import open_udp
from kms.tunnel.cards.config import LineConfig
from kms.tunnel.dataplane.paths.batching import SOL_UDP, UDP_GRO
from kms.tunnel.errors import Unavailable

Made = TypeVar("Made")

_CLONE_NEWNET = 0x4000_0000
_LIBC = ctypes.CDLL(None, use_errno=True)
_SIOCGIFFLAGS = 0x8913
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_BUFFER_BYTES = 4 << 20


def made_in(namespace: Path, make: Callable[[], Made]) -> Made:
    """What ``make`` makes in that network namespace: a socket belongs to the one it was made in. Raises OSError.

    Only this thread goes there, and comes back.
    """
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            return make()
        finally:
            _enter(own)
    finally:
        os.close(own)


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def open_line(config: LineConfig) -> socket.socket:
    """The socket by which a card speaks with the other one. Raises Unavailable."""

    def make() -> socket.socket:
        return open_udp(config.interface, config.address, config.port, config.peer, _BUFFER_BYTES)

    try:
        udp = made_in(config.namespace, make)
    except OSError as error:
        raise Unavailable(f"line {config.interface}: {error.strerror}") from error
    try:
        udp.setsockopt(SOL_UDP, UDP_GRO, 1)
    except OSError as error:
        udp.close()
        raise Unavailable(f"line {config.interface}: {error.strerror}") from error
    return udp


def flags_of(interface: str, kernel: socket.socket) -> int:
    """The interface's, in the namespace of that socket; 0 where there is none."""
    try:
        answer = fcntl.ioctl(kernel, _SIOCGIFFLAGS, struct.pack("16s24x", interface.encode()))
    except OSError:
        return 0
    (flags,) = struct.unpack_from("=H", answer, 16)
    return int(flags)


def has_carrier(interface: str, kernel: socket.socket) -> bool:
    wanted = _IFF_UP | _IFF_RUNNING
    return flags_of(interface, kernel) & wanted == wanted


def is_up(interface: str, kernel: socket.socket) -> bool:
    """Whether somebody has it up, with or without carrier."""
    return bool(flags_of(interface, kernel) & _IFF_UP)
