"""Reconciliation: Cascade (Brassard and Salvail 1994), block lengths much as in Martinez-Mateo et al. 2015, option 8.

Bob corrects his string by asking Alice for parities of blocks. A block whose parities differ holds an odd number of
errors, one of which a binary search finds; every bit corrected makes odd again the blocks of earlier passes that it
lies in, and so uncovers errors that had hidden in pairs.

Up to 64 frames go through it side by side: word i of an array holds bit i of every frame, so that one operation on
words permutes, sums or compares all of them; and all odd blocks of all frames are searched at once. A block's parity is
the difference of two elements of the array of prefix parities.

Alice's string is behind :class:`ParityOracle`: what Bob learns of it is its answers, and each is counted as leaked.

Bob speaks too: his questions show which blocks differ. All that he says follows from Alice's answers and from where the
two strings differ (Tupkary and Luetkenhaus, arXiv 2307.00576), so the eavesdropper is taken to know every place of an
error. That costs nothing as long as errors come to zeros and to ones alike;
:func:`kms.sources.qkd.post_processing.parameter_estimation.tell_bits_apart` checks it, and what it may overlook is
counted as leaked as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kms.sources.qkd.link.channel import Bits, Positions

# Frames of this length: shorter ones pay more for the late passes, longer ones keep pairs of errors hidden.
FRAME_BITS = 16384
MOST_FRAMES = 64
# The late passes ask for the parity of half a frame; each halves the chance that a pair of errors stays hidden.
PASSES = 22
_SMALLEST_ESTIMATE = 1e-4  # keeps the first blocks finite on a channel that seems free of errors
_FIRST_BLOCK = 8

Words = NDArray[np.uint64]
_ONE = np.uint64(1)


class ParityOracle:
    """Alice: answers parities of ranges of her permuted frames, and counts what that discloses.

    ``questions`` and ``answers`` are what went over the classical channel, for its authentication.
    """

    def __init__(self, bits: Bits) -> None:
        self._groups = [_interleave(group) for group in _groups(bits)]
        self._prefixes: list[Words] = []
        self._frames = 0
        self.disclosed_bits = 0
        self.questions = bytearray()
        self.answers = bytearray()

    def begin_group(self, number: int) -> None:
        """Go on to the frames of that number, with no passes yet."""
        self._words, self._frames = self._groups[number]
        self._prefixes = []

    def begin_pass(self, permutation: Positions) -> None:
        """Agree on the order of the next pass; ``permutation`` is public."""
        self._prefixes.append(_prefix_parities(self._words[permutation]))

    def block_parities(self, pass_number: int, starts: Positions, ends: Positions) -> Words:
        """Parities of the ranges [start, end) in that pass's order, of every frame."""
        prefix = self._prefixes[pass_number]
        answer = prefix[ends] ^ prefix[starts]
        self.disclosed_bits += len(starts) * self._frames
        self.answers += answer.tobytes()
        return np.asarray(answer)

    def parities(self, pass_number: int, frames: Words, starts: Positions, ends: Positions) -> Bits:
        """Parities of ranges, each of one frame."""
        prefix = self._prefixes[pass_number]
        answer = (((prefix[ends] ^ prefix[starts]) >> frames) & _ONE).astype(np.uint8)
        self.disclosed_bits += len(starts)
        self.questions += frames.astype(np.uint8).tobytes() + starts.tobytes() + ends.tobytes()
        self.answers += np.packbits(answer).tobytes()
        return answer


@dataclass
class _Pass:
    permutation: Positions
    place: Positions  # the permutation's inverse: where in this pass a bit stands
    block_length: int
    odd: Words  # per block and frame: whether Alice's and Bob's parities differ


def reconcile(bits: Bits, oracle: ParityOracle, qber: float, public_rng: np.random.Generator) -> tuple[Bits, int]:
    """Bob's string after correction and the number of errors corrected.

    ``qber`` is the estimate that sets the block lengths. Errors may remain, with small probability: a verification
    hash must follow.
    """
    corrected: list[Bits] = []
    errors = 0
    for number, group in enumerate(_groups(bits)):
        oracle.begin_group(number)
        words, frames = _interleave(group)
        errors += _reconcile_group(words, frames, oracle, qber, public_rng)
        corrected.append(_separate(words, frames, len(group)))
    return np.concatenate(corrected) if corrected else bits.copy(), errors


def _groups(bits: Bits) -> list[Bits]:
    """The string in pieces of at most MOST_FRAMES frames, of about equal length."""
    pieces = -(-len(bits) // (FRAME_BITS * MOST_FRAMES))
    return np.array_split(bits, pieces) if pieces else []


def _reconcile_group(
    words: Words, frames: int, oracle: ParityOracle, qber: float, public_rng: np.random.Generator
) -> int:
    """Correct Bob's ``words`` in place; how many errors that were."""
    count = len(words)
    errors = 0
    passes: list[_Pass] = []
    whole = np.zeros(1, dtype=np.uint64)  # Alice's parity of each frame, known after the first pass
    for block_length in _block_lengths(count, qber):
        permutation = public_rng.permutation(count).astype(np.int64) if passes else np.arange(count, dtype=np.int64)
        place = np.empty_like(permutation)
        place[permutation] = np.arange(count, dtype=np.int64)
        oracle.begin_pass(permutation)
        starts = np.arange(0, count, block_length, dtype=np.int64)
        ends = np.minimum(starts + block_length, count)
        if passes:
            # The last block's parity follows from the others' and the frame's: it is not asked for.
            hers = oracle.block_parities(len(passes), starts[:-1], ends[:-1])
            hers = np.append(hers, whole ^ np.bitwise_xor.reduce(hers))
        else:
            hers = oracle.block_parities(0, starts, ends)
            whole = np.bitwise_xor.reduce(hers)
        own = _prefix_parities(words[permutation])
        passes.append(_Pass(permutation, place, block_length, hers ^ own[ends] ^ own[starts]))
        while (pass_number := _pass_with_odd_blocks(passes)) is not None:
            wrong, frame = _find_errors(words, passes[pass_number], pass_number, oracle)
            mask = _ONE << frame
            np.bitwise_xor.at(words, wrong, mask)
            errors += len(wrong)
            for each in passes:
                np.bitwise_xor.at(each.odd, each.place[wrong] // each.block_length, mask)
    return errors


def _block_lengths(count: int, qber: float) -> list[int]:
    """The power of two below 1/Q, then four times that, then halves of the frame.

    The power above, which the paper has, costs a tenth more of Shannon's limit here, where sub-blocks are not reused.
    """
    first = max(_FIRST_BLOCK, 1 << int(np.floor(np.log2(1 / max(qber, _SMALLEST_ESTIMATE)))))
    half = max(1, -(-count // 2))
    return [min(first, half), min(4 * first, half)] + [half] * (PASSES - 2)


def _pass_with_odd_blocks(passes: list[_Pass]) -> int | None:
    """The earliest pass that has one: its blocks are the shortest, so its search discloses least."""
    for number, each in enumerate(passes):
        if each.odd.any():
            return number
    return None


def _find_errors(words: Words, current: _Pass, number: int, oracle: ParityOracle) -> tuple[Positions, Words]:
    """One error of every odd block of a pass, by binary searches side by side: places and frames."""
    own = _prefix_parities(words[current.permutation])
    odd = np.flatnonzero(current.odd)
    which, frame = np.nonzero(np.unpackbits(_bytes(current.odd[odd]), axis=1, bitorder="little"))
    frames = frame.astype(np.uint64)
    low = odd[which].astype(np.int64) * current.block_length
    high = np.minimum(low + current.block_length, len(words))
    while (open_ones := np.flatnonzero(high - low > 1)).size:
        start, end, shift = low[open_ones], high[open_ones], frames[open_ones]
        middle = (start + end) // 2
        mine = ((own[middle] ^ own[start]) >> shift) & _ONE
        is_left = oracle.parities(number, shift, start, middle) != mine
        high[open_ones] = np.where(is_left, middle, end)
        low[open_ones] = np.where(is_left, start, middle)
    return current.permutation[low], frames


def _prefix_parities(words: Words) -> Words:
    """Element i is the parity of the first i words."""
    prefix = np.zeros(len(words) + 1, dtype=np.uint64)
    np.bitwise_xor.accumulate(words, out=prefix[1:])
    return prefix


def _interleave(bits: Bits) -> tuple[Words, int]:
    """Frames side by side, one bit of each in a word; neighbours go to different frames. And how many frames."""
    frames = min(MOST_FRAMES, max(1, len(bits) // FRAME_BITS + 1))
    length = -(-len(bits) // frames)
    table = np.zeros((length, MOST_FRAMES), dtype=np.uint8)
    padded = np.zeros(length * frames, dtype=np.uint8)
    padded[: len(bits)] = bits
    table[:, :frames] = padded.reshape(length, frames)
    return np.packbits(table, axis=1, bitorder="little").view("<u8").ravel().astype(np.uint64), frames


def _separate(words: Words, frames: int, count: int) -> Bits:
    """The inverse of :func:`_interleave`."""
    return np.unpackbits(_bytes(words), axis=1, bitorder="little")[:, :frames].ravel()[:count]


def _bytes(words: Words) -> NDArray[np.uint8]:
    return words.astype("<u8").view(np.uint8).reshape(-1, 8)
