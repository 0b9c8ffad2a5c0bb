"""Looks at every captured frame: no plaintext of an encrypted connection, no counter used twice under one key."""

from __future__ import annotations

import struct
from collections.abc import Collection

from scripts.measure.capture.frames import is_between_cards, parse_frame
from scripts.measure.capture.plaintext_search import contains_marker
from scripts.measure.connection import TUNNEL_BASE_PORT

ESP_HEAD = struct.Struct("!IIQ")  # SPI, sequence number (RFC 4303, 2.1 and 2.2); IV (RFC 4106, 3.1)


class PlaintextMonitor:
    """Looks at frames one by one. ``secret`` must never be seen; ``clear`` must be seen, or the capture proves nothing.

    The same packet is seen on every channel that it crosses, and twice where it was sent twice (1+1): a counter is
    reused only where the ciphertexts differ. ``sealed`` are lines between two cards, on which neither may be seen.
    """

    def __init__(self, secret: bytes, clear: bytes, sealed: Collection[str] = ()) -> None:
        self._secret, self._clear, self._sealed = secret, clear, frozenset(sealed)
        self._ciphertexts: dict[tuple[str, int, int], int] = {}
        self.frames = self.clear_frames = self.esp_packets = self.line_packets = 0
        self.violations: list[str] = []

    def inspect(self, channel: str, frame: bytes) -> None:
        self.frames += 1
        if contains_marker(frame, self._secret):
            kind = "sealed line " if channel in self._sealed else ""
            self._complain(f"the marker of encrypted connections is readable on {kind}{channel}")
        if contains_marker(frame, self._clear):
            if channel in self._sealed:
                self._complain(f"the marker of unencrypted connections is readable on sealed line {channel}")
            else:
                self.clear_frames += 1
        packet = parse_frame(frame)
        if packet is None or not packet.is_esp_in_udp or len(packet.payload) <= ESP_HEAD.size:
            return
        if channel in self._sealed and is_between_cards(packet):
            self.line_packets += 1
        elif packet.source_port != packet.destination_port or packet.destination_port < TUNNEL_BASE_PORT:
            return  # BFD between the switches, which repeats itself
        else:
            self.esp_packets += 1
        spi, _, iv = ESP_HEAD.unpack_from(packet.payload)
        key = (packet.destination, spi, iv)
        digest = hash(packet.payload)
        if self._ciphertexts.setdefault(key, digest) != digest:
            self._complain(f"on {channel}: SPI {spi:#010x} to {packet.destination} used counter {iv} for two packets")

    def _complain(self, what: str) -> None:
        if what not in self.violations:
            self.violations.append(what)
