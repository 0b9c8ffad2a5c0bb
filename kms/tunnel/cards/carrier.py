"""When a client of a card has carrier: never unless what it sends would leave sealed and arrive. Pure."""

from __future__ import annotations

from dataclasses import dataclass

STATUS_HOLDS_S = 5.0
"""So long what the other card has said last of its clients is believed; it says so every second."""


@dataclass(frozen=True)
class LineState:
    """What holds for all clients of a card."""

    has_light: bool
    """The line has carrier."""
    has_key: bool
    """A key within its lifetime seals."""
    is_heard: bool | None
    """Whether the other card answers; None while that is not known."""
    peer_up: frozenset[int]
    """The circuits that are up at the other card, as it has said not long ago."""

    def carries(self, circuit: int) -> bool:
        """Whether the client's signal passes to the other end of its circuit."""
        return self.why_not(circuit) is None

    def why_not(self, circuit: int) -> str | None:
        """What keeps it from that, the nearest cause first; None where nothing does."""
        if not self.has_light:
            return "no carrier on the line"
        if not self.has_key:
            return "no key"
        if self.is_heard is False:
            return "the other card does not answer"
        return None if circuit in self.peer_up else "down at the other end"
