"""Which inner packets belong to a connection (RFC 4301, 4.4.1: selectors), both ways."""

from __future__ import annotations

from ipaddress import IPv4Address

import numpy as np

from kms.tunnel.checksum import Octets

_MIN_HEADER_BYTES = 20
_ADDRESSES = slice(12, 20)  # source and destination in an IPv4 header

(_VERSION_AND_LENGTHS,) = np.frombuffer(b"\xff\x00\xff\xff", np.uint32)  # of the first word, without the class


class Selector:
    """Passes IPv4 packets from ``source`` to ``destination`` and nothing else: one host carries many slices."""

    __slots__ = ("_addresses", "_both")

    def __init__(self, source: IPv4Address, destination: IPv4Address) -> None:
        self._addresses = source.packed + destination.packed
        (self._both,) = np.frombuffer(self._addresses, np.uint64)

    def admits(self, packet: bytes | memoryview) -> bool:
        """True for a whole IPv4 packet, no octet more or less, between the two addresses."""
        return (
            len(packet) >= _MIN_HEADER_BYTES
            and packet[_ADDRESSES] == self._addresses
            and packet[0] >> 4 == 4
            and packet[0] & 15 >= 5
            and packet[2] << 8 | packet[3] == len(packet)
        )

    def admits_all(self, packets: Octets) -> bool:
        """True when :meth:`admits` is true of every row."""
        if packets.shape[1] < _MIN_HEADER_BYTES or not self.admits(packets[0].tobytes()):
            return False
        begins = packets[:, :4].view(np.uint32)[:, 0] & _VERSION_AND_LENGTHS
        return bool((begins == begins[0]).all() and (packets[:, _ADDRESSES].view(np.uint64) == self._both).all())
