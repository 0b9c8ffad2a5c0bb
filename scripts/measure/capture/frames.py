"""Reading raw Ethernet frames as far as the demo needs: whose packet is it, and is it ESP.

Pure. Ethernet II with any number of VLAN tags (the transit labels), IPv4, UDP; ESP in UDP as in RFC 3948.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from html import escape

VLAN_TYPES = (0x8100, 0x88A8, 0x9100)
IPV4 = 0x0800
UDP = 17
ETHERNET_ADDRESSES = 12
LINE_PORT = 4500  # of the cards at both ends of a line: ESP in UDP (RFC 3948, 2)
NON_ESP_MARKER = b"\0\0\0\0"  # RFC 3948, section 2.2: control messages, not ESP


@dataclass(frozen=True)
class Packet:
    """The IPv4 packet in a frame; ports and payload are those of UDP, else 0 and everything after the IP header."""

    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    payload: bytes

    @property
    def is_esp_in_udp(self) -> bool:
        return self.protocol == UDP and len(self.payload) > 8 and self.payload[:4] != NON_ESP_MARKER


def parse_frame(frame: bytes) -> Packet | None:
    """The IPv4 packet in ``frame``, None when there is none or it is cut short."""
    offset = ETHERNET_ADDRESSES
    try:
        (ethertype,) = struct.unpack_from("!H", frame, offset)
        while ethertype in VLAN_TYPES:
            offset += 4
            (ethertype,) = struct.unpack_from("!H", frame, offset)
        offset += 2
        if ethertype != IPV4 or frame[offset] >> 4 != 4:
            return None
        header_length = (frame[offset] & 15) * 4
        (total_length,) = struct.unpack_from("!H", frame, offset + 2)
        protocol = frame[offset + 9]
        source, destination = struct.unpack_from("!4s4s", frame, offset + 12)
        body = frame[offset + header_length : offset + total_length]
        source_port = destination_port = 0
        if protocol == UDP:
            source_port, destination_port = struct.unpack_from("!HH", body)
            body = body[8:]
    except (struct.error, IndexError):
        return None
    return Packet(
        str(ipaddress.IPv4Address(source)), str(ipaddress.IPv4Address(destination)),
        protocol, source_port, destination_port, body,
    )  # fmt: skip


def is_between_cards(packet: Packet) -> bool:
    """Whether it is what two cards seal between them."""
    return packet.is_esp_in_udp and (packet.source_port, packet.destination_port) == (LINE_PORT, LINE_PORT)


BYTES_PER_LINE = 16
SHORTEST_WORD = 6  # printable bytes in a row that are no accident


def hex_dump(data: bytes) -> str:
    """Offset, hex and text of each 16 bytes, as HTML; readable stretches of the text are marked."""
    readable = _readable(data)
    lines = []
    for start in range(0, len(data), BYTES_PER_LINE):
        row = data[start : start + BYTES_PER_LINE]
        digits = " ".join(f"{byte:02x}" for byte in row)
        text = "".join(_character(byte, start + n in readable) for n, byte in enumerate(row))
        lines.append(f"{start:04x}  {digits:<{3 * BYTES_PER_LINE - 1}}  {text}")
    return "\n".join(lines).replace("</mark><mark>", "")


def _readable(data: bytes) -> set[int]:
    found: set[int] = set()
    run: list[int] = []
    for position, byte in enumerate((*data, 0)):
        if 0x20 <= byte < 0x7F:
            run.append(position)
        else:
            if len(run) >= SHORTEST_WORD:
                found.update(run)
            run = []
    return found


def _character(byte: int, marked: bool) -> str:
    shown = escape(chr(byte)) if 0x20 <= byte < 0x7F else "·"
    return f"<mark>{shown}</mark>" if marked else shown
