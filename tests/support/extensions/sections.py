"""Models of QKD sections: one that does what it must, and some that do not."""

from __future__ import annotations

import os
import time
from typing import Any

from scripts.extensions.api import EXTENSION_API, AttackView, Block, Forecast, LineView


class Steady:
    """1600 bit/s at 2 % of errors; a quarter more where every pulse is intercepted."""

    name = "steady"
    version = "0.1"
    api = EXTENSION_API
    qber = 0.02
    disclosed_bps = 20_000

    def rate(self, line: LineView, attack: AttackView) -> Forecast:
        self.seen_qber = self.qber + attack.fraction / 4
        return Forecast(1_600.0, self.seen_qber)

    def step(self, dt_s: float, entropy: str) -> Block:
        digits = entropy[: 2 * (int(1_600 * dt_s) // 8)]
        disclosed = int(self.disclosed_bps * dt_s)
        return Block(digits, digits, disclosed, int(disclosed * self.seen_qber))


class TwoEnded(Steady):
    """Bob has another bit than Alice."""

    name = "two-ended"

    def step(self, dt_s: float, entropy: str) -> Block:
        made = super().step(dt_s, entropy)
        return Block(made.alice, made.bob[::-1], made.sample_bits, made.errors)


class Greedy(Steady):
    """Twice what it forecasts."""

    name = "greedy"

    def step(self, dt_s: float, entropy: str) -> Block:
        return super().step(2 * dt_s, entropy)


class Boaster(Steady):
    """More than there are pulses."""

    name = "boaster"

    def rate(self, line: LineView, attack: AttackView) -> Forecast:
        return Forecast(2 * line.pulse_rate_hz, 0.0)


class Negative(Steady):
    name = "negative"

    def rate(self, line: LineView, attack: AttackView) -> Forecast:
        return Forecast(-1.0, 0.0)


class NotANumber(Steady):
    name = "not-a-number"

    def rate(self, line: LineView, attack: AttackView) -> Forecast:
        return Forecast(float("nan"), 0.0)


class WrongType(Steady):
    """Octets where digits are wanted, which are in no log all the same."""

    name = "wrong-type"

    def step(self, dt_s: float, entropy: str) -> Any:
        return Block(b"my secret", b"my secret", 10_000, 0)  # type: ignore[arg-type]


class NoDigits(Steady):
    name = "no-digits"

    def step(self, dt_s: float, entropy: str) -> Block:
        return Block("my secret", "my secret", 2_000, 0)


class Repeats(Steady):
    """The same key in every step."""

    name = "repeats"

    def step(self, dt_s: float, entropy: str) -> Block:
        return super().step(dt_s, "5a" * 4_000)


class Discreet(Steady):
    """Discloses nothing that could be judged."""

    name = "discreet"
    disclosed_bps = 0


class Miscounts(Steady):
    """More errors than bits."""

    name = "miscounts"

    def step(self, dt_s: float, entropy: str) -> Block:
        made = super().step(dt_s, entropy)
        return Block(made.alice, made.bob, 100, 101)


class Noisy(Steady):
    """Tells of 20 % of errors, and gives key."""

    name = "noisy"
    qber = 0.2


class Blind(Steady):
    """Sees no eavesdropper."""

    name = "blind"

    def rate(self, line: LineView, attack: AttackView) -> Forecast:
        return super().rate(line, AttackView(attack.kind, 0.0))


class Lazy(Steady):
    """A tenth of its forecast."""

    name = "lazy"

    def step(self, dt_s: float, entropy: str) -> Block:
        made = super().step(dt_s, entropy)
        few = made.alice[: len(made.alice) // 20 * 2]
        return Block(few, few, made.sample_bits, made.errors)


class Mutator(Steady):
    name = "mutator"

    def rate(self, line: LineView, attack: AttackView) -> Forecast:
        object.__setattr__(line, "abort_qber", 1.0)
        return super().rate(line, attack)


class Crasher(Steady):
    name = "crasher"

    def step(self, dt_s: float, entropy: str) -> Block:
        os._exit(3)


class Sleepy(Steady):
    name = "sleepy"

    def step(self, dt_s: float, entropy: str) -> Block:
        time.sleep(3600)
        raise AssertionError


class Talkative(Steady):
    """Raises, with its key in the words."""

    name = "talkative"

    def step(self, dt_s: float, entropy: str) -> Block:
        raise ValueError(f"my secret is {entropy}")
