"""Capturing every frame on channels' interfaces in the root namespace, as an eavesdropper on the fibre would."""

from __future__ import annotations

import itertools
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kms.tunnel.cards.line import made_in
from scripts.testbed.taps import Tap

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS = 263, 6  # linux/if_packet.h
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER_BYTES = 16 << 20
POLL_S = 0.1
FRAMES_AT_A_TIME = 256


def socket_at(tap: Tap) -> socket.socket:
    """As :func:`packet_socket`, in the namespace of the tap. Raises OSError."""
    if tap.holder is None:
        return packet_socket(tap.interface)
    return made_in(Path(f"/proc/{tap.holder}/ns/net"), lambda: packet_socket(tap.interface))


def packet_socket(interface: str) -> socket.socket:
    """A socket that has every frame of ``interface``, without waiting. Raises OSError."""
    # Protocol 0 until it is bound: else it would collect from every interface in between.
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        sock.setblocking(False)
        sock.bind((interface, ETH_P_ALL))
    except OSError:
        sock.close()
        raise
    return sock


class ChannelCapture:
    """Hands every frame of several channels to ``take_frame(channel, frame)`` while the block is open.

    ``taps`` says where to listen for each channel: an interface, or a place elsewhere. One end is enough and counts
    every frame once: a packet socket has what an interface sends and what it receives. Links may go down and come
    up meanwhile. Frames are handed over by a thread of the capture, the last of them before the block ends; after
    it, ``dropped`` has how many the kernel could not hand over, by channel.
    """

    def __init__(self, taps: Mapping[str, str | Tap], take_frame: Callable[[str, bytes], None]) -> None:
        self.dropped: dict[str, int] = dict.fromkeys(taps, 0)
        self._taps = {name: Tap(at) if isinstance(at, str) else at for name, at in taps.items()}
        self._take_frame = take_frame
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._collect, name="channel-capture", daemon=True)

    def __enter__(self) -> Self:
        try:
            for channel, tap in self._taps.items():
                self._selector.register(socket_at(tap), selectors.EVENT_READ, channel)
        except OSError:
            self._close()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._take_ready(timeout_s=0)
        for channel, sock in self._sockets():
            _, drops = struct.unpack("=II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            self.dropped[channel] += drops
        self._close()

    def _collect(self) -> None:
        while not self._stop.is_set():
            self._take_ready(POLL_S, most=FRAMES_AT_A_TIME)

    def _take_ready(self, timeout_s: float, most: int | None = None) -> None:
        """What the sockets have, of each no more than ``most``, so that no busy channel keeps the others waiting."""
        for key, _ in self._selector.select(timeout_s):
            assert isinstance(key.fileobj, socket.socket)
            for _ in itertools.count() if most is None else range(most):
                try:
                    frame = key.fileobj.recv(65535)
                except OSError:  # no more; or the interface has just gone down, which is said once
                    break
                self._take_frame(key.data, frame)

    def _sockets(self) -> Iterator[tuple[str, socket.socket]]:
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            yield key.data, key.fileobj

    def _close(self) -> None:
        for _, sock in self._sockets():
            sock.close()
        self._selector.close()
