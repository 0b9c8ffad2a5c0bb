"""The hot loop from the TUN device to the socket, many packets at a time.

One read of the device gives up to 64 KB of a TCP or UDP stream, a super-packet; those that wait behind it are read
too. They are cut into packets all at once, sealed where they stand, and each sent by one call (UDP_SEGMENT). What does
not fit this goes one by one, through the same session.

A loop in Python over packets costs more than to encrypt them, and so do NumPy's calls for one super-packet alone:
with eight, a call costs each of them an eighth.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

import numpy as np

from kms.tunnel.dataplane.paths.batching import FEW, MAX_UDP_BYTES, SLOT_BYTES, TURN_S
from kms.tunnel.dataplane.paths.datagram_sender import DatagramSender
from kms.tunnel.dataplane.tun import TunDevice
from kms.tunnel.packet import virtio_header
from kms.tunnel.packet.checksum import complement
from kms.tunnel.packet.compiled_loops import MAX_UDP_SEGMENTS
from kms.tunnel.packet.esp import datagram_bytes
from kms.tunnel.packet.frame_buffer import PREFIX_BYTES, Frames
from kms.tunnel.packet.room import make_room
from kms.tunnel.packet.segmentation import Headers, Places, headers_of, is_like, write_segments
from kms.tunnel.packet.virtio_header import VNET_BYTES
from kms.tunnel.protocol.outbound_traffic import OutboundTraffic

_SLOTS = 64  # single packets are collected side by side before they are sealed together
_READ_BYTES = VNET_BYTES + 65536
_TRAIN = 8  # super-packets that are cut and sealed together, of those that wait
_ROOM_BYTES = -(-_READ_BYTES // 64) * 64  # from one to the next of them
_OFFSET = 6  # so that the packet after its virtio header is aligned


def largest_super_packet(mtu: int) -> int:
    """What the kernel may hand over at once, in octets, so that its segments leave in one call.

    TCP takes 320 octets off for headers (net/ipv4/tcp.c: tcp_xmit_size_goal) and rounds down to whole segments. Those
    of IPv4 have headers of 52 octets, with timestamps; those of IPv6, 20 shorter, must not be one more.
    """
    segments = min(MAX_UDP_SEGMENTS, MAX_UDP_BYTES // datagram_bytes(mtu))
    return min(65536, segments * (mtu - 52) + 400)


class DeviceLost(OSError):
    """The interface was removed under us."""


class OutboundPath:
    """Moves packets from an open device to an open socket; ``report_error`` is told of errors that pass.

    While the ``sender`` is stalled the device is not read, so that senders feel it.
    """

    def __init__(
        self, tun: TunDevice, udp: socket.socket, traffic: OutboundTraffic, report_error: Callable[[OSError], None]
    ) -> None:
        self._tun, self._traffic = tun, traffic
        self.sender = DatagramSender(udp, traffic.counters, report_error)
        self._staging = make_room(_OFFSET + _TRAIN * _ROOM_BYTES)
        view = memoryview(self._staging)
        self._reads = [view[at : at + _READ_BYTES] for at in range(_OFFSET, _OFFSET + _SLOTS * SLOT_BYTES, SLOT_BYTES)]
        self._rooms = [view[at : at + _READ_BYTES] for at in range(_OFFSET, len(view), _ROOM_BYTES)]
        self._staged = np.frombuffer(self._staging, np.uint8)
        slots = self._staged[_OFFSET:][: _SLOTS * SLOT_BYTES].reshape(_SLOTS, SLOT_BYTES)
        self._slots = slots[:, VNET_BYTES:]
        self._frames = Frames(_TRAIN * MAX_UDP_BYTES, in_place=True)

    def read_device(self, now: float) -> None:
        """Read, seal and send what is there. Raises DeviceLost."""
        until = time.monotonic() + TURN_S
        while self._read_burst(now) and not self.sender.is_stalled and time.monotonic() < until:
            pass

    def _read_burst(self, now: float) -> bool:
        """Single packets up to the first super-packet, and those after it; False when there is nothing more to read."""
        lengths: list[int] = []
        while len(lengths) < _SLOTS:
            view = self._reads[len(lengths)]
            length = self._read(view)
            if length is None:
                self._seal_singles(lengths, now)
                return False
            if view[1]:  # the kind of segmentation that is left to us
                self._seal_singles(lengths, now)
                if lengths:
                    self._rooms[0][: VNET_BYTES + length] = bytes(view[: VNET_BYTES + length])
                return self._read_train(length, now)
            _finish_checksum(view, length)
            lengths.append(length)
            if length > SLOT_BYTES - VNET_BYTES:
                break  # it reaches into the slots after it
        self._seal_singles(lengths, now)
        return True

    def _read(self, view: memoryview) -> int | None:
        """The length of the packet that was read there, behind its virtio header; None where none waits."""
        try:
            return os.readv(self._tun.fd, (view,)) - VNET_BYTES
        except BlockingIOError:
            return None
        except OSError as error:
            raise DeviceLost(error.errno, error.strerror) from error

    def _read_train(self, first: int, now: float) -> bool:
        """The super-packets behind the one that stands in the first room, and the single packet that ends them."""
        lengths, more = [first], True
        for view in self._rooms[1:]:
            length = self._read(view)
            if length is None:
                more = False
                break
            lengths.append(length)
            if not view[1]:
                break
        self._seal_train(lengths, now)
        return more

    def _seal_train(self, lengths: list[int], now: float) -> None:
        """Those of one length and layout together."""
        first = 0
        while first < len(lengths):
            view, length, end = self._rooms[first], lengths[first], first + 1
            packet = view[VNET_BYTES : VNET_BYTES + length]
            vnet = virtio_header.unpack(view)
            headers = headers_of(packet, vnet)
            if not vnet.gso_type:
                _finish_checksum(view, length)
                self._send_packet(packet, now)
            elif headers is None:
                self._traffic.counters.tx_selector_drops += 1
            else:
                while end < len(lengths) and lengths[end] == length and is_like(self._rooms[end], view, headers):
                    end += 1
                self._seal_supers(first, end, length, headers, vnet.gso_size, now)
            first = end

    def _seal_singles(self, lengths: list[int], now: float) -> None:
        """Runs of equal length together."""
        first = 0
        while first < len(lengths):
            length, end = lengths[first], first + 1
            most = min(MAX_UDP_SEGMENTS, MAX_UDP_BYTES // datagram_bytes(length))
            while end < len(lengths) and lengths[end] == length and end - first < most:
                end += 1
            if end - first > FEW and self._seal_rows(first, end, length, now):
                first = end
                continue
            for slot in range(first, end):
                self._send_packet(self._reads[slot][VNET_BYTES : VNET_BYTES + length], now)
            first = end

    def _send_packet(self, packet: memoryview, now: float) -> None:
        datagram = self._traffic.send_packet(bytes(packet), now)
        if datagram is not None:
            self.sender.send(datagram)

    def _seal_rows(self, first: int, end: int, length: int, now: float) -> bool:
        frames, count = self._frames.shape(datagram_bytes(length)), end - first
        frames.texts[:count, :length] = self._slots[first:end, :length]
        if not self._traffic.seal_frames(frames, count, length, now):
            return False
        self.sender.send_frames(self._frames.view[: count * frames.size], frames.size)
        return True

    def _seal_supers(self, start: int, stop: int, length: int, headers: Headers, size: int, now: float) -> None:
        """The super-packets of ``length`` octets in these rooms; together where each leaves by one call, in turn."""
        whole, rest = divmod(length - headers.end, size)
        most = max(1, min(MAX_UDP_SEGMENTS, MAX_UDP_BYTES // datagram_bytes(headers.end + size)))
        if 0 < whole <= most and not rest:
            self._seal_segments(start, stop - start, length, headers, size, 0, whole, now)
            return
        for room in range(start, stop):
            for first in range(0, whole, most):
                self._seal_segments(room, 1, length, headers, size, first, min(most, whole - first), now)
            if rest:
                self._seal_segments(room, 1, length, headers, size, whole, 1, now)

    def _seal_segments(
        self, room: int, packets: int, length: int, headers: Headers, size: int, first: int, count: int, now: float
    ) -> None:
        """Of each of the packets from that room on ``count`` segments, from number ``first`` on, all of one length: a
        last one that is shorter comes alone."""
        inner = min(headers.end + size, length - first * size)
        frames = self._frames.shape(datagram_bytes(inner))
        place = Places(self._staged, _OFFSET + room * _ROOM_BYTES + VNET_BYTES, _ROOM_BYTES)
        out = Places(self._frames.octets, PREFIX_BYTES, frames.size)
        write_segments(place, packets, length, headers, size, first, count, out)
        if self._traffic.seal_frames(frames, packets * count, inner, now, are_alike=True):
            step = count * frames.size
            for at in range(0, packets * step, step):
                self.sender.send_frames(self._frames.view[at : at + step], frames.size)
            return
        for packet in frames.parts(0, packets * count)[0]:
            self._send_packet(packet[:inner], now)


def _finish_checksum(view: memoryview, length: int) -> None:
    """Of the packet behind a virtio header, if that is left to us: where it belongs stands the pseudo-header's part, to
    which the rest is added (virtio 1.2, 5.1.6.2)."""
    if not view[0] & virtio_header.NEEDS_CSUM:
        return
    vnet = virtio_header.unpack(view)
    at = vnet.csum_start + vnet.csum_offset
    if at + 2 <= length:
        packet = view[VNET_BYTES : VNET_BYTES + length]
        packet[at : at + 2] = complement(packet[vnet.csum_start :]).to_bytes(2, "big")
