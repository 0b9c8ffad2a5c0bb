"""A QKD section whose key somebody else's code makes, in the place of our simulation and of the rate model.

Nothing of what it says is taken as it is: forecasts must be possible, both ends must have the same bits, no more of
them than forecast, and key is given out only once the errors that are disclosed with it have been judged. Whether it is
secret cannot be tried: sections are marked NOT SECURE unless the operator vouches for it.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from kms.errors import KeyMakerError
from kms.sources.extension_source import Asked
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.modes import Protocol
from kms.sources.qkd.post_processing.parameter_estimation import Judge, Judgement
from kms.sources.qkd.protocol import DistilledBlock, Entropy
from kms.sources.qkd.rate_model import ROUND_S
from kms.sources.qkd.section import SliceOfWork, Verdict
from scripts.extensions.api import AttackView, Block, Forecast, LineView
from scripts.extensions.errors import ExtensionError

MOST_BPS = 1_000_000.0
MOST_STEP_BITS = 32_000  # what an answer holds, and the digits of the entropy for it
SPARE_ENTROPY = 64  # octets
ROUNDING_BITS = 8.0
LEAST_REPEATED = 16  # octets: fewer may be the same by chance
LONGEST_UNJUDGED_S = 60.0
AVERAGED_S = 60.0  # so long key may also be saved up for a large block


def line_view(section: str, a: str, b: str, protocol: Protocol, channel: ChannelParameters) -> LineView:
    """A section as its extension sees it."""
    return LineView(section, a, b, protocol.value, **asdict(channel))


class ExtensionMaker:
    """A :class:`kms.sources.qkd.section.KeyMaker` that asks an extension, and raises KeyMakerError.

    All of one extension work in one thread: what is asked for a step is about the section asked about before.
    """

    def __init__(self, worker: Asked, line: LineView, entropy: Entropy) -> None:
        self._worker, self._line, self._entropy = worker, line, entropy
        self.round_pulses = max(1, int(ROUND_S * line.pulse_rate_hz))
        self._attack = NO_ATTACK
        self._last = b""
        self._begin()

    def work(self, rounds: int, attack: Attack, keep: bool) -> SliceOfWork:
        if attack != self._attack:
            self._attack = attack
            self._begin()
        try:
            return self._work(rounds, keep)
        except KeyMakerError:
            self._begin()
            raise

    def _begin(self) -> None:
        """Forget what has not been judged, and how fast it was."""
        self._held: list[DistilledBlock] = []
        self._sample_bits = self._errors = 0
        self._unjudged_s = 0.0
        self._allowed_bits = ROUNDING_BITS
        self._made_bits = self._made_s = 0.0

    def _work(self, rounds: int, keep: bool) -> SliceOfWork:
        quiet = self.forecast(NO_ATTACK)
        forecast = quiet if self._attack == NO_ATTACK else self.forecast(self._attack)
        judge = Judge(self._line.abort_qber, quiet.qber, decoy_share=0.0)
        pulses = rounds * self.round_pulses
        work_s = pulses / self._line.pulse_rate_hz
        steps = max(1, math.ceil(forecast.secret_bps * work_s / MOST_STEP_BITS))
        verdicts: list[Verdict] = []
        blocks: list[DistilledBlock] = []
        for _ in range(steps):
            block = self._step(work_s / steps, forecast)
            if keep and block.secret_bits:
                self._held.append(block)
            if self._sample_bits >= judge.sample_bits:
                judgement = Judgement(self._sample_bits, self._errors)
                objection = judge.objection(judgement)
                verdicts.append(Verdict(judgement, objection))
                if objection is None:
                    blocks += self._held
                self._held = []
                self._sample_bits = self._errors = 0
                self._unjudged_s = 0.0
            elif self._unjudged_s > LONGEST_UNJUDGED_S:
                raise KeyMakerError("unjudged", f"{self._sample_bits} disclosed bits in {self._unjudged_s:.0f} s, "
                                                f"of {judge.sample_bits} that a judgement takes")  # fmt: skip
        kept_up_bps = min(forecast.secret_bps, self._made_bits / self._made_s)
        return SliceOfWork(tuple(verdicts), tuple(blocks), pulses, kept_up_bps)

    def forecast(self, attack: Attack) -> Forecast:
        """What it says that the section will give, if that can be."""
        said: Forecast = self._ask("rate", self._line, AttackView(attack.kind.value, attack.fraction))
        most_bps = min(MOST_BPS, self._line.pulse_rate_hz)
        if not 0 <= said.secret_bps <= most_bps:
            raise KeyMakerError("forecast", f"{said.secret_bps:g} bit/s is not in 0..{most_bps:g}")
        if not 0 <= said.qber <= 1:
            raise KeyMakerError("forecast", f"an error rate of {said.qber:g}")
        return said

    def _step(self, dt_s: float, forecast: Forecast) -> DistilledBlock:
        due_bits = forecast.secret_bps * dt_s
        said: Block = self._ask("step", dt_s, self._entropy(math.ceil(due_bits / 8) + SPARE_ENTROPY).hex())
        try:
            alice, bob = bytes.fromhex(said.alice), bytes.fromhex(said.bob)
        except ValueError:
            raise KeyMakerError("malformed", "its bits are not in hexadecimal digits") from None
        saved_bits = max(AVERAGED_S, dt_s) * forecast.secret_bps + ROUNDING_BITS
        self._allowed_bits = min(saved_bits, self._allowed_bits + due_bits)
        bits = 8 * len(alice)
        if alice != bob:
            raise KeyMakerError("ends", "the two ends have different bits")
        if bits > self._allowed_bits:
            raise KeyMakerError("too-much", f"{bits} bits, where its forecast allows {self._allowed_bits:.0f}")
        if alice == self._last and len(alice) >= LEAST_REPEATED:
            raise KeyMakerError("repeated", "the same bits as in the step before")
        if not 0 <= said.errors <= said.sample_bits <= self._line.pulse_rate_hz * dt_s + 1:
            raise KeyMakerError("sample", f"{said.errors} errors in {said.sample_bits} disclosed bits of {dt_s:g} s")
        self._last = alice
        self._allowed_bits -= bits
        self._sample_bits += said.sample_bits
        self._errors += said.errors
        self._unjudged_s += dt_s
        self._note_rate(bits, dt_s)
        return DistilledBlock(alice, bob, 0, 0, 0)

    def _ask(self, call: str, *values: Any) -> Any:
        try:
            return self._worker.ask(call, *values)
        except ExtensionError as error:
            raise KeyMakerError(error.fault.value, error.detail) from None

    def _note_rate(self, bits: int, dt_s: float) -> None:
        if self._made_s > AVERAGED_S:
            self._made_bits, self._made_s = self._made_bits / 2, self._made_s / 2
        self._made_bits += bits
        self._made_s += dt_s
