"""The rate model: a section's key without its photons.

The rate that theory gives the section fills its buffer with fresh random bits, the same at both ends, and the line is
judged by error counts drawn from the distribution that the photons would give. Nothing is sifted, reconciled or hashed:
for sections whose lasers outrun any simulation, and for networks of many sections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kms.sources.qkd import cow
from kms.sources.qkd.forecast import RATE_BLOCK_DETECTIONS, attacked_rate
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.clicks import expected
from kms.sources.qkd.link.settings import optimal_settings
from kms.sources.qkd.modes import AttackKind, Protocol
from kms.sources.qkd.post_processing.parameter_estimation import Judge, Judgement
from kms.sources.qkd.protocol import DistilledBlock, Entropy
from kms.sources.qkd.section import SliceOfWork, Verdict

ROUND_S = 0.1


@dataclass(frozen=True)
class _Line:
    """What the section is like while one attack lasts: rates per round are means."""

    secret_bps: float
    qber: float
    decoy_share: float
    signals: float  # detected in a round, in agreeing bases


class RateMaker:
    """A :class:`kms.sources.qkd.section.KeyMaker` that follows the rate model."""

    def __init__(
        self, channel: ChannelParameters, protocol: Protocol, entropy: Entropy, nature: np.random.Generator
    ) -> None:
        self._channel = channel
        self._protocol = protocol
        self._entropy = entropy
        self._nature = nature
        self.round_pulses = max(1, int(ROUND_S * channel.pulse_rate_hz))
        self._lines: dict[Attack, _Line] = {}
        quiet = self._line(NO_ATTACK)
        self._judge = Judge(channel.abort_qber, quiet.qber, quiet.decoy_share)
        self._owed_bits = 0.0

    def work(self, rounds: int, attack: Attack, keep: bool) -> SliceOfWork:
        line = self._line(attack)
        verdicts: list[Verdict] = []
        made = 0.0
        for _ in range(rounds):
            judgement = self._measure(line)
            objection = self._judge.objection(judgement)
            verdicts.append(Verdict(judgement, objection))
            if objection is None:
                made += line.secret_bps * self.round_pulses / self._channel.pulse_rate_hz
        blocks: tuple[DistilledBlock, ...] = ()
        if keep:
            self._owed_bits += made
            whole = int(self._owed_bits) // 8
            self._owed_bits -= 8 * whole
            if whole:
                bits = self._entropy(whole)
                blocks = (DistilledBlock(bits, bits, 0, 0, 0),)
        return SliceOfWork(tuple(verdicts), blocks, rounds * self.round_pulses)

    def _measure(self, line: _Line) -> Judgement:
        """As many disclosed bits as a judgement takes, and the detections that a round has."""
        sample = self._judge.sample_bits
        errors = int(self._nature.binomial(sample, line.qber))
        detected = int(line.signals)
        decoys = int(self._nature.binomial(detected, line.decoy_share))
        return Judgement(sample, errors, detected - decoys, decoys)

    def _line(self, attack: Attack) -> _Line:
        if attack not in self._lines:
            self._lines[attack] = self._cow(attack) if self._protocol is Protocol.COW else self._bb84(attack)
        return self._lines[attack]

    def _bb84(self, attack: Attack) -> _Line:
        settings = optimal_settings(self._channel, RATE_BLOCK_DETECTIONS)
        seen = expected(self._channel, settings, attack)
        signal, decoy = (float(x) for x in (settings.shares * seen.gains)[:2])
        both = signal + decoy
        agreeing = settings.key_basis**2 + (1 - settings.key_basis) ** 2
        return _Line(
            attacked_rate(self._channel, attack, RATE_BLOCK_DETECTIONS),
            seen.signal_qber,
            decoy / both if both > 0 else 0.0,
            both * agreeing * self.round_pulses,
        )

    def _cow(self, attack: Attack) -> _Line:
        """Only an intercept-resend attack shows here, and the zero-error attack would not: see the module cow."""
        qber = cow.qber(self._channel)
        if attack.kind is AttackKind.INTERCEPT_RESEND:
            qber = qber * (1 - attack.fraction / 2) + attack.fraction / 4
        return _Line(cow.rate_bps(self._channel, qber), qber, 0.0, 0.0)
