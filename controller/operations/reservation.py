"""Resources held for a slice, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from controller.pce.computation import SlicePlan


@dataclass(frozen=True)
class Reservation:
    """Resources held for a slice until ``expires_at`` (seconds since the epoch)."""

    id: str
    expires_at: float
    plan: SlicePlan

    @property
    def name(self) -> str:
        return self.plan.request.name
