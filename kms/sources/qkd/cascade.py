"""Reconciliation: Cascade (Brassard and Salvail 1994), block lengths after Martinez-Mateo et al. 2015 (option 8 there).

Bob corrects his string by asking Alice for parities of blocks. A block whose parities differ holds an odd number of
errors, one of which a binary search finds; every bit corrected makes odd again the blocks of earlier passes that it
lies in, and so uncovers errors that had hidden in pairs. All odd blocks of a pass are searched at once, in arrays.

Alice's string is behind :class:`ParityOracle`: what Bob learns of it is its answers, and each is counted as leaked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kms.sources.qkd.channel import Bits, Positions

PASSES = 14
_SMALLEST_ESTIMATE = 1e-4  # keeps the first blocks finite on a channel that seems free of errors
_FIRST_BLOCK = 8


class ParityOracle:
    """Alice: answers parities of ranges of her permuted string, and counts what that discloses.

    ``questions`` and ``answers`` are what went over the classical channel, for its authentication.
    """

    def __init__(self, bits: Bits) -> None:
        self._bits = bits
        self._prefixes: list[Bits] = []
        self.disclosed_bits = 0
        self.questions = bytearray()
        self.answers = bytearray()

    def begin_pass(self, permutation: Positions) -> None:
        """Agree on the order of the next pass; ``permutation`` is public."""
        self._prefixes.append(_prefix_parities(self._bits[permutation]))

    def parities(self, pass_number: int, starts: Positions, ends: Positions) -> Bits:
        """Parities of the ranges [start, end) of the string in that pass's order."""
        self.disclosed_bits += len(starts)
        prefix = self._prefixes[pass_number]
        answer = prefix[ends] ^ prefix[starts]
        self.questions += starts.tobytes() + ends.tobytes()
        self.answers += np.packbits(answer).tobytes()
        return answer


@dataclass
class _Pass:
    permutation: Positions
    place: Positions  # the permutation's inverse: where in this pass a bit stands
    block_length: int
    is_odd: Bits  # per block: whether Alice's and Bob's parities differ


def reconcile(bits: Bits, oracle: ParityOracle, qber: float, public_rng: np.random.Generator) -> tuple[Bits, int]:
    """Bob's string after correction and the number of errors corrected.

    ``qber`` is the estimate that sets the block lengths. Errors may remain, with small probability: a verification
    hash must follow.
    """
    corrected = bits.copy()
    count = len(corrected)
    errors = 0
    passes: list[_Pass] = []
    for block_length in _block_lengths(count, qber):
        permutation = public_rng.permutation(count).astype(np.int64) if passes else np.arange(count, dtype=np.int64)
        place = np.empty_like(permutation)
        place[permutation] = np.arange(count, dtype=np.int64)
        oracle.begin_pass(permutation)
        starts = np.arange(0, count, block_length, dtype=np.int64)
        ends = np.minimum(starts + block_length, count)
        own = _prefix_parities(corrected[permutation])
        is_odd = oracle.parities(len(passes), starts, ends) ^ own[ends] ^ own[starts]
        passes.append(_Pass(permutation, place, block_length, is_odd))
        while (pass_number := _pass_with_odd_blocks(passes)) is not None:
            wrong = _find_errors(corrected, passes[pass_number], pass_number, oracle)
            corrected[wrong] ^= 1
            errors += len(wrong)
            for each in passes:
                np.bitwise_xor.at(each.is_odd, each.place[wrong] // each.block_length, np.uint8(1))
    return corrected, errors


def _block_lengths(count: int, qber: float) -> list[int]:
    """2^ceil(log2(1/Q)), then four times that, then halves of the string."""
    first = max(_FIRST_BLOCK, 1 << int(np.ceil(np.log2(1 / max(qber, _SMALLEST_ESTIMATE)))))
    half = max(1, -(-count // 2))
    return [min(first, half), min(4 * first, half)] + [half] * (PASSES - 2)


def _pass_with_odd_blocks(passes: list[_Pass]) -> int | None:
    """The earliest pass that has one: its blocks are the shortest, so its search discloses least."""
    for number, each in enumerate(passes):
        if each.is_odd.any():
            return number
    return None


def _find_errors(bits: Bits, current: _Pass, number: int, oracle: ParityOracle) -> Positions:
    """One error of every odd block of a pass, by binary searches side by side."""
    own = _prefix_parities(bits[current.permutation])
    low = np.flatnonzero(current.is_odd).astype(np.int64) * current.block_length
    high = np.minimum(low + current.block_length, len(bits))
    while (open_ones := np.flatnonzero(high - low > 1)).size:
        start, end = low[open_ones], high[open_ones]
        middle = (start + end) // 2
        is_left = (oracle.parities(number, start, middle) ^ own[middle] ^ own[start]).astype(bool)
        high[open_ones] = np.where(is_left, middle, end)
        low[open_ones] = np.where(is_left, start, middle)
    return current.permutation[low]


def _prefix_parities(bits: Bits) -> Bits:
    """Element i is the parity of the first i bits."""
    prefix = np.zeros(len(bits) + 1, dtype=np.uint8)
    np.bitwise_xor.accumulate(bits, out=prefix[1:])
    return prefix
