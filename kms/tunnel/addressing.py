"""Addresses, routes and interface settings, through ``ip`` and /proc/sys; all of it may be done twice."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
from ipaddress import IPv4Address
from pathlib import Path

from kms.tunnel.errors import ConfigurationError, Unavailable

_SIOCGIFMTU = 0x8921
_SYSCTL = Path("/proc/sys/net")
_TRANSMIT_QUEUE_PACKETS = 1000


def interface_mtu(interface: str) -> int:
    """By ioctl: /sys shows another namespace's interfaces where it has not been mounted anew."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFMTU, struct.pack("16sI12x", interface.encode(), 0))
        except OSError as error:
            raise ConfigurationError("underlay_interface", f"{interface}: {error.strerror}") from error
    (mtu,) = struct.unpack("16xI12x", answer)
    return int(mtu)


async def configure_tun(interface: str, mtu: int, local: IPv4Address, peer: IPv4Address) -> None:
    """``local``/32 on the TUN device and a route to ``peer`` through it; no IPv6, so nothing is sent unasked."""
    write_sysctl(f"ipv6/conf/{interface}/disable_ipv6", "1")
    await _ip(
        f"link set dev {interface} mtu {mtu} txqueuelen {_TRANSMIT_QUEUE_PACKETS} up",
        f"addr replace {local}/32 dev {interface}",
        f"route replace {peer}/32 dev {interface} src {local}",
    )


async def configure_clear(interface: str, local: IPv4Address, peer: IPv4Address) -> None:
    """``local``/32 on the underlay and a route on which ``peer`` is asked for by ARP."""
    await _ip(
        f"addr replace {local}/32 dev {interface}",
        f"route replace {peer}/32 dev {interface} scope link src {local}",
    )


async def unconfigure_clear(interface: str, local: IPv4Address, peer: IPv4Address) -> None:
    """The inverse of :func:`configure_clear`; what is gone already is no error."""
    await _ip(f"route del {peer}/32 dev {interface}", f"addr del {local}/32 dev {interface}", may_fail=True)


def read_sysctl(name: str) -> str | None:
    """The value of ``net/NAME``; None where the kernel has no such setting."""
    try:
        return (_SYSCTL / name).read_text().strip()
    except FileNotFoundError:
        return None


def write_sysctl(name: str, value: str) -> None:
    """Set ``net/NAME``, where the kernel has it."""
    path = _SYSCTL / name
    try:
        path.write_text(value)
    except FileNotFoundError:
        return  # a kernel without IPv6 needs none switched off
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error


async def _ip(*lines: str, may_fail: bool = False) -> None:
    arguments = ("-force", "-batch", "-") if may_fail else ("-batch", "-")
    try:
        process = await asyncio.create_subprocess_exec(
            "ip",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise Unavailable(f"ip (package iproute2): {error.strerror}") from error
    _, complaint = await process.communicate(("\n".join(lines) + "\n").encode())
    if process.returncode and not may_fail:
        raise Unavailable(f"ip: {complaint.decode(errors='replace').strip()}")
