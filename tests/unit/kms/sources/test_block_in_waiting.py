"""What a section keeps until it has a block: half a million bits of each end, and all that was said aloud."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.sources.qkd.protocol import encoded_intensities, encoded_positions
from kms.sources.qkd.section import PackedBits

PIECES = st.lists(st.lists(st.integers(0, 1), max_size=40), max_size=8)


def heard_positions(said: bytes) -> list[int]:
    """What the other end makes of it."""
    width = said[0]
    gaps = [int.from_bytes(said[at : at + width], "little") for at in range(1, len(said), width)]
    return [sum(gaps[: i + 1]) for i in range(len(gaps))]


def heard_intensities(said: bytes, count: int) -> list[int]:
    bits = [byte >> 7 - place & 1 for byte in said for place in range(8)]
    half = len(bits) // 2
    return [2 * high + low for high, low in zip(bits[:count], bits[half : half + count], strict=True)]


@given(st.sets(st.integers(0, 1 << 40), max_size=30))
def test_the_other_end_learns_which_pulses_were_detected(positions: set[int]) -> None:
    rising = np.array(sorted(positions), dtype=np.int64)
    assert heard_positions(encoded_positions(rising)) == sorted(positions)


@pytest.mark.parametrize(("gap", "width"), [(255, 1), (256, 2), (65_535, 2), (65_536, 4), (1 << 32, 8)])
def test_a_distance_takes_as_many_bytes_as_the_widest_needs(gap: int, width: int) -> None:
    said = encoded_positions(np.array([0, gap, gap + 1], dtype=np.int64))
    assert len(said) == 1 + 3 * width
    assert heard_positions(said) == [0, gap, gap + 1]


@given(st.lists(st.integers(0, 2), max_size=40))
def test_the_other_end_learns_the_intensities(intensities: list[int]) -> None:
    said = encoded_intensities(np.array(intensities, dtype=np.uint8))
    assert heard_intensities(said, len(intensities)) == intensities


@given(PIECES)
def test_bits_that_wait_come_back_as_they_were(pieces: list[list[int]]) -> None:
    waiting = PackedBits()
    for piece in pieces:
        waiting.append(np.array(piece, dtype=np.uint8))
    assert waiting.bits().tolist() == [bit for piece in pieces for bit in piece]
