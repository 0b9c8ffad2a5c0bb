"""Capturing every frame on channels' interfaces in the root namespace, as an eavesdropper on the fibre would."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS = 263, 6  # linux/if_packet.h
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER_BYTES = 16 << 20
POLL_S = 0.1


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
    """Frames of several channels while the block is open; ``interfaces`` names the one to listen on for each.

    One end is enough and counts every frame once: a tap sees what an interface sends and what it receives.

    ``frames`` maps a channel id to its frames; ``dropped`` to how many the kernel could not hand over. Read both after
    the block.
    """

    def __init__(self, interfaces: Mapping[str, str]) -> None:
        self.frames: dict[str, list[bytes]] = {channel: [] for channel in interfaces}
        self.dropped: dict[str, int] = dict.fromkeys(interfaces, 0)
        self._interfaces = interfaces
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._collect, name="channel-capture", daemon=True)

    def __enter__(self) -> Self:
        try:
            for channel, name in self._interfaces.items():
                self._selector.register(packet_socket(name), selectors.EVENT_READ, channel)
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
        self._drain()
        for key in self._selector.get_map().values():
            assert isinstance(key.fileobj, socket.socket)
            _, drops = struct.unpack("=II", key.fileobj.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            self.dropped[key.data] += drops
        self._close()

    def _collect(self) -> None:
        while not self._stop.is_set():
            self._drain(POLL_S)

    def _drain(self, timeout_s: float = 0) -> None:
        for key, _ in self._selector.select(timeout_s):
            assert isinstance(key.fileobj, socket.socket)
            try:
                while True:
                    self.frames[key.data].append(key.fileobj.recv(65535))
            except BlockingIOError:
                continue

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
