"""A tap on every channel throughout: no plaintext of an encrypted connection, no counter used twice under one key."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from scripts.measure.capture.channels import PACKET_STATISTICS, SOL_PACKET, packet_socket
from scripts.measure.capture.frames import parse_frame
from scripts.measure.capture.plaintext_search import contains_marker
from scripts.measure.connection import TUNNEL_BASE_PORT

POLL_S = 0.2
ESP_HEAD = struct.Struct("!IIQ")  # SPI, sequence number (RFC 4303, 2.1 and 2.2); IV (RFC 4106, 3.1)


class Inspector:
    """Looks at frames one by one. ``secret`` must never be seen; ``clear`` is to be seen, or the tap proves nothing.

    The same packet is seen on every channel that it crosses, and twice where it was sent twice (1+1): a counter is
    reused only where the ciphertexts differ.
    """

    def __init__(self, secret: bytes, clear: bytes) -> None:
        self._secret, self._clear = secret, clear
        self._ciphertexts: dict[tuple[str, int, int], int] = {}
        self.frames = self.clear_frames = self.esp_packets = 0
        self.violations: list[str] = []

    def inspect(self, channel: str, frame: bytes) -> None:
        self.frames += 1
        if contains_marker(frame, self._secret):
            self._complain(f"the marker of encrypted connections is readable on {channel}")
        self.clear_frames += contains_marker(frame, self._clear)
        packet = parse_frame(frame)
        if packet is None or not packet.is_esp_in_udp or len(packet.payload) <= ESP_HEAD.size:
            return
        if packet.source_port != packet.destination_port or packet.destination_port < TUNNEL_BASE_PORT:
            return  # BFD between the switches, which repeats itself
        self.esp_packets += 1
        spi, _, iv = ESP_HEAD.unpack_from(packet.payload)
        key = (packet.destination, spi, iv)
        digest = hash(packet.payload)
        if self._ciphertexts.setdefault(key, digest) != digest:
            self._complain(f"on {channel}: SPI {spi:#010x} to {packet.destination} used counter {iv} for two packets")

    def _complain(self, what: str) -> None:
        if what not in self.violations:
            self.violations.append(what)


class Wiretap:
    """Feeds an inspector from all channels while the block is open; links may go down and come up meanwhile."""

    def __init__(self, interfaces: Mapping[str, str], inspector: Inspector) -> None:
        self._interfaces, self._inspector = interfaces, inspector
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="wiretap", daemon=True)
        self.dropped = 0

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
        self._close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(POLL_S):
                assert isinstance(key.fileobj, socket.socket)
                self._drain(key.data, key.fileobj)

    def _drain(self, channel: str, sock: socket.socket) -> None:
        for _ in range(256):
            try:
                frame = sock.recv(65535)
            except BlockingIOError:
                return
            except OSError:  # the interface has just gone down: said once, then the socket goes on when it is up
                return
            self._inspector.inspect(channel, frame)

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            _, drops = struct.unpack("=II", key.fileobj.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            self.dropped += drops
            key.fileobj.close()
        self._selector.close()
