"""Which inner packets belong to a connection (RFC 4301, 4.4.1: selectors), both ways."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kms.tunnel.packet.checksum import Octets
from kms.tunnel.packet.ip_header import FAMILIES, AddressPair, Family

_MASKS = {family: np.frombuffer(family.same_octets, np.uint32) for family in FAMILIES}


class Selector:
    """Passes packets from the first to the second address of each of ``pairs``, at most one of a family, and nothing
    else: one host carries many slices. Fragments and extension headers pass as they are, for ports are not looked at.
    """

    __slots__ = ("_known",)

    def __init__(self, pairs: Iterable[AddressPair]) -> None:
        self._known = {
            first: (pair.local.packed + pair.peer.packed, pair.family.addresses, pair.family)
            for pair in pairs
            for first in pair.family.first_octets
        }

    def admits(self, packet: bytes | memoryview) -> Family | None:
        """The family of a whole packet, no octet more or less, between two of the addresses; None for all others."""
        known = self._known.get(packet[0]) if packet else None
        if known is None:
            return None
        addresses, where, family = known
        return family if packet[where] == addresses and family.packet_bytes(packet) == len(packet) else None

    def admits_all(self, packets: Octets) -> Family | None:
        """What :meth:`admits` says of every row; None where it would not say the same of all."""
        family = self.admits(packets[0].tobytes())
        if family is None:
            return None
        headers = packets[:, : family.header_bytes].view(np.uint32)
        differ = (headers ^ headers[0]) & _MASKS[family]
        return None if differ.any() else family
