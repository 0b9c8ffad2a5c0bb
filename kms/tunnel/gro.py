"""Packets of a stream that came together become one again: what a network card with LRO does."""

from __future__ import annotations

import numpy as np

from kms.tunnel import compiled
from kms.tunnel.checksum import Octets
from kms.tunnel.virtio import VNET_BYTES


class Joiner:
    """Room for what up to ``packets`` packets of ``octets`` octets in all become."""

    def __init__(self, packets: int, octets: int) -> None:
        buffer = bytearray(octets + packets * VNET_BYTES)
        self._joined, self._view = np.frombuffer(buffer, np.uint8), memoryview(buffer)
        self._table = np.zeros((packets, 3), np.int64)

    def join(self, rows: Octets, length: int, *, udp: bool) -> list[tuple[memoryview, int]]:
        """What a TUN device is to be given for the packets that are the first ``length`` octets of ``rows``, in their
        order, and how many packets each is; the views hold until the next call.

        One are consecutive packets of one TCP stream (or, with ``udp``, of one UDP stream) with the same headers and
        valid checksums, as many as one packet may have. All others stay what they are. IP identifiers are not kept
        (RFC 6864: with DF they have no meaning). A sender's super-packets differ in their headers (timestamps,
        acknowledgements, windows): what is joined is mostly what was one of them.

        ValueError where there is no room for so many, or the rows are shorter.
        """
        count, row = rows.shape
        if count > len(self._table) or count * (VNET_BYTES + length) > len(self._joined) or not 0 < length <= row:
            raise ValueError(f"{count} packets of {length} octets in rows of {row} are more than there is room for")
        found = compiled.join(rows, length, udp, self._joined, self._table)
        return [(self._view[start:stop], packets) for start, stop, packets in self._table[:found].tolist()]
