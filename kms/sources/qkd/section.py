"""One QKD section: two QKD nodes, the fibre between them, and the secret bits that either end has in store.

A section is paced by real time: :class:`PulseBudget` lets it send no more pulses than its laser could have sent. Work
(:class:`Distiller`, the costly part) is apart from what the key service looks at (:class:`Section`), so that the one
may run in a thread while the other answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from kms.errors import SectionStoppedError, ShortOfKeyError
from kms.sources.qkd.amplify import binary_entropy, sampling_margin
from kms.sources.qkd.channel import Bits, ChannelParameters
from kms.sources.qkd.protocol import (
    ABORT_QBER,
    AUTHENTICATION_BYTES,
    SAMPLE_FRACTION,
    DistilledBlock,
    Entropy,
    SiftedRound,
    Transcript,
    distil,
    run_round,
)

# Sifted bits per block, sample included: large, because the sampling margin shrinks with its root; small enough to
# be had from 30 km at 1 MHz within six seconds.
BLOCK_SIFTED_BITS = 1 << 17
ROUND_SIFTED_BITS = 2_000
MAX_ROUND_PULSES = 1 << 19
MAX_ROUND_S = 0.5  # of laser time, so that a slow section is probed as often as a fast one
BUDGET_DEPTH_S = 60.0
# An error rate is judged on at least this many disclosed bits: at 1.5 % true errors, eleven sigma from the abort.
JUDGED_SAMPLE_BITS = 200
# The error rate that is reported is that of about the last so many disclosed bits.
REPORTED_SAMPLE_BITS = 4_000
ASSUMED_RECONCILIATION_EFFICIENCY = 1.12  # for the rate forecast alone; blocks are cut by what really leaked


class PulseBudget:
    """How many pulses the laser may have sent that have not been simulated yet.

    Credit grows at the pulse rate and stops growing at BUDGET_DEPTH_S seconds' worth: beyond that the link's key store
    would be full and the key of those pulses thrown away. ``prefill_s`` models the time the link ran before we did.
    """

    def __init__(self, rate_hz: float, prefill_s: float, now: float) -> None:
        self._rate_hz = rate_hz
        self._limit = rate_hz * max(BUDGET_DEPTH_S, prefill_s)
        self._credit = rate_hz * prefill_s
        self._counted_to = now

    def available(self, now: float) -> int:
        # A clock that steps back earns nothing and owes nothing.
        earned = max(0.0, now - self._counted_to) * self._rate_hz
        self._credit = min(self._limit, self._credit + earned)
        self._counted_to = max(now, self._counted_to)
        return int(self._credit)

    def spend(self, pulses: int) -> None:
        if pulses > self._credit:
            raise ValueError("more pulses than the laser has sent")
        self._credit -= pulses


class KeyBuffer:
    """Secret bits of both ends, in the same order, used from the front and never twice. Sizes are bytes."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._alice = bytearray()
        self._bob = bytearray()

    def __len__(self) -> int:
        return len(self._alice)

    def put(self, alice: bytes, bob: bytes) -> None:
        """Append as much as there is room for."""
        room = self.capacity_bytes - len(self)
        self._alice += alice[:room]
        self._bob += bob[:room]

    def take(self, count: int) -> tuple[bytes, bytes]:
        """The first ``count`` bytes of either end, gone from the buffer; ShortOfKeyError when there are fewer."""
        if count > len(self):
            raise ShortOfKeyError("not enough key in a QKD section")
        taken = bytes(self._alice[:count]), bytes(self._bob[:count])
        del self._alice[:count], self._bob[:count]
        return taken


@dataclass(frozen=True)
class SliceOfWork:
    """What a distiller brought home: error counts to judge the line by, and finished blocks."""

    judgements: tuple[tuple[int, int], ...]  # (disclosed bits, errors in them), each enough to judge by
    blocks: tuple[DistilledBlock, ...]
    pulses: int


class Distiller:
    """Runs BB84 rounds and distils them. All its state is its own: safe to run in a thread of its own."""

    def __init__(self, channel: ChannelParameters, entropy: Entropy, nature: np.random.Generator) -> None:
        self._channel = channel
        self._entropy = entropy
        self._nature = nature
        wanted = 2 * ROUND_SIFTED_BITS / channel.click_probability
        self.round_pulses = max(1, int(min(wanted, MAX_ROUND_PULSES, MAX_ROUND_S * channel.pulse_rate_hz)))
        # The first authentication keys are installed with the devices, the same at both ends.
        preshared = entropy(AUTHENTICATION_BYTES)
        self._authentication_keys = preshared, preshared
        self._judged = [0, 0]
        self._begin_block()

    def work(self, rounds: int, intercepted_fraction: float, keep: bool) -> SliceOfWork:
        """Run ``rounds`` rounds. With ``keep`` their bits go into blocks, else only the error rate is of use."""
        judgements: list[tuple[int, int]] = []
        blocks: list[DistilledBlock] = []
        for _ in range(rounds):
            transcript = self._transcript if keep else Transcript()
            sifted = run_round(
                self.round_pulses, self._channel, intercepted_fraction, self._entropy, self._nature, transcript
            )
            judgement = self._judge(sifted)
            if judgement is not None:
                judgements.append(judgement)
                if is_abort(*judgement):
                    self._begin_block()
                    continue
            if keep:
                self._collect(sifted)
                if self._sifted_bits >= BLOCK_SIFTED_BITS:
                    blocks.append(self._finish_block())
        return SliceOfWork(tuple(judgements), tuple(blocks), rounds * self.round_pulses)

    def _judge(self, sifted: SiftedRound) -> tuple[int, int] | None:
        self._judged[0] += sifted.sample_bits
        self._judged[1] += sifted.sample_errors
        if self._judged[0] < JUDGED_SAMPLE_BITS:
            return None
        judgement = self._judged[0], self._judged[1]
        self._judged = [0, 0]
        return judgement

    def _begin_block(self) -> None:
        self._alice: list[Bits] = []
        self._bob: list[Bits] = []
        self._sifted_bits = self._sample_bits = self._sample_errors = 0
        self._transcript = Transcript()

    def _collect(self, sifted: SiftedRound) -> None:
        self._alice.append(sifted.alice)
        self._bob.append(sifted.bob)
        self._sifted_bits += len(sifted.alice) + sifted.sample_bits
        self._sample_bits += sifted.sample_bits
        self._sample_errors += sifted.sample_errors

    def _finish_block(self) -> DistilledBlock:
        alice, bob = np.concatenate(self._alice), np.concatenate(self._bob)
        sample, transcript = (self._sample_bits, self._sample_errors), self._transcript
        self._begin_block()
        block = distil(alice, bob, *sample, self._authentication_keys, self._entropy, transcript)
        if not block.secret_bits:
            return block
        # The head of each block authenticates the next one: debited here, so it never reaches the buffer.
        cut = AUTHENTICATION_BYTES
        self._authentication_keys = block.alice[:cut], block.bob[:cut]
        return DistilledBlock(
            block.alice[cut:], block.bob[cut:], block.reconciled_bits, block.corrected_errors, block.leaked_bits
        )


def is_abort(sample_bits: int, errors: int) -> bool:
    return errors > ABORT_QBER * sample_bits


class SectionState(Enum):
    STARTING = "starting"  # not judged yet
    ACTIVE = "active"
    STOPPED = "stopped"  # error rate above the abort threshold


@dataclass
class Section:
    """A section as the key service sees it: its name and ends, state, measured error rate, and buffer."""

    section_id: str
    a: str  # Alice's node
    b: str  # Bob's node
    channel: ChannelParameters
    buffer: KeyBuffer = field(repr=False)
    state: SectionState = SectionState.STARTING
    intercepted_fraction: float = 0.0
    failed_blocks: int = 0
    on_taken: Callable[[], None] | None = field(default=None, repr=False)
    _samples: deque[tuple[int, int]] = field(default_factory=deque, repr=False)

    def absorb(self, work: SliceOfWork) -> None:
        """Judge the line by what was measured, and store the key that came out."""
        for judgement in work.judgements:
            stopped = is_abort(*judgement)
            state = SectionState.STOPPED if stopped else SectionState.ACTIVE
            if state is not self.state:
                # The error rate before the change says nothing about now.
                self._samples.clear()
                self.state = state
            self._samples.append(judgement)
            while sum(bits for bits, _ in self._samples) > REPORTED_SAMPLE_BITS and len(self._samples) > 1:
                self._samples.popleft()
        for block in work.blocks:
            if block.secret_bits:
                self.buffer.put(block.alice, block.bob)
            else:
                self.failed_blocks += 1

    @property
    def is_usable(self) -> bool:
        return self.state is SectionState.ACTIVE

    @property
    def qber(self) -> float | None:
        """Error rate of the latest disclosed samples; None before the first."""
        bits = sum(bits for bits, _ in self._samples)
        return sum(errors for _, errors in self._samples) / bits if bits else None

    @property
    def skr_bps(self) -> float:
        """Secret bits per second that the section can sustain at the error rate that it measures; 0 when stopped."""
        if not self.is_usable or self.qber is None:
            return 0.0
        return forecast_rate(self.channel, self.qber)

    @property
    def available_bits(self) -> int:
        """Secret bits in store that may be used now."""
        return 8 * len(self.buffer) if self.is_usable else 0

    def take(self, count: int) -> tuple[bytes, bytes]:
        """``count`` bytes of key at Alice's and at Bob's node, used up by this call."""
        if not self.is_usable:
            raise SectionStoppedError(f"QKD section {self.section_id} is {self.state.value}")
        try:
            taken = self.buffer.take(count)
        except ShortOfKeyError:
            raise ShortOfKeyError(f"QKD section {self.section_id} has too little key left") from None
        if self.on_taken is not None:
            self.on_taken()
        return taken


def forecast_rate(channel: ChannelParameters, qber: float) -> float:
    """Expected secret bits per second at an error rate: that of :func:`distil`, less its authentication."""
    kept = BLOCK_SIFTED_BITS * (1 - SAMPLE_FRACTION)
    margin = sampling_margin(int(kept), int(BLOCK_SIFTED_BITS * SAMPLE_FRACTION))
    secret = kept * (1 - binary_entropy(qber + margin) - ASSUMED_RECONCILIATION_EFFICIENCY * binary_entropy(qber))
    secret -= 8 * AUTHENTICATION_BYTES
    blocks_per_second = channel.pulse_rate_hz * channel.click_probability / 2 / BLOCK_SIFTED_BITS
    return max(0.0, secret * blocks_per_second)
