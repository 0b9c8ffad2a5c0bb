"""What two cards tell each other of their clients: which circuits are up at this end (client signal fail). Pure.

A frame of circuit 0, sealed like any other: whoever is on the line can neither read nor forge it. Its EtherType is the
first for local experiments (IEEE 802, 9.2.4). All numbers are big-endian::

    addresses (12) | S-tag, circuit 0 (4) | 88 B5 | "QSCS" | version (1) | flags (1) | count (2) | circuits (2 each)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

from kms.tunnel.errors import Malformed
from kms.tunnel.packet.ethernet import ADDRESSES_BYTES, CARDS, tag_of

_BEGIN = bytes(ADDRESSES_BYTES) + tag_of(CARDS) + b"\x88\xb5QSCS\x01"
_FIELDS = Struct(">BH")
_NUMBER = Struct(">H")
_ASKS = 0x01


@dataclass(frozen=True)
class ClientStatus:
    """The circuits that are ``up`` at the sender's end; ``asks``: it has not heard from this end yet."""

    up: frozenset[int]
    asks: bool = False

    def encode(self) -> bytes:
        """The frame."""
        head = _BEGIN + _FIELDS.pack(_ASKS if self.asks else 0, len(self.up))
        return head + b"".join(map(_NUMBER.pack, sorted(self.up)))

    @classmethod
    def decode(cls, frame: bytes) -> ClientStatus:
        """Raises Malformed."""
        at = len(_BEGIN) + _FIELDS.size
        if not frame.startswith(_BEGIN) or len(frame) < at:
            raise Malformed("not what a card says of its clients")
        flags, count = _FIELDS.unpack_from(frame, len(_BEGIN))
        if len(frame) != at + count * _NUMBER.size:
            raise Malformed("not as many circuits as it says")
        return cls(frozenset(_numbers(frame[at:])), bool(flags & _ASKS))


def _numbers(octets: bytes) -> Iterable[int]:
    return (number for (number,) in _NUMBER.iter_unpack(octets))
