"""Which inner packets belong to a connection (RFC 4301, 4.4.1: selectors), both ways."""

from __future__ import annotations

from ipaddress import IPv4Address

_MIN_HEADER_BYTES = 20
_ADDRESSES = slice(12, 20)  # source and destination in an IPv4 header


class Selector:
    """Passes IPv4 packets from ``source`` to ``destination`` and nothing else: one host carries many slices."""

    __slots__ = ("_addresses",)

    def __init__(self, source: IPv4Address, destination: IPv4Address) -> None:
        self._addresses = source.packed + destination.packed

    def admits(self, packet: bytes) -> bool:
        """True for a whole IPv4 packet, no octet more or less, between the two addresses."""
        return (
            len(packet) >= _MIN_HEADER_BYTES
            and packet[_ADDRESSES] == self._addresses
            and packet[0] >> 4 == 4
            and packet[0] & 15 >= 5
            and packet[2] << 8 | packet[3] == len(packet)
        )
