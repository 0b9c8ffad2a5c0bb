"""Adapter: settings and addresses inside network namespaces, without a process for each.

A thread enters one namespace after the other (setns(2) is a thread's own) and asks the kernel there directly:
netdevice(7) for addresses, /proc/sys/net for settings.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import Path

_CLONE_NEWNET = 0x40000000
# linux/sockios.h, linux/ethtool.h, linux/if.h
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCETHTOOL = 0x8913, 0x8914, 0x8916, 0x891C, 0x8946
_ETHTOOL_STXCSUM = 0x17
_IFF_UP = 0x1
_SETTINGS = Path("/proc/sys/net")


@dataclass(frozen=True)
class InterfaceSettings:
    """What an interface gets before it is raised. ``checksums``: whether the hardware is believed to add them."""

    name: str
    address: IPv4Interface | None = None
    checksums: bool = True


@dataclass(frozen=True)
class NamespaceSettings:
    """What the namespace of process ``pid`` gets: ``settings`` below /proc/sys/net by path, then its interfaces.

    Settings of a protocol that this kernel does not have (it may be without IPv6) are passed over.
    """

    pid: int
    settings: Mapping[str, str] = field(default_factory=dict)
    interfaces: tuple[InterfaceSettings, ...] = ()


def apply(namespaces: Iterable[NamespaceSettings]) -> None:
    """OSError when the kernel refuses anything."""
    with ThreadPoolExecutor(1, "namespaces") as thread:  # it ends where it has been last, and nobody works there
        thread.submit(_apply, tuple(namespaces)).result()


def _apply(namespaces: tuple[NamespaceSettings, ...]) -> None:
    for each in namespaces:
        _enter(each.pid)
        for path, value in each.settings.items():
            if (_SETTINGS / path.partition("/")[0]).is_dir():
                (_SETTINGS / path).write_text(value, encoding="ascii")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kernel:
            for interface in each.interfaces:
                _set_up(kernel, interface)


def _enter(pid: int) -> None:
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace, _CLONE_NEWNET):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), f"network namespace of process {pid}")
    finally:
        os.close(namespace)


def _set_up(kernel: socket.socket, interface: InterfaceSettings) -> None:
    name = struct.pack("16s", interface.name.encode("ascii"))
    try:
        if not interface.checksums:
            value = ctypes.create_string_buffer(struct.pack("=II", _ETHTOOL_STXCSUM, 0))
            fcntl.ioctl(kernel, _SIOCETHTOOL, name + struct.pack("@P8x", ctypes.addressof(value)))
        if interface.address is not None:
            for request, address in (
                (_SIOCSIFADDR, interface.address.ip),
                (_SIOCSIFNETMASK, interface.address.netmask),
            ):
                fcntl.ioctl(kernel, request, name + struct.pack("=HH4s16x", socket.AF_INET, 0, address.packed))
        (flags,) = struct.unpack_from("=H", fcntl.ioctl(kernel, _SIOCGIFFLAGS, name + bytes(24)), 16)
        fcntl.ioctl(kernel, _SIOCSIFFLAGS, name + struct.pack("=H22x", flags | _IFF_UP))
    except OSError as error:
        raise OSError(error.errno, f"{interface.name}: {error.strerror}") from error
