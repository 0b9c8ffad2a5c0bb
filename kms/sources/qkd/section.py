"""One QKD section: two QKD nodes, the fibre between them, and the secret bits that either end has in store.

A section is paced by real time: see :mod:`kms.sources.qkd.pulse_budget`. Work (:class:`KeyMaker`, the costly part) is
apart from what the key service looks at (:class:`Section`), so that the one may run in a thread while the other
answers. What makes the key is a :class:`KeyMaker`: the full simulation here, or the rate model of
:mod:`kms.sources.qkd.rate_model`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol as Interface

import numpy as np

from kms.errors import ExchangeError, SectionStoppedError, ShortOfKeyError
from kms.sources.qkd.forecast import (
    AUTHENTICATION_BYTES,
    BLOCK_DETECTIONS,
    KEYS_PER_BLOCK,
    RATE_BLOCK_DETECTIONS,
    sustainable_bps,
)
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import Bits, ChannelParameters
from kms.sources.qkd.link.clicks import expected
from kms.sources.qkd.link.monte_carlo import QuantumChannel
from kms.sources.qkd.link.settings import optimal_settings
from kms.sources.qkd.modes import Model, Protocol, StopReason
from kms.sources.qkd.post_processing import authentication
from kms.sources.qkd.post_processing.authentication import OneTimeKeys
from kms.sources.qkd.post_processing.parameter_estimation import Judge, Judgement
from kms.sources.qkd.protocol import DistilledBlock, Entropy, SiftedRound, Tally, Transcript, distil, run_round

ROUND_DETECTIONS = 25_000
# A section's first block is smaller: its key comes in half the time, and somebody may be waiting for it.
FIRST_BLOCK_DETECTIONS = 1 << 18
MAX_ROUND_S = 0.5  # of laser time, so that a slow section is probed as often as a fast one
# Authentication keys of so many blocks are installed with the devices: after as many failures in a row none is left.
RESERVED_BLOCKS = 16
# The error rate that is reported is that of about the last so many disclosed bits.
REPORTED_SAMPLE_BITS = 10_000


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


class PackedBits:
    """Bits that wait, eight to a byte: each section has half a million of each end before it has a block."""

    def __init__(self) -> None:
        self._pieces: list[tuple[bytes, int]] = []

    def append(self, bits: Bits) -> None:
        self._pieces.append((np.packbits(bits).tobytes(), len(bits)))

    def bits(self) -> Bits:
        """All of them in their order, a byte each."""
        pieces = [np.unpackbits(np.frombuffer(packed, np.uint8), count=count) for packed, count in self._pieces]
        return np.concatenate([np.empty(0, np.uint8), *pieces])


@dataclass(frozen=True)
class Verdict:
    """A judgement of the line and the objection to it, None when there is none."""

    judgement: Judgement
    objection: StopReason | None = None


@dataclass(frozen=True)
class SliceOfWork:
    """What a key maker brought home: how the line was judged, and finished blocks.

    ``secret_bps`` is the rate that it keeps up; None: that of our theory.
    """

    verdicts: tuple[Verdict, ...]
    blocks: tuple[DistilledBlock, ...]
    pulses: int
    secret_bps: float | None = None


class KeyMaker(Interface):
    """What makes a section's key, in rounds of ``round_pulses``. Its state is its own: safe in a thread of its own."""

    round_pulses: int

    def work(self, rounds: int, attack: Attack, keep: bool) -> SliceOfWork:
        """Run ``rounds`` rounds. With ``keep`` their bits go into blocks, else only the judgements are of use."""
        ...


class Distiller:
    """The full simulation: runs BB84 rounds and distils them in blocks, the first of ``first_block`` detections."""

    def __init__(
        self,
        channel: ChannelParameters,
        entropy: Entropy,
        nature: np.random.Generator,
        first_block: int = FIRST_BLOCK_DETECTIONS,
    ) -> None:
        self._parameters = channel
        self._settings = optimal_settings(channel, BLOCK_DETECTIONS)
        self._entropy = entropy
        self._nature = nature
        self._attack = NO_ATTACK
        self._line = QuantumChannel(channel, self._settings)
        quiet = expected(channel, self._settings)
        self._judge = Judge.of(channel, self._settings, quiet)
        wanted = ROUND_DETECTIONS / max(quiet.detections, 1e-12)
        self.round_pulses = max(1, int(min(wanted, MAX_ROUND_S * channel.pulse_rate_hz)))
        # The first authentication keys are installed with the devices, the same at both ends.
        preshared = entropy(RESERVED_BLOCKS * AUTHENTICATION_BYTES)
        self._full_stock = len(preshared) // authentication.ONE_TIME_KEY_BYTES
        self._authentication_keys = OneTimeKeys(preshared), OneTimeKeys(preshared)
        self._judged = Tally()
        self._block_detections = first_block
        self._begin_block()

    def work(self, rounds: int, attack: Attack, keep: bool) -> SliceOfWork:
        if attack != self._attack:
            self._attack, self._line = attack, QuantumChannel(self._parameters, self._settings, attack)
        verdicts: list[Verdict] = []
        blocks: list[DistilledBlock] = []
        for _ in range(rounds):
            transcript = self._transcript if keep else Transcript()
            sifted = run_round(self.round_pulses, self._line, self._settings, self._entropy, self._nature, transcript)
            verdict = self._judge_line(sifted.tally)
            if verdict is not None:
                verdicts.append(verdict)
                if verdict.objection is not None:
                    self._begin_block()
                    continue
            if keep:
                self._collect(sifted)
                if self._detections >= self._block_detections:
                    blocks.append(self._finish_block())
        return SliceOfWork(tuple(verdicts), tuple(blocks), rounds * self.round_pulses)

    def _judge_line(self, tally: Tally) -> Verdict | None:
        self._judged += tally
        judged = self._judged
        signal_bits = int(judged.test[0])
        if signal_bits < self._judge.sample_bits:
            return None
        detected = judged.key + judged.test
        judgement = Judgement(signal_bits, int(judged.test_errors[0]), int(detected[0]), int(detected[1]))
        self._judged = Tally()
        return Verdict(judgement, self._judge.objection(judgement) or self._objection_of_stock())

    def _objection_of_stock(self) -> StopReason | None:
        """Without keys for the tags of a block whoever is on the line could pass for the other end."""
        left = min(len(keys) for keys in self._authentication_keys)
        return None if left >= KEYS_PER_BLOCK else StopReason.NO_AUTHENTICATION_KEY

    def _begin_block(self) -> None:
        self._alice, self._bob = PackedBits(), PackedBits()
        self._detections = 0
        self._tally = Tally()
        self._transcript = Transcript()

    def _collect(self, sifted: SiftedRound) -> None:
        self._alice.append(sifted.alice)
        self._bob.append(sifted.bob)
        self._detections += sifted.detections
        self._tally += sifted.tally

    def _finish_block(self) -> DistilledBlock:
        alice, bob = self._alice.bits(), self._bob.bits()
        tally, transcript = self._tally, self._transcript
        self._block_detections = BLOCK_DETECTIONS
        self._begin_block()
        try:
            block = distil(
                alice, bob, tally, self._settings, self._parameters.abort_qber, self._authentication_keys,
                self._entropy, transcript,
            )  # fmt: skip
        except (ExchangeError, ShortOfKeyError) as error:
            return DistilledBlock(b"", b"", len(alice), 0, 0, reason=str(error))
        if not block.secret_bits:
            return block
        # The head of each block authenticates later ones: debited here, so it never reaches the buffer.
        cut = self._missing_authentication_bytes(len(block.alice))
        for stock, end in zip(self._authentication_keys, (block.alice, block.bob), strict=True):
            stock.put(end[:cut])
        return replace(block, alice=block.alice[cut:], bob=block.bob[cut:])

    def _missing_authentication_bytes(self, made: int) -> int:
        """How much of a block of ``made`` bytes goes into the stock: what it used itself, and of what failed blocks
        used up as much as leaves half of it for others.
        """
        size = authentication.ONE_TIME_KEY_BYTES
        missing = self._full_stock - len(self._authentication_keys[0])
        return size * min(missing, max(KEYS_PER_BLOCK, made // 2 // size))


class SectionState(Enum):
    STARTING = "starting"  # not judged yet
    ACTIVE = "active"
    STOPPED = "stopped"  # the line is not what it should be: too many errors, or too few decoys
    RESTARTING = "restarting"  # it is again, and the devices find each other: for `restart_s` seconds


class Samples:
    """The latest judgements of a line, and their sums: the error rate is asked for far more often than it changes."""

    def __init__(self) -> None:
        self._judgements: deque[Judgement] = deque()
        self._bits = self._errors = 0

    def append(self, judgement: Judgement) -> None:
        self._judgements.append(judgement)
        self._bits += judgement.sample_bits
        self._errors += judgement.errors

    def keep_latest(self, bits: int) -> None:
        """Forget the oldest while there are more than so many bits and more than one judgement."""
        while self._bits > bits and len(self._judgements) > 1:
            oldest = self._judgements.popleft()
            self._bits -= oldest.sample_bits
            self._errors -= oldest.errors

    def clear(self) -> None:
        self._judgements.clear()
        self._bits = self._errors = 0

    @property
    def error_rate(self) -> float | None:
        """None without a single bit."""
        return self._errors / self._bits if self._bits else None


@dataclass
class Section:
    """A section as the key service sees it: its name and ends, state, measured error rate, and buffer."""

    section_id: str
    a: str  # Alice's node
    b: str  # Bob's node
    channel: ChannelParameters
    buffer: KeyBuffer = field(repr=False)
    model: Model = Model.FULL
    protocol: Protocol = Protocol.BB84
    extension: str = ""  # whose model makes its key; empty: ours
    is_vouched: bool = True  # the operator says that the extension's key is secret
    restart_s: float = 0.0  # how long its devices take to make key again after whatever stopped them
    refusals: Counter[str] = field(default_factory=Counter)  # of the extension, by code
    state: SectionState = SectionState.STARTING
    stop_reason: StopReason | None = None
    attack: Attack = NO_ATTACK
    is_cut: bool = False  # no light gets through: nothing is measured until it does
    is_awaited: bool = False  # somebody asked for key that it had not got yet: until its next block
    on_taken: Callable[[], None] | None = field(default=None, repr=False)
    _samples: Samples = field(default_factory=Samples, repr=False)
    _kept_up_bps: float | None = None

    def absorb(self, work: SliceOfWork) -> None:
        """Take note of how the line was judged, and store the key that came out."""
        if self.is_dark:
            return  # what was under way when the light went out
        self._kept_up_bps = work.secret_bps
        for verdict in work.verdicts:
            if verdict.objection is None and self.state is SectionState.STOPPED and self.restart_s:
                self.restart()
                return
            state = SectionState.ACTIVE if verdict.objection is None else SectionState.STOPPED
            if state is not self.state:
                # The error rate before the change says nothing about now.
                self._samples.clear()
                self.state = state
            self.stop_reason = verdict.objection
            self._samples.append(verdict.judgement)
            self._samples.keep_latest(REPORTED_SAMPLE_BITS)
        if work.blocks:
            self.is_awaited = False
        for block in work.blocks:
            if block.secret_bits:
                self.buffer.put(block.alice, block.bob)

    def cut(self) -> None:
        """The fibre is cut: both ends notice at once, as nothing is detected any more."""
        self.is_cut, self.state, self.stop_reason = True, SectionState.STOPPED, StopReason.NO_LIGHT
        self._samples.clear()

    def fail(self, reason: StopReason = StopReason.FAULT) -> None:
        """Its devices do not work: nobody judges the line, so nothing is to be taken until somebody does again."""
        self.state, self.stop_reason = SectionState.STOPPED, reason
        self._samples.clear()

    def refuse(self, code: str) -> None:
        """What its extension said, or did instead, is not taken."""
        self.refusals[code] += 1
        self.fail(StopReason.EXTENSION)

    def mend(self) -> None:
        """Light gets through again; whether it is good is for the next judgement to say."""
        if self.is_cut:
            self.is_cut = False
            (self.restart if self.restart_s else self.started)()

    def restart(self) -> None:
        """What stopped it is over: its devices begin to find each other again, and make no key until they have."""
        self.fail(StopReason.RESTARTING)
        self.state = SectionState.RESTARTING

    def started(self) -> None:
        """The devices are there; the next judgement says whether the line is good."""
        self.state, self.stop_reason = SectionState.STARTING, None

    @property
    def is_stopped(self) -> bool:
        """It gives nothing, as is known: other than one that has not been judged yet."""
        return self.state in (SectionState.STOPPED, SectionState.RESTARTING)

    @property
    def is_restarting(self) -> bool:
        return self.state is SectionState.RESTARTING

    @property
    def is_dark(self) -> bool:
        """Nothing is measured: there is no light, or there are no devices to look at it yet."""
        return self.is_cut or self.is_restarting

    def ask_for_key(self) -> None:
        """It is to make key before others that nobody waits for."""
        self.is_awaited = True
        if self.on_taken is not None:
            self.on_taken()

    @property
    def is_usable(self) -> bool:
        return self.state is SectionState.ACTIVE

    @property
    def is_secure(self) -> bool:
        """Whether there is a proof behind the section's protocol (see :mod:`kms.sources.qkd.cow`), and it is our
        simulation that makes the key, or what the operator vouches for.
        """
        return self.protocol is not Protocol.COW and self.is_vouched

    @property
    def qber(self) -> float | None:
        """Error rate of the latest disclosed samples; None before the first."""
        return self._samples.error_rate

    @property
    def skr_bps(self) -> float:
        """Secret bits per second that the section can sustain at the error rate that it measures; 0 when stopped."""
        if not self.is_usable or self.qber is None:
            return 0.0
        if self._kept_up_bps is not None:
            return self._kept_up_bps
        block = BLOCK_DETECTIONS if self.model is Model.FULL else RATE_BLOCK_DETECTIONS
        return sustainable_bps(self.channel, self.protocol, block, self.qber)

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
