"""Judging the line by what is disclosed: the error rate against the abort threshold, and the decoys' share.

Both rules have a stated false-alarm rate: the probability that a judgement stops a line on which nobody is. It rests on
Chernoff's bound in its sharp form: among n trials of probability p, a share of a or more (a > p), or of a or less
(a < p), comes with a probability of at most exp(-n D(a || p)), D being the relative entropy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.link.clicks import Expected
from kms.sources.qkd.link.settings import SourceSettings
from kms.sources.qkd.modes import StopReason

FALSE_ALARM = 1e-9
LEAST_SAMPLE_BITS = 200
# A line that is expected near the threshold cannot be judged with confidence; waiting longer for it helps nobody.
MOST_SAMPLE_BITS = 20_000


@dataclass(frozen=True)
class Judgement:
    """Counts since the last one: disclosed bits of signal pulses and errors in them; detected signals and decoys."""

    sample_bits: int
    errors: int
    signals: int = 0
    decoys: int = 0


@dataclass(frozen=True)
class Judge:
    """The two rules for one section. ``expected_qber`` and ``decoy_share`` (of signals and decoys together) are what
    its line would show with nobody on it."""

    abort_qber: float
    expected_qber: float
    decoy_share: float
    false_alarm: float = FALSE_ALARM

    @classmethod
    def of(cls, channel: ChannelParameters, settings: SourceSettings, expected: Expected) -> Judge:
        signal, decoy = (float(x) for x in (settings.shares * expected.gains)[:2])
        return cls(channel.abort_qber, expected.signal_qber, decoy / (signal + decoy) if signal > 0 else 0.0)

    @property
    def sample_bits(self) -> int:
        """How many disclosed bits a judgement takes, so that a quiet line passes the threshold too rarely to matter."""
        if self.expected_qber >= self.abort_qber:
            return MOST_SAMPLE_BITS
        needed = math.log(1 / self.false_alarm) / _relative_entropy(self.abort_qber, self.expected_qber)
        return min(MOST_SAMPLE_BITS, max(LEAST_SAMPLE_BITS, math.ceil(needed)))

    def objection(self, judgement: Judgement) -> StopReason | None:
        """Why no key may be made of this, or None."""
        if judgement.errors > self.abort_qber * judgement.sample_bits:
            return StopReason.TOO_MANY_ERRORS
        detected = judgement.signals + judgement.decoys
        if detected and 0 < self.decoy_share < 1:
            share = judgement.decoys / detected
            if detected * _relative_entropy(share, self.decoy_share) > math.log(2 / self.false_alarm):
                return StopReason.WRONG_DECOY_SHARE
        return None


# What the places of a block's errors say of its bits at most, when tell_bits_apart has found nothing.
ERROR_PATTERN_BITS = math.ceil(math.log2(2 / FALSE_ALARM))


def tell_bits_apart(errors_at_ones: int, errors: int) -> bool:
    """Whether errors prefer ones or zeros, so that knowing their places (arXiv 2307.00576) is knowing key.

    Of n errors, a share a at ones, the places say n (1 - h(a)) = n D(a || 1/2) / ln 2 bits of the string. Errors that
    come to both alike show more than ERROR_PATTERN_BITS with a probability below FALSE_ALARM.
    """
    if not errors:
        return False
    return errors * _relative_entropy(errors_at_ones / errors, 0.5) > math.log(2 / FALSE_ALARM)


def _relative_entropy(a: float, p: float) -> float:
    """D(a || p) in nats; infinite where p rules a out."""
    total = 0.0
    for observed, assumed in ((a, p), (1 - a, 1 - p)):
        if observed > 0:
            if assumed <= 0:
                return math.inf
            total += observed * math.log(observed / assumed)
    return total
