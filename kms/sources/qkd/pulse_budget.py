"""The pace of a section: no more pulses are simulated than its laser could have sent. Pure."""

from __future__ import annotations

BUDGET_DEPTH_S = 60.0


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

    def forfeit(self, now: float) -> None:
        """No light has got through since the last look: what the laser sent meanwhile makes no key."""
        self._counted_to = max(now, self._counted_to)

    def spend(self, pulses: int) -> None:
        if pulses > self._credit:
            raise ValueError("more pulses than the laser has sent")
        self._credit -= pulses
