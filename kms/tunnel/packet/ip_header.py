"""IPv4 (RFC 791) and IPv6 (RFC 8200) inside the tunnel: what both headers say, each at its own place.

Everything that looks into inner packets takes the offsets from one of the two rows here.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from kms.tunnel.packet import virtio_header

Address = IPv4Address | IPv6Address

_EXTENSIONS = frozenset({0, 43, 60})  # hop-by-hop options, routing, destination options: RFC 8200, 4
_MIN_EXTENSION_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """Where an IP header of one version has what; a value is equal to itself alone."""

    version: int
    next_header: int
    """ESP's for a packet of this version in tunnel mode (RFC 4303, 2.6)."""
    min_mtu: int
    """What a link must carry, octets (RFC 791, 3.2; RFC 8200, 5)."""
    first_octets: range
    """The version, and for IPv4 a header of five words at the least."""
    header_bytes: int
    """Of the header without options or extension headers."""
    length_at: int
    uncounted_bytes: int
    """The octets of the header that the length field leaves out."""
    protocol_at: int
    addresses: slice
    same_octets: bytes
    """Ones where packets that a selector looks at together have the same bits: version, lengths, addresses."""
    gso_tcp: int
    """The virtio header's name for a super-packet of TCP."""

    def packet_bytes(self, packet: bytes | memoryview) -> int:
        """How long a packet is by its own account, where it has at least its header."""
        at = self.length_at
        return (packet[at] << 8 | packet[at + 1]) + self.uncounted_bytes


IPV4 = Family(
    version=4,
    next_header=4,
    min_mtu=68,
    first_octets=range(0x45, 0x50),
    header_bytes=20,
    length_at=2,
    uncounted_bytes=0,
    protocol_at=9,
    addresses=slice(12, 20),
    same_octets=b"\xff\x00\xff\xff" + bytes(8) + b"\xff" * 8,
    gso_tcp=virtio_header.GSO_TCPV4,
)
IPV6 = Family(
    version=6,
    next_header=41,
    min_mtu=1280,
    first_octets=range(0x60, 0x70),
    header_bytes=40,
    length_at=4,
    uncounted_bytes=40,
    protocol_at=6,
    addresses=slice(8, 40),
    same_octets=b"\xf0\x00\x00\x00\xff\xff\x00\x00" + b"\xff" * 32,
    gso_tcp=virtio_header.GSO_TCPV6,
)
FAMILIES = (IPV4, IPV6)
BY_VERSION = {family.version: family for family in FAMILIES}


def family_of(packet: bytes | memoryview) -> Family | None:
    """By the version that a packet begins with."""
    return BY_VERSION.get(packet[0] >> 4) if packet else None


def without_padding(packet: bytes) -> bytes:
    """A packet up to the length that its header tells (RFC 4303, 2.7); what has no whole header as it is."""
    family = family_of(packet)
    if family is None or len(packet) < family.header_bytes:
        return packet
    return packet[: family.packet_bytes(packet)]


def transport_of(packet: bytes | memoryview, family: Family) -> tuple[int, int]:
    """Protocol and offset of what follows the IP header, options and those extension headers that may be repeated in
    each segment. A fragment's header, and whatever authenticates the packet, is none of these and ends the search."""
    kind = packet[family.protocol_at]
    if family is IPV4:
        return kind, (packet[0] & 15) * 4
    at = family.header_bytes
    while kind in _EXTENSIONS and at + _MIN_EXTENSION_BYTES <= len(packet):
        kind, at = packet[at], at + _MIN_EXTENSION_BYTES * (packet[at + 1] + 1)
    return kind, at


class AddressPair(NamedTuple):
    """The inner addresses of a connection in one family, as one of its ends sees them."""

    local: Address
    peer: Address

    @property
    def family(self) -> Family:
        return BY_VERSION[self.local.version]

    def reversed(self) -> AddressPair:
        return AddressPair(self.peer, self.local)


def address_pairs(
    local: IPv4Address, peer: IPv4Address, local6: IPv6Address | None, peer6: IPv6Address | None
) -> tuple[AddressPair, ...]:
    """One for each family that a connection has."""
    pair = AddressPair(local, peer)
    return (pair,) if local6 is None or peer6 is None else (pair, AddressPair(local6, peer6))
