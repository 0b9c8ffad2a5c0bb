"""The marker search on frames made by Scapy, an encoder that is not ours."""

from dataclasses import replace

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from scripts.measure.capture.frames import hex_dump, parse_frame
from scripts.measure.capture.plaintext_search import contains_marker, judge, new_marker
from scripts.measure.connection import Connection

MARKER = b"QSLICE-PLAINTEXT-9f39c7f3df058148-"
SECRET = Connection(
    "s", "cell1-compute", "cell1", "metro1", "10.200.0.24", "10.200.0.25", "qra", "qra", ("one", "two"), 10.0
)
CLEAR = replace(SECRET, required="none", key_source="none")


def esp(payload: bytes = b"\x8f" * 64, port: int = 20012) -> bytes:
    body = b"\x12\x34\x56\x78" + payload
    packet = IP(src="172.20.0.2", dst="172.20.0.5") / UDP(sport=port, dport=port) / Raw(body)
    return bytes(Ether() / Dot1Q(vlan=7) / packet)


def plain(payload: bytes = MARKER * 3) -> bytes:
    return bytes(Ether() / Dot1Q(vlan=7) / IP(src="10.200.0.24", dst="10.200.0.25") / UDP(dport=5300) / Raw(payload))


def verdict(connection, frames, sent=4, delivered=4, dropped=None):
    return judge(connection, MARKER, sent, delivered, frames, dropped or {})


def test_frames_are_read_under_any_number_of_labels():
    inner = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(b"hello")
    for labels in (Ether(), Ether() / Dot1Q(vlan=1), Ether() / Dot1Q(vlan=1) / Dot1Q(vlan=2)):
        packet = parse_frame(bytes(labels / inner))
        assert packet is not None
        assert (packet.source, packet.destination, packet.source_port, packet.destination_port, packet.payload) == (
            "10.0.0.1", "10.0.0.2", 1, 2, b"hello",
        )  # fmt: skip


def test_what_is_no_ipv4_is_no_packet():
    assert parse_frame(bytes(Ether() / ARP())) is None
    frame = plain()
    for length in range(40):
        assert parse_frame(frame[:length]) is None


def test_encrypted_connection_seen_and_marker_absent():
    result = verdict(SECRET, {"one": [esp()] * 4, "two": [esp()] * 4})
    assert result.ok
    assert result.ciphertext_only
    assert [s.frames_seen for s in result.sightings] == [4, 4]


def test_marker_on_a_single_frame_of_a_single_channel_fails():
    result = verdict(SECRET, {"one": [esp()] * 4, "two": [esp()] * 3 + [esp(MARKER)]})
    assert not result.ok
    assert not result.ciphertext_only
    assert "readable on two" in result.detail


def test_plaintext_beside_the_tunnel_fails_even_off_the_path():
    result = verdict(SECRET, {"one": [esp()] * 4, "two": [esp()] * 4, "elsewhere": [plain()]})
    assert not result.ok
    assert not result.ciphertext_only


@pytest.mark.parametrize("connection", [SECRET, CLEAR])
def test_between_cards_nothing_may_be_readable_whatever_was_asked(connection):
    lines = {"one": [esp(port=4500)] * 4, "two": [esp(port=4500)] * 5}
    good = judge(connection, MARKER, 4, 4, lines, {}, sealed=("one", "two"))
    assert good.ok
    assert good.ciphertext_only
    bad = judge(connection, MARKER, 4, 4, {**lines, "two": [*lines["two"], plain()]}, {}, sealed=("one", "two"))
    assert not bad.ok
    assert "two" in bad.detail
    idle = judge(connection, MARKER, 4, 4, {**lines, "one": [esp(port=20012)] * 9}, {}, sealed=("one", "two"))
    assert not idle.ok, "what a host sealed is no proof of a card"


def test_a_clear_connection_is_readable_where_no_card_seals():
    frames = {"one": [plain()] * 4, "two": [esp(port=4500)] * 4}
    assert judge(CLEAR, MARKER, 4, 4, frames, {}, sealed=("two",)).ok
    assert not judge(CLEAR, MARKER, 4, 4, {**frames, "one": [esp()] * 4}, {}, sealed=("two",)).ok


def test_half_a_marker_is_found():
    assert contains_marker(b"...9f39c7f3" + bytes(9), MARKER)
    assert contains_marker(b"\0" * 30 + b"df058148", MARKER)
    assert not contains_marker(b"QSLICE-PLAINTEXT-", MARKER)


@pytest.mark.parametrize(
    "frames",
    [
        {},
        {"one": [esp()] * 4},
        {"one": [esp()] * 4, "two": [esp()] * 3},
        {"one": [esp()] * 4, "two": [esp(port=20013)] * 4},
        {"one": [esp()] * 4, "two": [bytes(Ether() / ARP())] * 4},
    ],
    ids=["nothing", "one channel silent", "too few", "another connection's", "no IP"],
)
def test_capture_that_did_not_see_the_connection_proves_nothing(frames):
    result = verdict(SECRET, frames)
    assert not result.ok
    assert not result.ciphertext_only
    assert "two" in result.detail


def test_control_messages_are_not_taken_for_data():
    control = Ether() / IP(src="172.20.0.2", dst="172.20.0.5") / UDP(sport=20012, dport=20012) / Raw(bytes(64))
    assert not verdict(SECRET, {"one": [bytes(control)] * 9, "two": [bytes(control)] * 9}).ok


def test_marker_that_did_not_arrive_proves_nothing():
    full = {"one": [esp()] * 4, "two": [esp()] * 4}
    assert not verdict(SECRET, full, delivered=3).ok
    assert not verdict(SECRET, full, sent=0, delivered=0).ok
    assert not verdict(SECRET, full, dropped={"two": 1}).ok
    assert not verdict(replace(SECRET, path=()), full).ok


def test_clear_connection_must_show_its_marker_on_every_channel():
    result = verdict(CLEAR, {"one": [plain()] * 4, "two": [plain()] * 4})
    assert result.ok
    assert not result.ciphertext_only
    hidden = verdict(CLEAR, {"one": [plain()] * 4, "two": [plain(b"x" * 99)] * 4})
    assert not hidden.ok
    assert "two" in hidden.detail


def test_markers_differ_and_are_searchable():
    first, second = new_marker(), new_marker()
    assert first != second
    assert contains_marker(first, first)
    assert not contains_marker(first, second)


def test_hex_dump_marks_what_a_person_can_read():
    dump = hex_dump(b"\x00\x01<script>" + bytes(6) + b"A")
    assert "<mark>&lt;script&gt;</mark>" in dump
    assert dump.splitlines()[1].startswith("0010  41 ")
    assert "<script>" not in dump
