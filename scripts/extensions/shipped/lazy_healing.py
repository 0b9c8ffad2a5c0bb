"""A healing policy that waits a while before it moves anything: channels that flap come back by themselves.

That is a hold-off timer (ITU-T G.808.1, clause 8.8): what is gained in moves that were not needed is lost in outage.
"""

from __future__ import annotations

from scripts.extensions.api import EXTENSION_API, Impact, Move, NetworkView, Verdict, Wait

HOLD_OFF_S = 1.0


class LazyHealing:
    """Waits :data:`HOLD_OFF_S` for the path to come back, then moves. What carries packets is seen to at once."""

    name = "lazy"
    version = "1.0"
    api = EXTENSION_API

    def decide(self, net: NetworkView, impacts: tuple[Impact, ...], now: float) -> tuple[Verdict, ...]:
        return tuple(self._one(impact) for impact in impacts)

    def _one(self, impact: Impact) -> Verdict:
        left_s = HOLD_OFF_S - impact.since_s
        if impact.carries or not impact.paths or left_s <= 0:
            return Move(impact.connection.id)
        return Wait(impact.connection.id, left_s)
