"""ESP in UDP: RFC 4303 packets, RFC 3948 encapsulation, sealed by one of several suites (RFC 4106's by default).

The suites are those of :mod:`kms.tunnel.packet.cipher_suites`.

A datagram (the UDP payload) is::

    SPI (4) | sequence number (4) | IV (8) | ciphertext | ICV (16)
    ciphertext of: inner packet | padding (0 to 3) | pad length (1) | next header (1)

The nonce is salt (4) | IV (8), and the IV is the sequence counter, so that under one key no nonce comes twice as
long as no counter does. Both directions of a connection have keys of their own. With extended sequence numbers the
counter has 64 bits; of the number the lower half is sent, and the upper one enters the associated data (RFC 4106, 5).
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from struct import Struct

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag

from kms.tunnel.errors import AuthenticationFailed, Malformed, Replayed, SequenceExhausted
from kms.tunnel.packet.checksum import Octets
from kms.tunnel.packet.cipher_suites import DEFAULT, ICV_BYTES, SALT_BYTES, Suite
from kms.tunnel.packet.cipher_suites import IV_BYTES as IV_BYTES
from kms.tunnel.packet.ethernet import NEXT_HEADER_ETHERNET
from kms.tunnel.packet.frame_buffer import MAX_FRAMES, FrameShape, Words
from kms.tunnel.packet.ip_header import FAMILIES, IPV4
from kms.tunnel.packet.replay_window import ReplayWindow, whole_number

HEADER_BYTES = 8
TRAILER_BYTES = 2
ALIGNMENT = 4
NONCE_BYTES = SALT_BYTES + IV_BYTES
MIN_DATAGRAM_BYTES = HEADER_BYTES + IV_BYTES + ALIGNMENT + ICV_BYTES

NEXT_HEADER_NONE = 59  # a dummy packet (RFC 4303, 2.6)

MIN_SPI = 256  # 0 is the non-ESP marker, 1 to 255 are reserved (RFC 4303, 2.1)
_LOW = 2**32 - 1

UDP_HEADER_BYTES = 8
IPV4_HEADER_BYTES = 20

_PREFIX = Struct(">IIQ")  # SPI, sequence number, IV
_SEQUENCE = Struct(">I")
_EXTENDED = Struct(">IQ")  # SPI, extended sequence number


def _trailer(padding: int, next_header: int) -> bytes:
    """Padding octets 1, 2, 3 ... (RFC 4303, 2.4), their number and the next header."""
    return bytes(range(1, padding + 1)) + bytes((padding, next_header))


_TRAILERS = {
    next_header: tuple(_trailer(-(length + TRAILER_BYTES) % ALIGNMENT, next_header) for length in range(ALIGNMENT))
    for next_header in (*(family.next_header for family in FAMILIES), NEXT_HEADER_ETHERNET, NEXT_HEADER_NONE)
}
_PADDING = bytes(range(1, 256))


def datagram_bytes(inner_bytes: int) -> int:
    """The length of the datagram that carries an inner packet of ``inner_bytes``."""
    return (
        HEADER_BYTES + IV_BYTES + inner_bytes + TRAILER_BYTES + -(inner_bytes + TRAILER_BYTES) % ALIGNMENT + ICV_BYTES
    )


def inner_mtu(underlay_mtu: int) -> int:
    """The largest inner packet, in octets, whose datagram needs no fragmentation on an IPv4 underlay."""
    room = underlay_mtu - IPV4_HEADER_BYTES - UDP_HEADER_BYTES - HEADER_BYTES - IV_BYTES - ICV_BYTES
    return room // ALIGNMENT * ALIGNMENT - TRAILER_BYTES


class OutboundSa:
    """The sending half of a security association: seals packets, counting nonces."""

    __slots__ = ("_aead", "_associated", "_is_extended", "_max", "_nonces", "_salt", "_sequence", "spi", "suite")

    def __init__(self, spi: int, key: bytes, salt: bytes, *, suite: Suite = DEFAULT, sequence: int = 0) -> None:
        _check_keymat(spi, key, salt, suite)
        self.spi = spi
        self.suite = suite
        self._is_extended, self._max = suite.is_extended, suite.max_sequence
        self._aead = suite.make(key)
        self._salt = salt
        self._associated, self._nonces = _blocks(spi, salt, suite)
        self._sequence = sequence

    @property
    def sequence(self) -> int:
        """The last sequence number sent, 0 before the first."""
        return self._sequence

    def seal(self, packet: bytes, next_header: int = IPV4.next_header, pad_to: int = 0) -> bytes:
        """The datagram that carries ``packet``; SequenceExhausted instead of a second use of a nonce.

        A packet shorter than ``pad_to`` octets is filled up with zeros (RFC 4303, 2.7); its own length tells its end.
        """
        sequence = self._sequence + 1
        if sequence > self._max:
            raise SequenceExhausted("the SA has used up its sequence numbers")
        self._sequence = sequence
        prefix = _PREFIX.pack(self.spi, sequence & _LOW, sequence)
        if len(packet) < pad_to:
            packet = packet.ljust(pad_to, b"\0")
        plaintext = packet + _TRAILERS[next_header][len(packet) % ALIGNMENT]
        nonce = self._salt + prefix[HEADER_BYTES:]
        associated = _EXTENDED.pack(self.spi, sequence) if self._is_extended else prefix[:HEADER_BYTES]
        return prefix + self._aead.encrypt(nonce, plaintext, associated)

    def seal_frames(
        self, frames: FrameShape, count: int, inner_bytes: int, next_header: int = IPV4.next_header
    ) -> None:
        """Seal the inner packets of ``inner_bytes`` each that stand in the first ``count`` of ``frames``, where they
        are, as :meth:`seal` would one after the other; SequenceExhausted before anything has been done."""
        first = self._sequence + 1
        if first + count - 1 > self._max:
            raise SequenceExhausted("the SA has used up its sequence numbers")
        self._sequence += count
        associated, nonces = self._associated[:count], self._nonces[:count]
        words = frames.words[:count]
        if self._is_extended:
            associated[:, 1], associated[:, 2] = _halves(first, count)
            nonces[:, 1] = associated[:, 1]
        else:
            associated[:, 1] = first + _COUNT[:count]
        # Put into network order once; from here on it is copied.
        low = nonces[:, 2] = associated[:, -1]
        words[:, 0] = associated[:, 0]
        words[:, 1] = low
        words[:, 2:4] = nonces[:, 1:]
        frames.texts[:count, inner_bytes:] = _TRAILER_ARRAYS[next_header][inner_bytes % ALIGNMENT]
        plain, sealed = frames.parts(0, count)
        # In C from one end to the other: a loop written out costs as much as the cipher.
        deque(
            map(
                self._aead.encrypt_into,
                _pieces(NONCE_BYTES, count).unpack(nonces.data),
                plain,
                _pieces(associated.shape[1] * 4, count).unpack(associated.data),
                sealed,
            ),
            0,
        )


class InboundSa:
    """The receiving half of a security association: authenticates, refuses replays, opens."""

    __slots__ = ("_aead", "_associated", "_is_extended", "_max", "_nonces", "_salt", "_window", "spi", "suite")

    def __init__(self, spi: int, key: bytes, salt: bytes, *, replay_window: int, suite: Suite = DEFAULT) -> None:
        _check_keymat(spi, key, salt, suite)
        self.spi = spi
        self.suite = suite
        self._is_extended, self._max = suite.is_extended, suite.max_sequence
        self._aead = suite.make(key)
        self._salt = salt
        self._associated, self._nonces = _blocks(spi, salt, suite)
        self._window = ReplayWindow(replay_window)

    @property
    def highest_sequence(self) -> int:
        return self._window.top

    def number_of(self, low: int) -> int:
        """The sequence number of which ``low`` was sent."""
        return whole_number(self._window.top, self._window.size, low) if self._is_extended else low

    def open(self, datagram: bytes) -> tuple[bytes, int]:
        """The inner packet and its next header. Raises Malformed, Replayed or AuthenticationFailed."""
        if len(datagram) < MIN_DATAGRAM_BYTES:
            raise Malformed("shorter than the shortest ESP packet")
        (sequence,) = _SEQUENCE.unpack_from(datagram, 4)
        if self._is_extended:
            sequence = self.number_of(sequence)
            associated = _EXTENDED.pack(self.spi, sequence & 2**64 - 1)
        else:
            associated = datagram[:HEADER_BYTES]
        if not 0 < sequence <= self._max:
            raise Replayed("a number that no sender sends: 0, or beyond the last")
        self._window.check(sequence)
        nonce = self._salt + datagram[HEADER_BYTES : HEADER_BYTES + IV_BYTES]
        try:
            plaintext = self._aead.decrypt(nonce, datagram[HEADER_BYTES + IV_BYTES :], associated)
        except InvalidTag:
            raise AuthenticationFailed("the integrity check value does not fit") from None
        self._window.commit(sequence)
        return _strip_trailer(plaintext)

    def open_frames(self, frames: FrameShape, count: int, start: int = 0) -> tuple[Octets, int] | None:
        """The inner packets in ``count`` of ``frames``, from number ``start`` on, as rows, and their next header.

        None, and nothing has happened, unless they are consecutive, new, genuine and end alike: :meth:`open` then
        finds out what is the matter with which of them.
        """
        end = start + count
        heads = frames.words[start:end, :4].copy()  # far apart from each other: gone to once
        first = self.number_of(int(heads[0, 1]))
        if first == 0 or first + count - 1 > self._max or not self._window.is_ahead(first):
            return None
        associated, nonces = self._associated[:count], self._nonces[:count]
        if self._is_extended:
            associated[:, 1], associated[:, 2] = _halves(first, count)
            sent = associated[:, ::2]
        else:
            associated[:, 1] = first + _COUNT[:count]
            sent = associated
        if (heads[:, :2].view(np.uint32) != sent.view(np.uint32)).any():  # as they stand, in network order
            return None
        nonces[:, 1:] = heads[:, 2:]
        plain, sealed = frames.parts(start, end)
        opening = map(
            self._aead.decrypt_into,
            _pieces(NONCE_BYTES, count).unpack(nonces.data),
            sealed,
            _pieces(associated.shape[1] * 4, count).unpack(associated.data),
            plain,
        )
        try:
            deque(opening, 0)
        except InvalidTag:
            return None
        texts = frames.texts[start:end]
        padding, next_header = int(texts[0, -2]), int(texts[0, -1])
        length = texts.shape[1] - TRAILER_BYTES - padding
        trailer = np.frombuffer(_PADDING[:padding] + bytes((padding, next_header)), np.uint8)
        if length < 0 or (texts[:, length:] != trailer).any():
            return None
        self._window.commit_run(first, count)
        return texts[:, :length], next_header


_COUNT = np.arange(MAX_FRAMES, dtype=np.int64)
_COUNT_EXTENDED = np.arange(MAX_FRAMES, dtype=np.uint64)
_TRAILER_ARRAYS = {
    next_header: tuple(np.frombuffer(trailer, np.uint8) for trailer in trailers)
    for next_header, trailers in _TRAILERS.items()
}


@lru_cache(128)
def _pieces(octets: int, count: int) -> Struct:
    return Struct(f"{octets}s" * count)


def _halves(first: int, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Upper and lower halves of ``count`` extended numbers."""
    numbers = np.uint64(first) + _COUNT_EXTENDED[:count]
    return (numbers >> np.uint64(32)).view(np.int64), (numbers & np.uint64(_LOW)).view(np.int64)


def _blocks(spi: int, salt: bytes, suite: Suite) -> tuple[Words, Words]:
    """Room for the associated data and the nonces of many packets, with what never changes written in."""
    associated = np.zeros((MAX_FRAMES, 3 if suite.is_extended else 2), ">u4")
    nonces = np.zeros((MAX_FRAMES, 3), ">u4")
    associated[:, 0] = spi
    nonces[:, 0] = int.from_bytes(salt, "big")
    return associated, nonces


def _strip_trailer(plaintext: bytes) -> tuple[bytes, int]:
    padding = plaintext[-2]
    end = len(plaintext) - TRAILER_BYTES - padding
    if end < 0:
        raise Malformed("more padding than packet")
    if padding and plaintext[end : end + padding] != _PADDING[:padding]:
        raise Malformed("padding octets are not 1, 2, 3 ... (RFC 4303, 2.4)")
    return plaintext[:end], plaintext[-1]


def _check_keymat(spi: int, key: bytes, salt: bytes, suite: Suite) -> None:
    if not MIN_SPI <= spi <= 0xFFFF_FFFF:
        raise ValueError(f"SPI {spi} is reserved or longer than 32 bits")
    if len(key) != suite.key_bytes or len(salt) != SALT_BYTES:
        raise ValueError(f"{suite.name} for ESP takes {suite.key_bytes} octets of key and {SALT_BYTES} of salt")
