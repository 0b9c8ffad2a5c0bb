"""The hot loop from the socket to where packets go, many datagrams at a time.

One receive gives many datagrams (UDP_GRO), and several what has come; they are opened at once. What does not fit this
goes one by one, through the same session.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable

from kms.tunnel.dataplane.paths import recvmmsg
from kms.tunnel.dataplane.paths.batching import FEW, MAX_UDP_BYTES, SLOT_BYTES, TURN_S
from kms.tunnel.dataplane.paths.delivery import Delivery
from kms.tunnel.dataplane.paths.recvmmsg import ManyReceiver
from kms.tunnel.packet.esp import MIN_DATAGRAM_BYTES
from kms.tunnel.packet.frame_buffer import MAX_FRAMES, Frames, FrameShape, stretches
from kms.tunnel.protocol.inbound_traffic import InboundTraffic

_GRO_BYTES = 65536
_GRO_DATAGRAMS = 128  # in one receive at most: linux/udp.h, UDP_MAX_SEGMENTS since it was raised
_GATHERED_BYTES = 8 * MAX_UDP_BYTES  # what is received before it is opened, if so much has come
ROOM_BYTES = _GATHERED_BYTES + _GRO_BYTES
_SINGLES = 16  # so many datagrams of one length that come one by one are not the last
_GRO_SPACE = socket.CMSG_SPACE(4)


class InboundPath:
    """Moves packets from an open socket to their ``delivery``; ``report_error`` is told of errors that pass."""

    def __init__(
        self, delivery: Delivery, udp: socket.socket, traffic: InboundTraffic, report_error: Callable[[OSError], None]
    ) -> None:
        self._delivery, self._udp, self._traffic, self._report_error = delivery, udp, traffic, report_error
        self._frames = Frames(ROOM_BYTES, in_place=False)
        self._many: ManyReceiver | None = None  # while datagrams come one by one

    def read_socket(self, now: float) -> None:
        """Receive, open and deliver what is there."""
        until = time.monotonic() + TURN_S
        while self._receive_burst(now) and time.monotonic() < until:
            pass

    def _receive_burst(self, now: float) -> bool:
        """Datagrams of one length, until one of another comes; False when there is nothing more to receive."""
        if self._many is not None:
            return self._receive_many(self._many, now)
        view, at, size, more, singles = self._frames.view, 0, 0, True, 0
        # Never more than are opened at once.
        while at < _GATHERED_BYTES and at <= (MAX_FRAMES - _GRO_DATAGRAMS) * size:
            try:
                length, ancillary, _, _ = self._udp.recvmsg_into((view[at : at + _GRO_BYTES],), _GRO_SPACE)
            except BlockingIOError:
                more = False
                break
            except OSError as error:
                self._report_error(error)  # e.g. the peer's host said that nobody listens yet
                break
            step = int.from_bytes(ancillary[0][2], sys.byteorder) if ancillary else length
            if at and step != size:
                self._open(at, size, now)
                view[:length] = view[at : at + length]
                at = singles = 0
            size = step
            at += length
            singles += not ancillary
            if not size or length % size:
                break  # a last, shorter one: what comes next does not lie on a boundary
        if at or size:
            self._open(at, size, now)
        is_usual = size >= MIN_DATAGRAM_BYTES and singles * size == at
        if singles >= _SINGLES and is_usual and recvmmsg.IS_AVAILABLE:
            self._many = ManyReceiver(self._udp, self._frames.buffer, size, _GATHERED_BYTES)
        return more

    def _receive_many(self, many: ManyReceiver, now: float) -> bool:
        """Where datagrams come one by one: many with one call, for as long as all are of one length."""
        try:
            count = many.receive()
        except BlockingIOError:
            return False
        except OSError as error:
            self._report_error(error)
            return False
        if many.are_regular(count):
            self._open(count * many.size, many.size, now)
        else:
            self._many = None
            for data, step in [many.message(number) for number in range(count)]:
                self._frames.view[: len(data)] = data
                self._open(len(data), step, now)
        return count == many.capacity

    def _open(self, length: int, size: int, now: float) -> None:
        """The datagrams of ``size`` octets, the last perhaps shorter, at the beginning of the buffer."""
        if not size:
            self._open_one(b"", now)
            return
        view, count, done = self._frames.view, length // size, 0
        if _pays(count, size) and size >= MIN_DATAGRAM_BYTES and size % 4 == 0 and count <= MAX_FRAMES:
            self._open_frames(self._frames.shape(size), count, now)
            done = count * size
        for at in range(done, length, size):
            self._open_one(bytes(view[at : min(at + size, length)]), now)

    def _open_frames(self, frames: FrameShape, count: int, now: float) -> None:
        """All at once; where some were lost on the way, what stands between the gaps at once."""
        packets = self._traffic.open_frames(frames, count, now)
        if packets is not None:
            self._delivery.deliver(packets, frames.texts[:count])
            return
        for first, size in stretches(frames.words[:count]):
            # One stretch alone has been tried: among these there is one that must not pass.
            is_tried = size < count and _pays(size, frames.size)
            packets = self._traffic.open_frames(frames, size, now, first) if is_tried else None
            if packets is not None:
                self._delivery.deliver(packets, frames.texts[first : first + size])
            else:
                for row in frames.rows[first : first + size]:
                    self._open_one(row.tobytes(), now)

    def _open_one(self, datagram: bytes, now: float) -> None:
        packet = self._traffic.receive_datagram(datagram, now)
        if packet is not None:
            self._delivery.deliver_one(packet)


def _pays(count: int, size: int) -> bool:
    """Whether so many datagrams of ``size`` octets are sooner opened together than one by one: long ones are joined."""
    return count > FEW or (count > 1 and size > SLOT_BYTES // 2)
