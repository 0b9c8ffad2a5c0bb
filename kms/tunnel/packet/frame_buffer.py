"""Equally long datagrams side by side in one buffer, and views of their parts.

Views are made once for each length and kept: to slice a buffer anew for every packet took longer than to encrypt it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kms.tunnel.packet.checksum import Octets
from kms.tunnel.packet.room import Room, make_room

Words = npt.NDArray[np.uint32]

PREFIX_BYTES = 16  # SPI, sequence number and IV
ICV_BYTES = 16

MAX_FRAMES = 512
_MAX_LENGTHS = 16  # as many shapes are kept; a peer that sends every length there is costs time, not memory


class FrameShape:
    """How a buffer divides into datagrams of ``size`` octets, a multiple of 4 as all that carry ESP are.

    ``rows`` are the whole datagrams, ``words`` the same as big-endian 32-bit words, ``texts`` the places for what the
    ciphertexts say: in the same buffer for sending, in another one for receiving, there without gaps.
    """

    __slots__ = ("_plain", "_sealed", "_views", "rows", "size", "texts", "words")

    def __init__(self, size: int, sealed: Room, plain: Room | None) -> None:
        self.size = size
        count = min(MAX_FRAMES, len(sealed) // size)
        text = size - PREFIX_BYTES - ICV_BYTES
        self.rows: Octets = np.frombuffer(sealed, np.uint8, count * size).reshape(count, size)
        self.words: Words = self.rows.view(">u4")
        if plain is None:
            self.texts: Octets = self.rows[:, PREFIX_BYTES : PREFIX_BYTES + text]
            places = memoryview(sealed), PREFIX_BYTES, size
        else:
            self.texts = np.frombuffer(plain, np.uint8, count * text).reshape(count, text)
            places = memoryview(plain), 0, text
        self._views = memoryview(sealed), *places
        self._plain: list[memoryview] = []
        self._sealed: list[memoryview] = []

    def parts(self, start: int, end: int) -> tuple[list[memoryview], list[memoryview]]:
        """Of the datagrams from number ``start`` to before ``end``: the places of the texts, and those of ciphertext
        and ICV."""
        if end > len(self._plain):
            self._view(end)
        return self._plain[start:end], self._sealed[start:end]

    def _view(self, end: int) -> None:
        """Most lengths come a few times; only a stream's need many views."""
        sealed, plain, first, step = self._views
        text = self.texts.shape[1]
        for number in range(len(self._plain), end):
            at, place = number * self.size + PREFIX_BYTES, first + number * step
            self._sealed.append(sealed[at : at + text + ICV_BYTES])
            self._plain.append(plain[place : place + text])


def stretches(words: Words) -> list[tuple[int, int]]:
    """Where in datagrams' ``words`` stand those with consecutive sequence numbers: first and how many, of each."""
    numbers = words[:, 1].astype(np.uint32)
    starts = [0, *(np.flatnonzero(numbers[1:] - numbers[:-1] != 1) + 1).tolist()]
    return [(start, stop - start) for start, stop in zip(starts, [*starts[1:], len(numbers)], strict=True)]


class Frames:
    """A buffer and its shapes."""

    def __init__(self, capacity: int, *, in_place: bool) -> None:
        self.buffer = make_room(capacity)
        self.view = memoryview(self.buffer)
        self.octets: Octets = np.frombuffer(self.buffer, np.uint8)
        self._plain = None if in_place else make_room(capacity)
        self._shapes: dict[int, FrameShape] = {}

    def shape(self, size: int) -> FrameShape:
        """For datagrams of ``size`` octets, a multiple of 4 and at least the shortest ESP packet's."""
        shape = self._shapes.get(size)
        if shape is None:
            if len(self._shapes) == _MAX_LENGTHS:
                self._shapes.clear()
            shape = self._shapes[size] = FrameShape(size, self.buffer, self._plain)
        return shape
