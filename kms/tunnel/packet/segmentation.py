"""Super-packets of TCP and UDP cut into segments, and segments joined: what a network card's TSO, USO and GRO do.

A TUN device hands out up to 64 KB of one stream under one header (see :mod:`kms.tunnel.packet.virtio_header`).
:func:`write_segments` makes the packets that go over the network of it; :class:`Joiner` is the inverse. What is not
recognised is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kms.tunnel.packet import compiled_loops, virtio_header
from kms.tunnel.packet.checksum import Octets
from kms.tunnel.packet.compiled_loops import TCP, UDP
from kms.tunnel.packet.ip_header import IPV4, Family, family_of, transport_of
from kms.tunnel.packet.room import make_room
from kms.tunnel.packet.virtio_header import VNET_BYTES, VnetHeader

_HEADER_BYTES = {TCP: 20, UDP: 8}
_CSUM_OFFSET = {TCP: 16, UDP: 6}


@dataclass(frozen=True, slots=True)
class Headers:
    """Where the headers of a super-packet lie. ``l4`` is where the transport header begins, ``end`` where data do."""

    family: Family
    protocol: int
    l4: int
    end: int


def headers_of(packet: memoryview, vnet: VnetHeader) -> Headers | None:
    """None for what is no super-packet of a known kind, or whose headers are not all there."""
    family = family_of(packet)
    kind = vnet.gso_type & ~virtio_header.GSO_ECN
    protocol = UDP if kind == virtio_header.GSO_UDP_L4 else TCP
    l4 = vnet.csum_start
    if family is None or kind not in (family.gso_tcp, virtio_header.GSO_UDP_L4) or vnet.gso_size == 0:
        return None
    if l4 % 4 or not family.header_bytes <= l4 <= len(packet) - _HEADER_BYTES[protocol]:
        return None
    if transport_of(packet, family) != (protocol, l4):
        return None
    end = l4 + _header_bytes(packet, protocol, l4)
    return Headers(family, protocol, l4, end) if l4 + _HEADER_BYTES[protocol] <= end < len(packet) else None


def is_like(packet: memoryview, other: memoryview, headers: Headers) -> bool:
    """Whether two super-packets, behind their virtio headers, go the same way and are to be cut alike.

    ``other`` has ``headers``: the virtio headers are the same, the IP headers too but for IPv4's identifier and
    checksum, and TCP's is as long.
    """
    start = virtio_header.VNET_BYTES
    l4 = start + headers.l4
    if headers.protocol == TCP and packet[l4 + 12] >> 4 != other[l4 + 12] >> 4:
        return False
    if headers.family is not IPV4:
        return packet[:l4] == other[:l4]
    same = (slice(start + 4), slice(start + 6, start + 10), slice(start + 12, l4))
    return all(packet[where] == other[where] for where in same)


def _header_bytes(packet: bytes | memoryview, protocol: int, l4: int) -> int:
    return packet[l4 + 12] >> 4 << 2 if protocol == TCP else _HEADER_BYTES[UDP]


class Places(NamedTuple):
    """Where packets stand in ``octets``: ``step`` octets apart, the first at ``at``."""

    octets: Octets
    at: int
    step: int


def write_segments(
    packets: Places, number: int, length: int, headers: Headers, size: int, first: int, count: int, out: Places
) -> None:
    """Write of ``number`` super-packets of ``length`` octets, which are like each other, ``count`` segments each: from
    number ``first`` on, of ``size`` octets of data. One that is a packet's last may be shorter.

    ValueError where a super-packet does not have so many segments, or ``out`` no room for them.
    """
    last = first + count - 1
    segment = headers.end + min(size, length - headers.end - first * size)
    if number < 1 or count < 1 or first < 0 or size < 1 or headers.end + last * size >= length:
        raise ValueError(f"{number} packets of {length} octets have no segments {first} to {last} of {size}")
    for places, amount, octets in ((packets, number, length), (out, number * count, segment)):
        if (
            places.at < 0
            or places.step < octets
            or places.at + (amount - 1) * places.step + octets > len(places.octets)
        ):
            raise ValueError(
                f"{amount} packets of {octets} octets do not stand {places.step} apart from {places.at} on"
            )
    compiled_loops.cut(
        packets.octets, packets.at, packets.step, number, length, headers.family is IPV4, headers.protocol == TCP,
        headers.l4, headers.end, headers.l4 + _CSUM_OFFSET[headers.protocol], size, first, out.octets, out.at, out.step,
        count,
    )  # fmt: skip


class Joiner:
    """Room for what up to ``packets`` packets of ``octets`` octets in all become."""

    def __init__(self, packets: int, octets: int) -> None:
        buffer = make_room(octets + packets * VNET_BYTES)
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
        found = compiled_loops.join(rows, length, udp, self._joined, self._table)
        return [(self._view[start:stop], packets) for start, stop, packets in self._table[:found].tolist()]
