"""Where opened frames go: by the circuit that their tag names to that client's port, without the tag."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np

from kms.tunnel.cards.compiled_io import write_frames
from kms.tunnel.packet.checksum import Octets
from kms.tunnel.packet.ethernet import ADDRESSES_BYTES, CARDS, TAG_BYTES, tag_of
from kms.tunnel.protocol.counters import Counters

_BODY_AT = ADDRESSES_BYTES + TAG_BYTES
_TO_CARDS = tag_of(CARDS)


class ClientDelivery:
    """``ports`` has the descriptors by tag; ``on_cards`` gets frames that are for the card itself."""

    def __init__(
        self,
        ports: Mapping[bytes, int],
        counters: Counters,
        on_cards: Callable[[bytes], None],
        report_error: Callable[[OSError], None],
    ) -> None:
        self._ports, self._counters, self._on_cards, self._report_error = ports, counters, on_cards, report_error

    def deliver(self, packets: Octets, opened: Octets) -> None:
        count, length = packets.shape
        if not count:
            return
        tags = np.ascontiguousarray(packets[:, ADDRESSES_BYTES:_BODY_AT]).view(np.uint32)
        fd = self._ports.get(tags[0].tobytes())
        if fd is None or (tags != tags[0]).any():
            for packet in packets:
                self.deliver_one(packet.tobytes())
            return
        rows = opened if len(opened) == count else np.ascontiguousarray(packets)
        outcome = write_frames(fd, rows.reshape(-1), rows.shape[1], count, length)
        written, number = outcome >> 32, outcome & 0xFFFF_FFFF
        if number:  # the port is down, or gone: all of them are lost, as on any such port
            self._counters.rx_device_drops += count - written
            self._report_error(OSError(number, os.strerror(number)))

    def deliver_one(self, packet: bytes) -> None:
        tag = packet[ADDRESSES_BYTES:_BODY_AT]
        if tag == _TO_CARDS:
            self._on_cards(packet)
            return
        fd = self._ports.get(tag)
        if fd is None:
            self._counters.rx_device_drops += 1
            return
        try:
            os.writev(fd, (packet[:ADDRESSES_BYTES], packet[_BODY_AT:]))
        except OSError as error:
            self._counters.rx_device_drops += 1
            self._report_error(error)
