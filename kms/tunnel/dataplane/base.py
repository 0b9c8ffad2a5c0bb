"""What a connection asks of whatever seals and opens its packets: the loops in user space, or the kernel."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from kms.tunnel.errors import Unavailable
from kms.tunnel.packet.ip_header import AddressPair
from kms.tunnel.protocol.effects import SaInstalled


@dataclass(frozen=True)
class DataPlaneEnvironment:
    """Where a data plane works, and whom it tells."""

    loop: asyncio.AbstractEventLoop
    underlay_interface: str
    underlay_address: IPv4Address
    mtu: int
    """Of the tunnel's interface, octets."""
    pairs: tuple[AddressPair, ...]
    """Of the connection's inner addresses those that this kernel can have."""
    report_error: Callable[[OSError | Unavailable], None]
    """An error that passes."""
    carry_out: Callable[[], None]
    """The session may have something to be done."""
    report_lost: Callable[[str], None]
    """Nothing can pass any more, for this reason."""


class Plane(Protocol):
    """One connection's data plane, and the session's installer (:class:`kms.tunnel.protocol.effects.Installer`).

    ``close`` may be called at any time. Nothing but ``configure``, ``install`` and ``transmit_on`` raises once it
    is open.
    """

    name: str
    counts_apart: bool
    """Whether the session learns what has passed by ``refresh`` alone, which then has to be called now and then."""

    def open(self, udp: socket.socket) -> None:
        """Make the interface with its address and route. Raises Conflict or Unavailable."""

    def configure(self) -> None:
        """The interface as ``open`` made it, with address and route. Raises Unavailable. May be done twice."""

    def pump(self) -> None:
        """Something has just been sent through the interface: what this end counts of it is up to date afterwards."""

    def start(self) -> None:
        """Packets may pass from now on, as soon as there is a key."""

    def send(self, datagram: bytes) -> None:
        """Send a control message, or lose it, as the network may."""

    def install(self, sas: Sequence[SaInstalled]) -> None:
        """The session is about to have these SAs. Unavailable: it must not, and none is there."""

    def transmit_on(self, spi: int) -> None:
        """The session is about to transmit on this one. Unavailable: it must not, and all is as before."""

    def sync_sas(self) -> None:
        """The session may transmit on none now, or have forgotten some."""

    def set_rate(self, rate_kbps: int | None) -> None:
        """The network lets this much through from now on."""

    def refresh(self) -> int:
        """Bring the session's counters up to date; the highest sequence number in use that the session cannot know."""

    def host_refusals(self) -> dict[str, int] | None:
        """What was refused on this host and cannot be counted by connection."""

    def close(self) -> None:
        """Remove everything that ``open`` has made."""
