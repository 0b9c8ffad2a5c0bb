"""Where opened packets go: a TUN device, which takes consecutive packets of one stream as one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import numpy as np

from kms.tunnel.dataplane.tun import TunDevice
from kms.tunnel.packet.checksum import Octets
from kms.tunnel.packet.frame_buffer import MAX_FRAMES
from kms.tunnel.packet.segmentation import Joiner
from kms.tunnel.packet.virtio_header import NO_OFFLOAD
from kms.tunnel.protocol.counters import Counters


class Delivery(Protocol):
    """Takes what :class:`kms.tunnel.dataplane.paths.inbound_path.InboundPath` has opened."""

    def deliver(self, packets: Octets, opened: Octets) -> None:
        """``packets``, which are the beginnings of all rows ``opened``, or of some; perhaps none."""

    def deliver_one(self, packet: bytes) -> None:
        """One packet."""


class TunDelivery:
    """To an open device; ``report_error`` is told of errors that pass."""

    def __init__(
        self, tun: TunDevice, counters: Counters, room_bytes: int, report_error: Callable[[OSError], None]
    ) -> None:
        """``room_bytes`` is the most that comes at once."""
        self._tun, self._counters, self._report_error = tun, counters, report_error
        self._joiner = Joiner(MAX_FRAMES, room_bytes)

    def deliver(self, packets: Octets, opened: Octets) -> None:
        if not len(packets):
            return
        rows = opened if len(packets) == len(opened) else np.ascontiguousarray(packets)
        for joint, count in self._joiner.join(rows, packets.shape[1], udp=self._tun.has_uso):
            self._write(joint, count)

    def deliver_one(self, packet: bytes) -> None:
        self._write(NO_OFFLOAD + packet, 1)

    def _write(self, joint: bytes | memoryview, packets: int) -> None:
        try:
            os.write(self._tun.fd, joint)
        except OSError as error:
            self._counters.rx_device_drops += packets
            self._report_error(error)
