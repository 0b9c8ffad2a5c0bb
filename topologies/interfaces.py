"""Adapter: the interfaces of a network, made, raised and removed many at a time.

All that lie in the machine's own namespace are of one group (ip-link(8)). The kernel removes a group in one go, which
takes a tenth of the time that its members would take one by one.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterable, Sequence

from topologies.errors import NetworkError

GROUP = 0x51534C49  # "QSLI": nobody else's
TAP_QUEUE_PACKETS = 2000  # from the switch to the card, which may have other things to do first


def veth(name: str, peer: str, options: str = "", peer_options: str = "") -> str:
    """A line for :func:`ip_batch` that makes a pair, with ``mtu N``, ``address MAC``, ``netns PID``, ``group N``."""
    return f"link add name {name} {options} type veth peer name {peer} {peer_options}"


def tap(name: str, options: str = "") -> list[str]:
    """Lines that make a TAP device which outlives whoever reads it."""
    return [f"tuntap add dev {name} mode tap", f"link set dev {name} txqueuelen {TAP_QUEUE_PACKETS} {options}"]


def ip_batch(lines: Sequence[str]) -> None:
    """Raises NetworkError with the words of ``ip`` at the first line that the kernel refuses."""
    if not lines:
        return
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise NetworkError(f"ip: {done.stderr.strip()} (while doing: {'; '.join(lines[:3])})")


def raise_group() -> None:
    """Carrier for all of them. Raises NetworkError."""
    ip_batch([f"link set group {GROUP} up"])


def remove(others: Iterable[str]) -> list[str]:
    """Remove the group and, of the ``others``, those that there are by their names; the names that were there."""
    present = _names()
    subprocess.run(["ip", "link", "del", "group", str(GROUP)], capture_output=True, check=False)
    left = _names()
    named = [name for name in others if name in left]
    if named:
        lines = "".join(f"link del {name}\n" for name in named)
        subprocess.run(["ip", "-force", "-batch", "-"], input=lines, text=True, capture_output=True, check=False)
    return sorted((present - left) | set(named))


def disable_ipv6(names: Iterable[str]) -> None:
    """Before they are raised, or the kernel speaks IPv6 on them. OSError where the machine's settings are read-only."""
    if not os.path.isdir("/proc/sys/net/ipv6"):  # the kernel was started without IPv6: there is nothing to switch off
        return
    for name in names:
        with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w", encoding="ascii") as setting:
            setting.write("1")


def _names() -> set[str]:
    # Not /sys/class/net: that shows the network namespace in which it was mounted, not always the one we are in.
    return {name for _, name in socket.if_nameindex()}
