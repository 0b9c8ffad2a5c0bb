"""Ethernet frames inside a tunnel between two cards, and the tag that says whose circuit a frame is of.

What is sealed is a whole frame with an S-tag (IEEE 802.1Q, 9.6) behind its addresses, whose VLAN identifier is the
number of the circuit; the next header is 143, Ethernet (RFC 8986, 10.1). So anything that opens ESP, Wireshark among
them, shows what it is. Circuit 0 is nobody's: such frames are from card to card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kms.tunnel.packet.checksum import Octets

NEXT_HEADER_ETHERNET = 143
ADDRESSES_BYTES = 12
TAG_BYTES = 4
HEADER_BYTES = 14
TAGGED_HEADER_BYTES = HEADER_BYTES + TAG_BYTES
MAX_CIRCUIT = 4094  # IEEE 802.1Q, table 9-2: 4095 is reserved
CARDS = 0
"""The number of frames from card to card."""

_S_TAG = b"\x88\xa8"


class Kind(Protocol):
    """What a tunnel carries, as ESP names it."""

    @property
    def next_header(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Ethernet:
    """Frames: a kind of which there is one."""

    next_header: int = NEXT_HEADER_ETHERNET


ETHERNET = Ethernet()


def tag_of(circuit: int) -> bytes:
    """The four octets that stand behind the addresses. ValueError for a number that no tag has room for."""
    if not CARDS <= circuit <= MAX_CIRCUIT:
        raise ValueError(f"a circuit's number is {CARDS} to {MAX_CIRCUIT}, not {circuit}")
    return _S_TAG + circuit.to_bytes(2, "big")


class FrameSelector:
    """Passes every frame with a header and a tag: who may send into a circuit its port decides, not an address."""

    __slots__ = ()

    def admits(self, packet: bytes | memoryview) -> Ethernet | None:
        """Whether these octets are a frame with a tag; they are no more or less than it."""
        is_tagged = packet[ADDRESSES_BYTES : ADDRESSES_BYTES + 2] == _S_TAG
        return ETHERNET if is_tagged and len(packet) >= TAGGED_HEADER_BYTES else None

    def admits_all(self, packets: Octets) -> Ethernet | None:
        """What :meth:`admits` says of every row; None where it would not say the same of all."""
        if packets.shape[1] < TAGGED_HEADER_BYTES:
            return None
        tags = packets[:, ADDRESSES_BYTES : ADDRESSES_BYTES + 2]
        is_all = bool((tags[:, 0] == _S_TAG[0]).all() and (tags[:, 1] == _S_TAG[1]).all())
        return ETHERNET if is_all else None
