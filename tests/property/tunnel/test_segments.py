"""Cutting and joining beside references that go packet by packet: Scapy builds each segment, a loop finds the runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.packet import Packet, Raw

from kms.tunnel.packet import virtio_header
from kms.tunnel.packet.segmentation import headers_of
from tests.unit.tunnel.packet.test_gso import V4, V6, cut, handed_over, joints, segments

Fields = dict[str, Any]
IS_V6 = st.booleans()
EXTENSIONS = st.lists(st.sampled_from([IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt]), max_size=2)
OPTIONS = st.sampled_from([[], [("Timestamp", (7, 9))], [("NOP", None), ("NOP", None), ("Timestamp", (2**32 - 1, 0))]])
FLAGS = st.sampled_from(["A", "PA", "FA", "FPA", "CA", "ECA", "CPA"])


def network(is_v6: bool, number: int, traffic_class: int, flow: int, extensions: list[type[Packet]]) -> Packet:
    if not is_v6:
        return IP(**V4, tos=traffic_class, id=(flow + number) & 0xFFFF, flags="DF")
    below = IPv6(**V6, tc=traffic_class, fl=flow)
    for extension in extensions:
        below = below / extension()
    return below


def flags_of(flags: str, is_first: bool, is_last: bool) -> str:
    """RFC 9293: data end with the last segment; RFC 3168: the window reduction is told once."""
    return "".join(flag for flag in flags if (flag not in "FP" or is_last) and (flag != "C" or is_first))


@settings(deadline=None, max_examples=60)
@given(
    is_v6=IS_V6, is_tcp=st.booleans(), size=st.integers(1, 1400), count=st.integers(1, 12), rest=st.integers(0, 1399),
    traffic_class=st.integers(0, 255), flow=st.integers(0, 2**20 - 1), extensions=EXTENSIONS, options=OPTIONS,
    flags=FLAGS, sequence=st.integers(0, 2**32 - 1), most=st.integers(1, 13), filler=st.binary(min_size=1, max_size=40),
)  # fmt: skip
def test_each_segment_is_the_packet_that_scapy_builds(
    is_v6: bool, is_tcp: bool, size: int, count: int, rest: int, traffic_class: int, flow: int,
    extensions: list[type[Packet]], options: list[Any], flags: str, sequence: int, most: int, filler: bytes,
) -> None:  # fmt: skip
    data = (filler * 20000)[: size * count + rest % size]
    number = -(-len(data) // size)

    def transport(n: int, its_flags: str) -> Packet:
        if not is_tcp:
            return UDP(sport=5201, dport=40000)
        return TCP(
            sport=5201, dport=40000, seq=(sequence + n * size) % 2**32, ack=77, flags=its_flags, options=options
        )  # fmt: skip

    below = network(is_v6, 0, traffic_class, flow, extensions)
    packet, vnet = handed_over(below, transport(0, flags), data, size)
    expected = [
        bytes(
            network(is_v6, n, traffic_class, flow, extensions)
            / transport(n, flags_of(flags, n == 0, n == number - 1))
            / Raw(data[n * size : (n + 1) * size])
        )
        for n in range(number)
    ]
    # A checksum of 0 and one of 0xFFFF say the same of TCP; UDP has the latter alone (RFC 768), and so have we.
    at = vnet.csum_start + vnet.csum_offset
    found = segments(packet, vnet, most)
    assert [p[:at] + p[at + 2 :] for p in found] == [p[:at] + p[at + 2 :] for p in expected]
    assert [int.from_bytes(p[at : at + 2], "big") % 65535 for p in found] == [
        int.from_bytes(p[at : at + 2], "big") % 65535 for p in expected
    ]


@settings(deadline=None, max_examples=30)
@given(
    is_v6=IS_V6, is_tcp=st.booleans(), size=st.integers(1, 1400), count=st.integers(1, 12), first=st.integers(0, 3),
    flags=st.lists(FLAGS, min_size=2, max_size=4), options=OPTIONS, filler=st.binary(min_size=1, max_size=40),
)  # fmt: skip
def test_super_packets_cut_together_are_cut_as_each_alone(
    is_v6: bool, is_tcp: bool, size: int, count: int, first: int, flags: list[str], options: list[Any], filler: bytes,
) -> None:  # fmt: skip
    """Of one length and layout; what their headers say otherwise is each one's own."""

    def packet_of(n: int, its_flags: str) -> tuple[bytearray, virtio_header.VnetHeader]:
        fields: Fields = {"sport": 5201 + n, "dport": 40000}
        if is_tcp:
            fields |= {"seq": 2**32 - 3000 + n * 70000 & 2**32 - 1, "ack": n, "flags": its_flags, "options": options}
        data = (filler * 20000)[n : n + size * count]
        return handed_over(network(is_v6, 65535 * n, n, n, []), (TCP if is_tcp else UDP)(**fields), data, size)

    given_ones = [packet_of(n, its_flags) for n, its_flags in enumerate(flags)]
    headers = headers_of(memoryview(given_ones[0][0]), given_ones[0][1])
    assert headers is not None
    first %= count
    packets = [packet for packet, _ in given_ones]
    together = cut(packets, headers, size, first, count - first)
    alone = [cut([packet], headers, size, first, count - first) for packet in packets]
    assert (together == np.concatenate(alone)).all()


def continues(packet: Packet, after: Packet, is_v6: bool) -> bool:
    """Whether two packets are consecutive ones of a stream: by fields, as RFC 9293 and 8200 name them."""
    length = len(after[Raw].load)
    if not is_v6:
        same_network = (packet.tos, packet.ttl, packet.src) == (after.tos, after.ttl, after.src)
    else:
        same_network = (packet.tc, packet.fl, packet.hlim, packet.src) == (after.tc, after.fl, after.hlim, after.src)
    mine, before = packet[TCP], after[TCP]
    same = (mine.sport, mine.ack, mine.window, mine.options) == (
        before.sport,
        before.ack,
        before.window,
        before.options,
    )
    plain = all(part.flags.value | 8 == 0x18 for part in (mine, before))
    return same_network and same and plain and mine.seq == (before.seq + length) % 2**32


PACKETS = st.lists(
    st.tuples(
        st.integers(0, 1), st.sampled_from([0, 0, 0, 0, 0, 1, 2]), st.sampled_from(["A"] * 6 + ["FA", "SA"]),
        st.sampled_from([0] * 8 + [1]),
    ),
    min_size=2, max_size=20,
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(is_v6=IS_V6, size=st.integers(1, 300), packets=PACKETS, first=st.integers(0, 2**32 - 1))
def test_runs_are_those_that_a_loop_finds_and_joining_can_be_undone(
    is_v6: bool, size: int, packets: list[tuple[int, int, str, int]], first: int
) -> None:
    """Gaps, other acknowledgements, flags, and altered data, anywhere among consecutive packets."""
    sequence, ack, built = first, 77, []
    for n, (is_gap, other, flags, altered) in enumerate(packets):
        sequence += size * (is_gap and other)
        ack += other
        transport = TCP(sport=1, dport=2, seq=sequence % 2**32, ack=ack, flags=flags)
        packet = bytearray(bytes(network(is_v6, n, 0, 3, []) / transport / Raw(bytes([n]) * size)))
        packet[-1] ^= altered
        built.append(bytes(packet))
        sequence += size
    rows = np.array([list(packet) for packet in built], np.uint8)
    read = [(IPv6 if is_v6 else IP)(packet) for packet in built]
    wrong = [altered for *_, altered in packets]
    starts = [
        n == 0 or bool(wrong[n] or wrong[n - 1]) or not continues(read[n], read[n - 1], is_v6)
        for n in range(len(built))
    ]
    at = 0
    for joint, number in joints(rows):
        assert [n for n in range(at, at + number) if starts[n]] == [at]
        vnet, super_packet = virtio_header.unpack(joint), joint[virtio_header.VNET_BYTES :]
        again = (
            [bytes(segment) for segment in segments(bytearray(super_packet), vnet)] if number > 1 else [super_packet]
        )
        expected = built[at : at + number]
        if number > 1 and not is_v6:  # identifiers are not kept where there are gaps between them
            again, expected = ([p[:4] + p[6:10] + p[12:] for p in some] for some in (again, expected))
        assert again == expected
        at += number


@given(st.binary(max_size=200), st.sampled_from([1, 4, 5, 0x81, 0x84]), st.integers(0, 300), st.integers(0, 100))
def test_rubbish_from_the_device_raises_nothing(packet: bytes, kind: int, size: int, start: int) -> None:
    vnet = virtio_header.VnetHeader(1, kind, 0, size, start, 16)
    headers = headers_of(memoryview(bytearray(packet)), vnet)
    if headers is not None:
        rest = (len(packet) - headers.end) % size
        cut([bytearray(packet)], headers, size, (len(packet) - headers.end) // size if rest else 0, 1)
