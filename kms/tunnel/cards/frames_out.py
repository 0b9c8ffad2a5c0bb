"""The hot loop from the clients' ports to the line: frames are tagged as they are read, and sealed many at a time."""

from __future__ import annotations

import errno
import os
import time

import numpy as np

from kms.tunnel.cards.compiled_io import read_frames
from kms.tunnel.dataplane.paths.batching import FEW, MAX_UDP_BYTES, SLOT_BYTES, TURN_S
from kms.tunnel.dataplane.paths.datagram_sender import DatagramSender
from kms.tunnel.dataplane.paths.outbound_path import DeviceLost
from kms.tunnel.packet.compiled_loops import MAX_UDP_SEGMENTS
from kms.tunnel.packet.esp import datagram_bytes
from kms.tunnel.packet.ethernet import HEADER_BYTES, TAG_BYTES
from kms.tunnel.packet.frame_buffer import Frames
from kms.tunnel.packet.room import make_room
from kms.tunnel.protocol.outbound_traffic import OutboundTraffic

_SLOTS = 128


class FramesOut:
    """One card's: all its clients' frames through one session."""

    def __init__(self, traffic: OutboundTraffic, sender: DatagramSender) -> None:
        self._traffic, self._sender = traffic, sender
        self._staged = np.frombuffer(make_room(_SLOTS * SLOT_BYTES), np.uint8)
        self._slots = self._staged.reshape(_SLOTS, SLOT_BYTES)
        self._lengths = np.zeros(_SLOTS, np.int64)
        self._frames = Frames(_SLOTS * SLOT_BYTES, in_place=True)

    def read_port(self, fd: int, tag: int, now: float) -> None:
        """Read, seal and send what waits at a client's port; the ``tag`` as a number. Raises DeviceLost."""
        until = time.monotonic() + TURN_S
        while self._read_burst(fd, tag, now) and not self._sender.is_stalled and time.monotonic() < until:
            pass

    def _read_burst(self, fd: int, tag: int, now: float) -> bool:
        """False when there is nothing more to read."""
        count = read_frames(fd, self._staged, tag, SLOT_BYTES, self._lengths)
        if count >= 0:
            self._seal(self._lengths[:count].tolist(), now)
            return True
        number = int(self._lengths[-1])
        self._seal(self._lengths[: -count - 1].tolist(), now)
        if number != errno.EAGAIN:
            raise DeviceLost(number, os.strerror(number))
        return False

    def _seal(self, lengths: list[int], now: float) -> None:
        """Runs of equal length together."""
        first, count = 0, len(lengths)
        while first < count:
            length, end = lengths[first], first + 1
            while end < count and lengths[end] == length:
                end += 1
            if not HEADER_BYTES <= length < SLOT_BYTES - TAG_BYTES:  # longer ones may have lost their end
                self._traffic.counters.tx_selector_drops += end - first
            elif end - first <= FEW or not self._seal_rows(first, end, length + TAG_BYTES, now):
                for slot in range(first, end):
                    self._send_one(self._slots[slot, : length + TAG_BYTES].tobytes(), now)
            first = end

    def _seal_rows(self, first: int, end: int, length: int, now: float) -> bool:
        frames, count = self._frames.shape(datagram_bytes(length)), end - first
        frames.texts[:count, :length] = self._slots[first:end, :length]
        if not self._traffic.seal_frames(frames, count, length, now):
            return False
        most = min(MAX_UDP_SEGMENTS, MAX_UDP_BYTES // frames.size) * frames.size
        total = count * frames.size
        for at in range(0, total, most):
            self._sender.send_frames(self._frames.view[at : min(at + most, total)], frames.size)
        return True

    def _send_one(self, frame: bytes, now: float) -> None:
        datagram = self._traffic.send_packet(frame, now)
        if datagram is not None:
            self._sender.send(datagram)
