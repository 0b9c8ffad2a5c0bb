"""Segments of TCP and UDP, all at once: what a network card with TSO, USO and LRO does, with NumPy.

A TUN device hands out up to 64 KB of one stream under one header (see :mod:`kms.tunnel.virtio`).
:func:`write_segments` makes the packets that go over the network of it; :func:`runs` finds such packets among those
that came, and :func:`join` the headers under which they are one again. Pure functions of octets; what is not recognised
is left alone.

A call of NumPy costs as much as the encryption of a packet: hence few calls, each over all packets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kms.tunnel import virtio
from kms.tunnel.checksum import MODULUS, Octets, complement, swapped, word_sum, word_sums
from kms.tunnel.family import IPV4, Family, family_of, transport_of
from kms.tunnel.virtio import VnetHeader

MAX_PACKET_BYTES = 65535
MAX_UDP_SEGMENTS = 64  # that Linux takes for one (linux/udp.h, UDP_MAX_SEGMENTS, before it was raised to 128)

_TCP, _UDP = 6, 17
_HEADER_BYTES = {_TCP: 20, _UDP: 8}
_CSUM_OFFSET = {_TCP: 16, _UDP: 6}
_FIN, _PSH, _ACK, _CWR = 0x01, 0x08, 0x10, 0x80
_NUMBERS = np.arange(MAX_PACKET_BYTES, dtype=np.uint32)


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
    kind = vnet.gso_type & ~virtio.GSO_ECN
    protocol = _UDP if kind == virtio.GSO_UDP_L4 else _TCP
    l4 = vnet.csum_start
    if family is None or kind not in (family.gso_tcp, virtio.GSO_UDP_L4) or vnet.gso_size == 0:
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
    start = virtio.VNET_BYTES
    l4 = start + headers.l4
    if headers.protocol == _TCP and packet[l4 + 12] >> 4 != other[l4 + 12] >> 4:
        return False
    if headers.family is not IPV4:
        return packet[:l4] == other[:l4]
    same = (slice(start + 4), slice(start + 6, start + 10), slice(start + 12, l4))
    return all(packet[where] == other[where] for where in same)


def _header_bytes(packet: bytes | memoryview, protocol: int, l4: int) -> int:
    return packet[l4 + 12] >> 4 << 2 if protocol == _TCP else _HEADER_BYTES[_UDP]


def write_segments(packets: Octets, headers: Headers, size: int, first: int, out: Octets) -> None:
    """Write of each of ``packets`` the segments from number ``first`` on, of ``size`` octets of data each.

    The packets are rows, super-packets of one length and like each other. ``out`` is of the shape (packets,
    segments wanted of each, octets of such a segment): the last segment of a super-packet, which is shorter than the
    others, is written alone.
    """
    _, count, length = out.shape
    family, l4, end = headers.family, headers.l4, headers.end
    is_tcp = headers.protocol == _TCP
    start = end + first * size
    stop = start + count * (length - end)
    numbers = _NUMBERS[first : first + count]
    heads = packets[:, :end].copy()
    checksums = heads[:, l4 + _CSUM_OFFSET[headers.protocol] :][:, :2].view("<u2")
    # Here stands the pseudo-header's part, for all the data (virtio 1.2, 5.1.6.2): of the addresses that count, which
    # under a routing header are not those of the packet (RFC 8200, 8.1). Only the length is another one.
    of_length = swapped(length - l4) + MODULUS - swapped(packets.shape[1] - l4) % MODULUS
    pseudo = checksums + np.uint32(of_length)
    checksums[:] = 0
    if is_tcp:
        last_flags = packets[:, l4 + 13]
        # RFC 9293: data end with the last segment; RFC 3168: the window reduction is told once.
        heads[:, l4 + 13] &= 0xFF ^ (_FIN | _PSH | _CWR)
    else:
        heads[:, l4 + 4 : l4 + 6].view(">u2")[:] = length - l4
    heads[:, family.length_at : family.length_at + 2].view(">u2")[:] = length - family.uncounted_bytes
    if family is IPV4:
        words = heads[:, :l4].view(">u2")
        identifiers = words[:, 2, None] + numbers & np.uint32(0xFFFF)
        words[:, 2] = words[:, 5] = 0
        rest_of_header = np.add.reduce(words, axis=1, dtype=np.uint32)[:, None]
    out[:, :, :end] = heads[:, None]
    out[:, :, end:] = packets[:, start:stop].reshape(-1, count, length - end)
    if family is IPV4:
        words = out[:, :, :12].view(">u2")
        words[:, :, 2] = identifiers
        words[:, :, 5] = MODULUS - (identifiers + rest_of_header) % MODULUS
    if is_tcp:
        sequences = heads[:, l4 + 4 : l4 + 8].view(">u4").astype(np.uint32)
        out[:, :, l4 + 4 : l4 + 8].view(">u4")[:, :, 0] = sequences + numbers * np.uint32(size)
        if stop == packets.shape[1]:
            out[:, -1, l4 + 13] |= last_flags & (_FIN | _PSH)
        if first == 0:
            out[:, 0, l4 + 13] |= last_flags & _CWR
    sums = word_sums(out[:, :, l4:])
    sums += pseudo
    out[:, :, l4 + _CSUM_OFFSET[headers.protocol] :][:, :, :2].view("<u2")[:, :, 0] = MODULUS - sums % MODULUS


class Run(NamedTuple):
    """Rows that are one packet when joined; those without ``headers`` stay what they are."""

    first: int
    size: int
    headers: Headers | None


def runs(rows: Octets, *, udp: bool) -> list[Run]:
    """All of ``rows`` in their order, those together that are consecutive packets of one TCP stream (or, with ``udp``,
    of one UDP stream) with the same headers and valid checksums, and are not more than one packet may have.

    A sender's super-packets differ in their headers (timestamps, acknowledgements, windows): a run is mostly what was
    one of them.
    """
    count, length = rows.shape
    head = rows[0, :120].tobytes()
    found = _headers_of_row(head, length) if count > 1 else None
    if found is None or (found.protocol == _UDP and not udp):
        return [Run(0, count, None)]
    follows = _follows(rows, head, found)
    starts = [0] if follows.all() else [0, *(np.flatnonzero(~follows) + 1).tolist()]
    most = (MAX_PACKET_BYTES - found.end) // (int(length) - found.end)
    if found.protocol == _UDP:
        most = min(most, MAX_UDP_SEGMENTS)
    pieces: list[Run] = []
    for start, stop in zip(starts, [*starts[1:], count], strict=True):
        # What all rows of a run have in common has been compared; that the first is as it should be has not.
        is_stream = start == 0 or (stop - start > 1 and _headers_of_row(rows[start, :120].tobytes(), length) == found)
        step = most if is_stream else count
        pieces += [Run(at, min(step, stop - at), found if is_stream else None) for at in range(start, stop, step)]
    return pieces


def join(rows: Octets, found: Headers) -> bytes:
    """What comes before the data of a run's rows, one after the other, in the one super-packet that they are: its
    virtio header and its headers.

    IP identifiers are not kept (RFC 6864: with DF they have no meaning).
    """
    count, length = rows.shape
    l4, end = found.l4, found.end
    size = int(length) - end
    total = end + count * size
    field = l4 + _CSUM_OFFSET[found.protocol]
    head = bytearray(rows[0, :end])
    at = found.family.length_at
    head[at : at + 2] = (total - found.family.uncounted_bytes).to_bytes(2, "big")
    if found.family is IPV4:
        head[10:12] = b"\0\0"
        head[10:12] = complement(head[:l4]).to_bytes(2, "big")
    if found.protocol == _TCP:
        head[l4 + 13] = rows[-1, l4 + 13]
        kind = found.family.gso_tcp
    else:
        head[l4 + 4 : l4 + 6] = (total - l4).to_bytes(2, "big")
        kind = virtio.GSO_UDP_L4
    # The checksum is left to whoever needs it: here stands the pseudo-header's part of it.
    head[field : field + 2] = (_pseudo_sum(head, found, total) % MODULUS).to_bytes(2, "little")
    return VnetHeader(virtio.NEEDS_CSUM, kind, end, size, l4, field - l4).pack() + head


def _pseudo_sum(head: bytes | bytearray, headers: Headers, length: int) -> int:
    """What a checksum covers beside the transport's octets (RFC 9293, 3.1; RFC 8200, 8.1)."""
    return word_sum(head[headers.family.addresses]) + swapped(headers.protocol) + swapped(length - headers.l4)


def _headers_of_row(head: bytes, length: int) -> Headers | None:
    """Of a packet that may be part of a stream: IPv4 without options or IPv6 without extensions, no fragment."""
    family = family_of(head)
    if family is None or length < family.header_bytes or family.packet_bytes(head) != length:
        return None
    if family is IPV4 and (head[0] != 0x45 or head[6] & 0xBF or head[7] or complement(head[:20]) != MODULUS):
        return None
    protocol, l4 = head[family.protocol_at], family.header_bytes
    if protocol not in _HEADER_BYTES or length < l4 + _HEADER_BYTES[protocol]:
        return None
    end = l4 + _header_bytes(head, protocol, l4)
    if protocol == _TCP:
        # SYN, FIN, RST, URG: each a matter of its own
        is_plain = head[l4 + 13] | _PSH == _ACK | _PSH and end >= l4 + _HEADER_BYTES[_TCP]
    else:
        is_plain = int.from_bytes(head[l4 + 4 : l4 + 6], "big") == length - l4 and head[l4 + 6 : l4 + 8] != b"\0\0"
    return Headers(family, protocol, l4, end) if is_plain and length > end else None


def _follows(rows: Octets, head: bytes, headers: Headers) -> npt.NDArray[np.bool_]:
    """For each row but the first, whether it continues the one before: the same headers but for what counts up.

    With valid checksums on both sides. Rows that are laid out otherwise than ``headers`` says follow nothing.
    """
    length = rows.shape[1]
    l4, end = headers.l4, headers.end
    # What differs from the row before, where nothing may: as one number for each row.
    words = rows[:, :end].copy().view(np.uint32)  # far apart from each other: gone to once
    differ = np.bitwise_or.reduce((words[1:] ^ words[:-1]) & _constant_words(headers), axis=1) != 0
    if headers.protocol == _TCP:
        sequences = words[:, (l4 + 4) // 4].view(">u4").astype(np.uint32)
        differ |= sequences[1:] - sequences[:-1] != np.uint32(length - end)
    sums = word_sums(rows[:, l4:])
    sums += np.uint32(_pseudo_sum(head, headers, length))
    wrong = sums % MODULUS != 0
    if wrong.any():
        differ |= wrong[1:] | wrong[:-1]
    follows: npt.NDArray[np.bool_] = ~differ
    return follows


@cache
def _constant_words(headers: Headers) -> npt.NDArray[np.uint32]:
    """Ones where the headers of all packets of a stream are the same; such headers consist of 32-bit words."""
    mask = np.full(headers.end, 0xFF, np.uint8)
    if headers.family is IPV4:
        mask[4:6] = mask[10:12] = 0  # identifier and the checksum over it: the first row's has been verified
    field = headers.l4 + _CSUM_OFFSET[headers.protocol]
    mask[field : field + 2] = 0
    if headers.protocol == _TCP:
        mask[headers.l4 + 4 : headers.l4 + 8] = 0
        mask[headers.l4 + 13] = 0xFF ^ _PSH  # no mark of a boundary (RFC 9293, 3.9.1.2)
    return mask.view(np.uint32)
