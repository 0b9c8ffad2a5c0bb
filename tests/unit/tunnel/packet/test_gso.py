"""Segmentation and its inverse beside Scapy, which builds each packet on its own."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP, in4_pseudoheader
from scapy.layers.inet6 import (
    HAO,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    in6_pseudoheader,
)
from scapy.layers.ipsec import AH
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from kms.tunnel.packet import virtio_header
from kms.tunnel.packet.checksum import MODULUS, Octets, complement
from kms.tunnel.packet.segmentation import Headers, Joiner, Places, headers_of, write_segments
from kms.tunnel.packet.virtio_header import VnetHeader

V4 = {"src": "10.200.0.2", "dst": "10.200.0.3"}
V6 = {"src": "fd00::2", "dst": "fd00::3"}
BOTH_FAMILIES = pytest.mark.parametrize("is_v6", [False, True])
TIMESTAMPS = [("NOP", None), ("NOP", None), ("Timestamp", (7, 9))]
DATA = random.Random(6).randbytes(60000)


def built(packet: Packet) -> bytes:
    """With every length and checksum filled in by Scapy; a UDP or TCP checksum of 0 never comes of these."""
    return bytes(packet)


def network(is_v6: bool, number: int = 0, *, identifier: int = 0xFFFE) -> Packet:
    return IPv6(**V6) if is_v6 else IP(**V4, id=(identifier + number) & 0xFFFF, flags="DF")


def tcp(number: int, size: int, flags: str, *, sequence: int = 2**32 - 3000) -> Packet:
    return TCP(sport=5201, dport=40000, seq=(sequence + number * size) % 2**32, ack=77, flags=flags, options=TIMESTAMPS)


def super_packet(is_v6: bool, is_tcp: bool, data: bytes, size: int, flags: str = "A") -> tuple[bytearray, VnetHeader]:
    return handed_over(network(is_v6), tcp(0, size, flags) if is_tcp else UDP(sport=5201, dport=40000), data, size)


def handed_over(below: Packet, transport: Packet, data: bytes, size: int) -> tuple[bytearray, VnetHeader]:
    """A super-packet as Linux hands it over: where the checksum belongs stands the pseudo-header's part of it."""
    packet = bytearray(built(below / transport / Raw(data)))
    l4, is_v6, is_tcp = len(below), IPv6 in below, TCP in transport
    kind = (virtio_header.GSO_TCPV6 if is_v6 else virtio_header.GSO_TCPV4) if is_tcp else virtio_header.GSO_UDP_L4
    vnet = VnetHeader(virtio_header.NEEDS_CSUM, kind, 0, size, l4, 16 if is_tcp else 6)
    pseudo_header = in6_pseudoheader if is_v6 else in4_pseudoheader
    at = l4 + vnet.csum_offset
    summed = checksum(bytes(pseudo_header(6 if is_tcp else 17, below.lastlayer(), len(packet) - l4)))
    packet[at : at + 2] = (0xFFFF - summed).to_bytes(2, "big")
    return packet, vnet


def finished(packet: bytes | bytearray, vnet: VnetHeader) -> bytearray:
    """With the whole checksum, as a network card or the receiving kernel finishes it."""
    at, whole = vnet.csum_start + vnet.csum_offset, bytearray(packet)
    whole[at : at + 2] = complement(packet[vnet.csum_start :]).to_bytes(2, "big")
    return whole


def joints(rows: Octets, *, udp: bool = True) -> list[tuple[bytes, int]]:
    """What rows become when joined, and of how many each is made."""
    found = [(bytes(joint), count) for joint, count in Joiner(len(rows), rows.size).join(rows, rows.shape[1], udp=udp)]
    assert sum(count for _, count in found) == len(rows)
    return found


def coalesce(rows: Octets, *, udp: bool) -> bytes:
    """What all of the rows are joined to; nothing when they are not joined all."""
    found = joints(rows, udp=udp)
    return found[0][0] if len(found) == 1 and len(rows) > 1 else b""


def cut(packets: list[bytearray], headers: Headers, size: int, first: int, count: int) -> Octets:
    """Segments of super-packets of one length, and nothing else is written to."""
    length = headers.end + min(size, len(packets[0]) - headers.end - first * size)
    out = np.full((len(packets) * count, length + 4), 0xA5, np.uint8)
    room = np.full((len(packets), len(packets[0]) + 6), 0x5A, np.uint8)
    room[:, 3:-3] = [list(packet) for packet in packets]
    before = room.copy()
    source = Places(room.reshape(-1), 3, room.shape[1])
    target = Places(out.reshape(-1), 2, out.shape[1])
    write_segments(source, len(packets), len(packets[0]), headers, size, first, count, target)
    assert (room == before).all()
    assert (out[:, :2] == 0xA5).all()
    assert (out[:, -2:] == 0xA5).all()
    return out[:, 2:-2]


def segments(packet: bytearray, vnet: VnetHeader, most: int = 128) -> list[bytes]:
    """All of a super-packet, as the data plane asks for them."""
    headers = headers_of(memoryview(packet), vnet)
    assert headers is not None
    size = vnet.gso_size
    whole, rest = divmod(len(packet) - headers.end, size)
    found: list[bytes] = []
    for first in range(0, whole, most):
        found += [bytes(row) for row in cut([packet], headers, size, first, min(most, whole - first))]
    return found + [bytes(row) for row in cut([packet], headers, size, whole, 1)] if rest else found


@BOTH_FAMILIES
@pytest.mark.parametrize(("length", "size"), [(13860, 1386), (13860 + 868, 1386), (4001, 1333), (2774, 1387), (3, 1)])
@pytest.mark.parametrize("most", [128, 3])
def test_tcp_is_cut_as_scapy_builds_it(is_v6: bool, length: int, size: int, most: int) -> None:
    packet, vnet = super_packet(is_v6, True, DATA[:length], size)
    count = -(-length // size)
    expected = [
        built(network(is_v6, n) / tcp(n, size, "A") / Raw(DATA[n * size : min(length, (n + 1) * size)]))
        for n in range(count)
    ]
    assert segments(packet, vnet, most) == expected


@BOTH_FAMILIES
@pytest.mark.parametrize("length", [4200, 4201, 1401])
def test_udp_is_cut_as_scapy_builds_it(is_v6: bool, length: int) -> None:
    packet, vnet = super_packet(is_v6, False, DATA[:length], 1400)
    expected = [
        built(network(is_v6, n) / UDP(sport=5201, dport=40000) / Raw(DATA[n * 1400 : min(length, (n + 1) * 1400)]))
        for n in range(-(-length // 1400))
    ]
    assert segments(packet, vnet) == expected


@pytest.mark.parametrize("length", [4158, 4159])
def test_the_end_of_data_is_told_by_the_last_segment_and_a_reduced_window_by_the_first(length: int) -> None:
    packet, vnet = super_packet(False, True, DATA[:length], 1386, "FPAC")
    flags = [IP(segment)[TCP].flags.value for segment in segments(packet, vnet)]
    assert flags[0] == 0x90
    assert set(flags[1:-1]) <= {0x10}
    assert flags[-1] == 0x19


@BOTH_FAMILIES
@pytest.mark.parametrize("is_tcp", [False, True])
@pytest.mark.parametrize("size", [1386, 1385])
def test_segments_become_the_super_packet_again(is_v6: bool, is_tcp: bool, size: int) -> None:
    packet, vnet = super_packet(is_v6, is_tcp, DATA[: 40 * size], size)
    rows = np.array([list(segment) for segment in segments(packet, vnet)], np.uint8)
    joint = coalesce(rows, udp=True)
    again, found = virtio_header.unpack(joint), joint[virtio_header.VNET_BYTES :]
    assert again[:2] + again[3:] == vnet[:2] + vnet[3:]
    assert again.header_bytes == len(packet) - 40 * size
    assert found == packet
    transport = tcp(0, size, "A") if is_tcp else UDP(sport=5201, dport=40000)
    assert finished(found, again) == built(network(is_v6) / transport / Raw(DATA[: 40 * size]))


def stream(count: int = 5, size: int = 100, protocol: str = "tcp", *, is_v6: bool = False) -> list[bytearray]:
    packet, vnet = super_packet(is_v6, protocol == "tcp", DATA[: count * size], size)
    return [bytearray(segment) for segment in segments(packet, vnet)]


def joined(packets: list[bytearray], *, udp: bool = True) -> bool:
    return coalesce(np.array([list(p) for p in packets], np.uint8), udp=udp) != b""


@BOTH_FAMILIES
def test_what_is_one_stream_is_joined(is_v6: bool) -> None:
    assert joined(stream(is_v6=is_v6))
    assert joined(stream(protocol="udp", is_v6=is_v6))
    assert not joined(stream(protocol="udp", is_v6=is_v6), udp=False)


@BOTH_FAMILIES
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_no_altered_bit_is_hidden_by_joining(protocol: str, is_v6: bool) -> None:
    """IPv4 identifiers and the header checksum over them are all that may differ: nobody reads them after joining."""
    free = set() if is_v6 else {4, 5, 10, 11}
    genuine = stream(3, 20, protocol, is_v6=is_v6)
    for row in range(3):
        for at in range(len(genuine[0])):
            for bit in range(8):
                packets = [packet.copy() for packet in genuine]
                packets[row][at] ^= 1 << bit
                is_hidden = joined(packets)
                assert not is_hidden or (row > 0 and at in free), (row, at, bit)


def many(count: int, later: tuple[int, ...] = ()) -> Octets:
    """Rows of one stream; from the numbers ``later`` on with another timestamp."""
    rows = []
    for n in range(count):
        options = [("NOP", None), ("NOP", None), ("Timestamp", (7 + sum(n >= first for first in later), 9))]
        header = TCP(sport=1, dport=2, seq=n * 1386, ack=77, flags="PA" if n == 29 else "A", options=options)
        rows.append(list(built(network(False, n) / header / Raw(DATA[n : n + 1386]))))
    return np.array(rows, np.uint8)


def test_super_packets_that_came_together_are_told_apart() -> None:
    """Their timestamps differ, and one packet's checksum is wrong: the others are joined none the less."""
    rows = many(88, (30, 60))
    rows[70, -1] ^= 1
    found = joints(rows)
    assert [count for _, count in found] == [30, 30, 10, 1, 17]
    first = 0
    for joint, count in found:
        if count > 1:
            packet = IP(joint[virtio_header.VNET_BYTES :])
            assert (packet[TCP].seq, packet[TCP].options[2][1][0]) == (first * 1386, 7 + (first >= 30) + (first >= 60))
            assert bytes(packet[TCP].payload) == b"".join(DATA[n : n + 1386] for n in range(first, first + count))
        else:
            assert joint == virtio_header.NO_OFFLOAD + rows[70].tobytes()
        first += count


def test_a_run_is_cut_where_a_packet_would_be_too_long() -> None:
    assert [count for _, count in joints(many(100))] == [47, 47, 6]


def test_what_comes_behind_packets_of_another_kind_is_joined_by_itself() -> None:
    """Of one length, as rows are: IPv4 and IPv6, TCP and UDP, and one packet that belongs to nothing."""
    tcp4, tcp6 = stream(3, 60), stream(4, 40, is_v6=True)
    udp4, udp6 = stream(3, 84, "udp"), stream(2, 64, "udp", is_v6=True)
    packets = [*tcp4, *tcp6, bytearray(112), *udp4, *udp6]
    found = joints(np.array([list(packet) for packet in packets], np.uint8))
    assert [count for _, count in found] == [3, 4, 1, 3, 2]
    kinds = [virtio_header.unpack(joint).gso_type for joint, _ in found]
    assert kinds == [
        virtio_header.GSO_TCPV4,
        virtio_header.GSO_TCPV6,
        0,
        virtio_header.GSO_UDP_L4,
        virtio_header.GSO_UDP_L4,
    ]


@pytest.mark.parametrize(("packets", "length"), [(5, 100), (4, 101), (1, 200)])
def test_more_than_there_is_room_for_is_refused(packets: int, length: int) -> None:
    with pytest.raises(ValueError, match="room"):
        Joiner(4, 400).join(np.zeros((packets, 128), np.uint8), length, udp=True)


@pytest.mark.parametrize(
    ("number", "length", "size", "first", "count", "room"),
    [(1, 1052, 100, 0, 11, 4000), (1, 1052, 100, 10, 1, 4000), (0, 1052, 100, 0, 1, 4000), (1, 1052, 100, -1, 1, 4000),
     (1, 1052, 0, 0, 1, 4000), (1, 3000, 100, 0, 1, 4000), (1, 1052, 100, 0, 10, 1519), (3, 1052, 100, 0, 1, 4000)],
)  # fmt: skip
def test_segments_that_are_not_there_or_do_not_fit_are_refused(
    number: int, length: int, size: int, first: int, count: int, room: int
) -> None:
    packet, vnet = super_packet(False, True, DATA[:1000], 100)
    headers = headers_of(memoryview(packet), vnet)
    assert headers is not None
    source, out = np.zeros(2500, np.uint8), np.zeros(room, np.uint8)
    with pytest.raises(ValueError, match=r"no segments|do not stand"):
        write_segments(Places(source, 0, 1052), number, length, headers, size, first, count, Places(out, 0, 152))
    assert not out.any()


def test_packets_of_two_streams_or_out_of_order_are_not_joined() -> None:
    packets = stream()
    assert not joined(packets[::-1])
    assert not joined([packets[0], packets[2]])
    assert not joined([packets[0], packets[0]])
    other = built(network(False, 1) / TCP(sport=5201, dport=40001, seq=100, ack=77, flags="A", options=TIMESTAMPS)
                  / Raw(bytes(100)))  # fmt: skip
    assert not joined([packets[0], bytearray(other)])


@BOTH_FAMILIES
@pytest.mark.parametrize("flags", ["S", "FA", "RA", "UA", "SA"])
def test_what_is_not_plain_data_is_not_joined(flags: str, is_v6: bool) -> None:
    packets = [bytearray(built(network(is_v6, n) / tcp(n, 100, flags) / Raw(bytes(100)))) for n in range(3)]
    assert not joined(packets)


@pytest.mark.parametrize(
    "packet", [bytes(20), b"\x45" + bytes(19), b"\x60" + bytes(39), b"\x46" + bytes(60), b"\x00" * 80]
)
def test_rubbish_is_not_joined(packet: bytes) -> None:
    assert not joined([bytearray(packet)] * 2)


@BOTH_FAMILIES
@pytest.mark.parametrize("words", [0, 4, 7, 15])
def test_rubbish_in_a_header_length_with_a_valid_checksum_is_not_joined(is_v6: bool, words: int) -> None:
    """Fewer words than a header has, none left for data, more than the packet has."""
    sequences = 1000, 1000 + 28 - 4 * words  # as if what is left were data
    headers = [TCP(seq=sequence, ack=1, flags="A", dataofs=words) for sequence in sequences]
    packets = [bytearray(built(network(is_v6, n) / header / Raw(bytes(8)))) for n, header in enumerate(headers)]
    assert not joined(packets)


def test_rubbish_at_random_is_neither_joined_nor_raises() -> None:
    source = random.Random(1)
    genuine = [stream(1, 20, protocol, is_v6=is_v6)[0] for protocol in ("tcp", "udp") for is_v6 in (False, True)]
    for _ in range(4000):
        row = source.choice(genuine)[: source.randrange(1, 90)]
        for _ in range(source.randrange(4)):
            row[source.randrange(len(row))] = source.randrange(256)
        joined([row, bytearray(row)])


@pytest.mark.parametrize(
    "vnet",
    [
        VnetHeader(1, virtio_header.GSO_TCPV6, 0, 100, 20, 16), VnetHeader(1, 3, 0, 100, 20, 6),
        VnetHeader(1, virtio_header.GSO_TCPV4, 0, 0, 20, 16), VnetHeader(1, virtio_header.GSO_TCPV4, 0, 100, 60000, 16),
        VnetHeader(1, virtio_header.GSO_TCPV4, 0, 100, 0, 16), VnetHeader(1, virtio_header.GSO_TCPV4, 0, 100, 22, 16),
    ],
)  # fmt: skip
def test_a_super_packet_that_makes_no_sense_is_refused(vnet: VnetHeader) -> None:
    packet, _ = super_packet(False, True, DATA[:500], 100)
    assert headers_of(memoryview(packet), vnet) is None


@pytest.mark.parametrize("length", [0, 1, 2, 20, 63, 1400])
def test_the_checksum_of_one_packet(length: int) -> None:
    data = DATA[:length]
    expected = checksum(data)
    assert complement(data) % MODULUS == expected % MODULUS
    assert complement(data) > 0


ROUTING = IPv6ExtHdrRouting(addresses=["fd00::9"], segleft=1)
HOME = IPv6ExtHdrDestOpt(options=[HAO(hoa="fd00::7")])
EXTENDED = {
    "hop-by-hop": [IPv6ExtHdrHopByHop()], "destination": [IPv6ExtHdrDestOpt()], "routing": [ROUTING],
    "home address": [HOME], "three": [IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), ROUTING],
}  # fmt: skip


def chained(headers: list[Packet]) -> Packet:
    below = network(True)
    for header in headers:
        below = below / header.copy()
    return below


@pytest.mark.parametrize("headers", EXTENDED.values(), ids=EXTENDED)
@pytest.mark.parametrize("is_tcp", [True, False])
def test_every_segment_has_the_extension_headers(headers: list[Packet], is_tcp: bool) -> None:
    """Under a routing header or a home address the checksum is of other addresses than the packet's (RFC 8200, 8.1)."""

    def transport(number: int) -> Packet:
        return tcp(number, 1000, "A") if is_tcp else UDP(sport=5201, dport=40000)

    packet, vnet = handed_over(chained(headers), transport(0), DATA[:4321], 1000)
    expected = [
        built(chained(headers) / transport(n) / Raw(DATA[n * 1000 : min(4321, (n + 1) * 1000)])) for n in range(5)
    ]
    assert segments(packet, vnet) == expected
    assert not joined([bytearray(segment) for segment in expected[:4]]), "they go one by one"


@pytest.mark.parametrize("header", [IPv6ExtHdrFragment(id=7), AH(spi=300, icv=bytes(12))], ids=["fragment", "AH"])
def test_what_cannot_be_repeated_in_each_segment_is_not_cut(header: Packet) -> None:
    below = network(True) / header
    packet = bytearray(built(below / tcp(0, 100, "A") / Raw(DATA[:500])))
    vnet = VnetHeader(virtio_header.NEEDS_CSUM, virtio_header.GSO_TCPV6, 0, 100, len(below), 16)
    assert headers_of(memoryview(packet), vnet) is None


def test_extension_headers_that_lead_nowhere_are_not_followed() -> None:
    packet, vnet = handed_over(chained([IPv6ExtHdrHopByHop()]), tcp(0, 100, "A"), DATA[:500], 100)
    source = random.Random(2)
    for _ in range(2000):
        altered = packet.copy()
        for _ in range(source.randrange(1, 4)):
            altered[source.randrange(48)] = source.randrange(256)
        at = source.randrange(0, 80, 4)
        cut = memoryview(altered)[: source.choice((len(altered), source.randrange(len(altered))))]
        headers_of(cut, vnet._replace(csum_start=at))
    altered = packet.copy()
    altered[41] = 255
    assert headers_of(memoryview(altered), vnet) is None
