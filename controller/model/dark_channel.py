"""Dark channels (spares) as values: whether each is dark, being lit or lit, and what was wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import Enum

from controller.model.connection import Connection


class SpareState(Enum):
    """Where one spare stands."""

    DARK = "dark"  # its ports are held down
    ACTIVATING = "lighting"  # its ports are being raised and the channel tried
    LIT = "lit"  # in use like any other channel


SPARE_TRANSITIONS: dict[SpareState, frozenset[SpareState]] = {
    SpareState.DARK: frozenset({SpareState.ACTIVATING}),
    SpareState.ACTIVATING: frozenset({SpareState.LIT, SpareState.DARK}),
    SpareState.LIT: frozenset({SpareState.DARK}),
}


@dataclass(frozen=True)
class Spare:
    """``fault`` says why it did not come up when it was last wanted, at ``failed_at`` (seconds, a steady clock)."""

    state: SpareState = SpareState.DARK
    fault: str | None = None
    failed_at: float = 0.0

    def become(self, state: SpareState) -> Spare:
        """The spare in another state; what was wrong with it is remembered until it is lit."""
        if state not in SPARE_TRANSITIONS[self.state]:
            raise ValueError(f"a spare that is {self.state.value} cannot become {state.value}")
        return Spare(state) if state is SpareState.LIT else replace(self, state=state)

    def fail(self, fault: str, now: float) -> Spare:
        """Dark again, because it did not come up."""
        return Spare(SpareState.DARK, fault, now)


def used_spares(connections: Iterable[Connection], spares: Collection[str]) -> frozenset[str]:
    """The spares that carry something."""
    used = {channel for c in connections for lane in c.lanes for channel in lane.route.channels}
    return frozenset(used.intersection(spares))
