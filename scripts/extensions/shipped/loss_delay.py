"""A fault that loses and delays packets on a channel without taking it down: a dirty connector, a bad splice."""

from __future__ import annotations

from scripts.extensions.api import EXTENSION_API, Effects, FaultAction, Impair, Mend, NetworkView

LOSS_PCT = 5.0
DELAY_MS = 10.0
JITTER_MS = 2.0


class LossDelay:
    """5 % loss and 10 ms of delay, 2 ms of jitter, both ways."""

    name = "loss-delay"
    version = "1.0"
    api = EXTENSION_API
    inverse = "loss-delay end"
    element = "channel"

    def effects(self, net: NetworkView, target: str) -> Effects:
        return Effects(worse=(target,))

    def apply(self, net: NetworkView, target: str) -> tuple[FaultAction, ...]:
        return (Impair(target, loss_pct=LOSS_PCT, delay_ms=DELAY_MS, jitter_ms=JITTER_MS),)

    def lift(self, net: NetworkView, target: str) -> tuple[FaultAction, ...]:
        return (Mend(target),)
