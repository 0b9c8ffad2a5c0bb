"""The header before each packet of a TUN device opened with IFF_VNET_HDR (virtio 1.2, 5.1.6; linux/virtio_net.h)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

NEEDS_CSUM = 1
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 = 0, 1, 4, 5
GSO_ECN = 0x80

_HEADER = Struct("=BBHHHH")  # in the machine's byte order, as the device is told nothing else
VNET_BYTES = _HEADER.size
NO_OFFLOAD = bytes(VNET_BYTES)


class VnetHeader(NamedTuple):
    """What is left to do to a packet: its checksum from ``csum_start`` on, segments of ``gso_size`` octets each."""

    flags: int
    gso_type: int
    header_bytes: int
    gso_size: int
    csum_start: int
    csum_offset: int

    def pack(self) -> bytes:
        return _HEADER.pack(*self)


def unpack(buffer: bytes | bytearray | memoryview, offset: int = 0) -> VnetHeader:
    return VnetHeader(*_HEADER.unpack_from(buffer, offset))
