"""Sealed datagrams to a socket, many of one length with one call (UDP_SEGMENT). What a full socket refuses waits."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable

from kms.tunnel.dataplane.paths.batching import SOL_UDP, UDP_SEGMENT
from kms.tunnel.protocol.counters import Counters


class DatagramSender:
    """Sends on an open socket; ``report_error`` is told of errors that pass."""

    def __init__(self, udp: socket.socket, counters: Counters, report_error: Callable[[OSError], None]) -> None:
        self._udp, self._counters, self._report_error = udp, counters, report_error
        self._can_segment = True
        self._stalled: list[tuple[bytes | memoryview, int]] = []  # what the full socket did not take

    @property
    def is_stalled(self) -> bool:
        """The socket is full: whoever brings packets is to wait until it has room, so that senders feel it."""
        return bool(self._stalled)

    def send_frames(self, datagrams: memoryview, size: int) -> None:
        """Datagrams of ``size`` octets each, side by side, after those that wait."""
        if len(datagrams) > size and self._can_segment:
            if self._stalled:
                self._stalled.append((bytes(datagrams), size))
            else:
                self._send(datagrams, size)
        else:
            for at in range(0, len(datagrams), size):
                self.send(datagrams[at : at + size])

    def send(self, datagram: bytes | memoryview) -> None:
        """Send one datagram, after those that wait."""
        if self._stalled:
            self._stalled.append((bytes(datagram), 0))
        else:
            self._send(datagram, 0)

    def resume(self) -> None:
        """The socket has room: send what waits."""
        stalled, self._stalled = self._stalled, []
        for datagrams, size in stalled:
            if self._stalled:
                self._stalled.append((datagrams, size))
            else:
                self._send(datagrams, size)

    def _send(self, datagrams: bytes | memoryview, size: int) -> None:
        """One datagram, or with ``size`` one call for many of that length; what a full socket does not take waits."""
        for _ in range(2):
            try:
                if size:
                    self._udp.sendmsg((datagrams,), ((SOL_UDP, UDP_SEGMENT, struct.pack("=H", size)),))
                else:
                    self._udp.send(datagrams)
            except BlockingIOError:
                self._stalled.append((bytes(datagrams), size))
            except ConnectionRefusedError:
                continue  # that was about an earlier datagram; this one has not been sent yet
            except OSError as error:
                if size and error.errno in (errno.EIO, errno.EINVAL):
                    # Linux before 6.11, on an interface that does not compute checksums.
                    self._can_segment = False
                    self.send_frames(memoryview(datagrams), size)
                    return
                self._counters.tx_socket_drops += -(-len(datagrams) // size) if size else 1
                self._report_error(error)
            return
        self._counters.tx_socket_drops += -(-len(datagrams) // size) if size else 1
