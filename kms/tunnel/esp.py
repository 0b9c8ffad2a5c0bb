"""ESP with AES-256-GCM in UDP: RFC 4303 packets, RFC 4106 cipher, RFC 3948 encapsulation.

A datagram (the UDP payload) is::

    SPI (4) | sequence number (4) | IV (8) | ciphertext | ICV (16)
    ciphertext of: inner packet | padding (0 to 3) | pad length (1) | next header (1)

The nonce is salt (4) | IV (8), and the IV is the sequence counter, so that under one key no nonce comes twice as
long as no counter does. Both directions of a connection have keys of their own.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from struct import Struct

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kms.tunnel.checksum import Octets
from kms.tunnel.errors import AuthenticationFailed, Malformed, Replayed, SequenceExhausted
from kms.tunnel.frames import MAX_FRAMES, FrameShape, Words
from kms.tunnel.replay import ReplayWindow

HEADER_BYTES = 8
IV_BYTES = 8
ICV_BYTES = 16
TRAILER_BYTES = 2
ALIGNMENT = 4
KEY_BYTES = 32
SALT_BYTES = 4
NONCE_BYTES = SALT_BYTES + IV_BYTES
MIN_DATAGRAM_BYTES = HEADER_BYTES + IV_BYTES + ALIGNMENT + ICV_BYTES

NEXT_HEADER_IPV4 = 4
NEXT_HEADER_IPV6 = 41

MIN_SPI = 256  # 0 is the non-ESP marker, 1 to 255 are reserved (RFC 4303, 2.1)
MAX_SEQUENCE = 2**32 - 1
SOFT_SEQUENCE = 2**31  # a new key is asked for here, long before the last number

UDP_HEADER_BYTES = 8
IPV4_HEADER_BYTES = 20

_PREFIX = Struct(">IIQ")  # SPI, sequence number, IV
_SEQUENCE = Struct(">I")


def _trailer(padding: int, next_header: int) -> bytes:
    """Padding octets 1, 2, 3 ... (RFC 4303, 2.4), their number and the next header."""
    return bytes(range(1, padding + 1)) + bytes((padding, next_header))


_TRAILERS = {
    next_header: tuple(_trailer(-(length + TRAILER_BYTES) % ALIGNMENT, next_header) for length in range(ALIGNMENT))
    for next_header in (NEXT_HEADER_IPV4, NEXT_HEADER_IPV6)
}
_PADDING = bytes(range(1, 256))


def _associated_data(prefix: bytes) -> bytes:
    """SPI | sequence number (RFC 4106, 5).

    With extended sequence numbers this becomes SPI | high 32 bits | low 32 bits, the high ones never being sent:
    here, in the window's arithmetic and in the counter's limit lies all that ESN changes.
    """
    return prefix[:HEADER_BYTES]


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

    __slots__ = ("_aead", "_associated", "_nonces", "_salt", "_sequence", "spi")

    def __init__(self, spi: int, key: bytes, salt: bytes, *, sequence: int = 0) -> None:
        _check_keymat(spi, key, salt)
        self.spi = spi
        self._aead = AESGCM(key)
        self._salt = salt
        self._associated, self._nonces = _blocks(spi, salt)
        self._sequence = sequence

    @property
    def sequence(self) -> int:
        """The last sequence number sent, 0 before the first."""
        return self._sequence

    def seal(self, packet: bytes, next_header: int = NEXT_HEADER_IPV4) -> bytes:
        """The datagram that carries ``packet``; SequenceExhausted instead of a second use of a nonce."""
        sequence = self._sequence + 1
        if sequence > MAX_SEQUENCE:
            raise SequenceExhausted("the SA has used up its sequence numbers")
        self._sequence = sequence
        prefix = _PREFIX.pack(self.spi, sequence, sequence)
        plaintext = packet + _TRAILERS[next_header][len(packet) % ALIGNMENT]
        nonce = self._salt + prefix[HEADER_BYTES:]
        return prefix + self._aead.encrypt(nonce, plaintext, _associated_data(prefix))

    def seal_frames(
        self, frames: FrameShape, count: int, inner_bytes: int, next_header: int = NEXT_HEADER_IPV4
    ) -> None:
        """Seal the inner packets of ``inner_bytes`` each that stand in the first ``count`` of ``frames``, where they
        are, as :meth:`seal` would one after the other; SequenceExhausted before anything has been done."""
        first = self._sequence + 1
        if first + count - 1 > MAX_SEQUENCE:
            raise SequenceExhausted("the SA has used up its sequence numbers")
        self._sequence += count
        numbers = first + _COUNT[:count]
        words = frames.words[:count]
        words[:, 0] = self.spi
        words[:, 1] = words[:, 3] = numbers
        words[:, 2] = 0
        frames.texts[:count, inner_bytes:] = _TRAILER_ARRAYS[next_header][inner_bytes % ALIGNMENT]
        associated, nonces = self._associated[:count], self._nonces[:count]
        associated[:, 1] = nonces[:, 2] = numbers
        # In C from one end to the other: a loop written out costs as much as the cipher.
        deque(
            map(
                self._aead.encrypt_into,
                _pieces(NONCE_BYTES, count).unpack(nonces.data),
                frames.plain[:count],
                _pieces(HEADER_BYTES, count).unpack(associated.data),
                frames.sealed[:count],
            ),
            0,
        )


class InboundSa:
    """The receiving half of a security association: authenticates, refuses replays, opens."""

    __slots__ = ("_aead", "_associated", "_nonces", "_salt", "_window", "spi")

    def __init__(self, spi: int, key: bytes, salt: bytes, *, replay_window: int) -> None:
        _check_keymat(spi, key, salt)
        self.spi = spi
        self._aead = AESGCM(key)
        self._salt = salt
        self._associated, self._nonces = _blocks(spi, salt)
        self._window = ReplayWindow(replay_window)

    @property
    def highest_sequence(self) -> int:
        return self._window.top

    def open(self, datagram: bytes) -> tuple[bytes, int]:
        """The inner packet and its next header. Raises Malformed, Replayed or AuthenticationFailed."""
        if len(datagram) < MIN_DATAGRAM_BYTES:
            raise Malformed("shorter than the shortest ESP packet")
        (sequence,) = _SEQUENCE.unpack_from(datagram, 4)
        if sequence == 0:
            raise Replayed("a sender never sends sequence number 0")
        self._window.check(sequence)
        nonce = self._salt + datagram[HEADER_BYTES : HEADER_BYTES + IV_BYTES]
        try:
            plaintext = self._aead.decrypt(nonce, datagram[HEADER_BYTES + IV_BYTES :], _associated_data(datagram))
        except InvalidTag:
            raise AuthenticationFailed("the integrity check value does not fit") from None
        self._window.commit(sequence)
        return _strip_trailer(plaintext)

    def open_frames(self, frames: FrameShape, count: int) -> tuple[Octets, int] | None:
        """The inner packets in the first ``count`` of ``frames`` as rows, and their next header.

        None, and nothing has happened, unless they are consecutive, new, genuine and end alike: :meth:`open` then
        finds out what is the matter with which of them.
        """
        words = frames.words[:count]
        first = int(words[0, 1])
        if first == 0 or first + count - 1 > MAX_SEQUENCE or not self._window.is_ahead(first):
            return None
        associated, nonces = self._associated[:count], self._nonces[:count]
        associated[:, 1] = first + _COUNT[:count]
        if (words[:, :2] != associated).any():
            return None
        nonces[:, 1:] = words[:, 2:4]
        opening = map(
            self._aead.decrypt_into,
            _pieces(NONCE_BYTES, count).unpack(nonces.data),
            frames.sealed[:count],
            _pieces(HEADER_BYTES, count).unpack(associated.data),
            frames.plain[:count],
        )
        try:
            deque(opening, 0)
        except InvalidTag:
            return None
        texts = frames.texts[:count]
        padding, next_header = int(texts[0, -2]), int(texts[0, -1])
        end = texts.shape[1] - TRAILER_BYTES - padding
        trailer = np.frombuffer(_PADDING[:padding] + bytes((padding, next_header)), np.uint8)
        if end < 0 or (texts[:, end:] != trailer).any():
            return None
        self._window.commit_run(first, count)
        return texts[:, :end], next_header


_COUNT = np.arange(MAX_FRAMES, dtype=np.int64)
_TRAILER_ARRAYS = {
    next_header: tuple(np.frombuffer(trailer, np.uint8) for trailer in trailers)
    for next_header, trailers in _TRAILERS.items()
}


@cache
def _pieces(octets: int, count: int) -> Struct:
    return Struct(f"{octets}s" * count)


def _blocks(spi: int, salt: bytes) -> tuple[Words, Words]:
    """Room for the associated data and the nonces of many packets, with what never changes written in."""
    associated, nonces = np.zeros((MAX_FRAMES, 2), ">u4"), np.zeros((MAX_FRAMES, 3), ">u4")
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


def _check_keymat(spi: int, key: bytes, salt: bytes) -> None:
    if not MIN_SPI <= spi <= 0xFFFF_FFFF:
        raise ValueError(f"SPI {spi} is reserved or longer than 32 bits")
    if len(key) != KEY_BYTES or len(salt) != SALT_BYTES:
        raise ValueError(f"AES-256-GCM for ESP takes {KEY_BYTES} octets of key and {SALT_BYTES} of salt")
