"""What the controller keeps about one slice, from its reservation to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.model.errors import IllegalTransition
from controller.model.request import SliceRequest
from controller.model.states import SLICE_TRANSITIONS, SliceState


@dataclass(frozen=True)
class SliceRecord:
    """One slice; its connections are found by id. ``timings_ms`` grows as stages end."""

    request: SliceRequest
    compute_site: str | None  # None until it is known, while SCHEDULED, and for a slice of any shape
    connection_ids: tuple[str, ...]
    state: SliceState = SliceState.RESERVED
    created_at: float = 0.0  # seconds since the epoch
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None  # why it is FAILED
    reservation: str | None = None  # while RESERVED: by this id it can be committed
    expires_at: float | None = None  # while RESERVED: seconds since the epoch

    @property
    def name(self) -> str:
        return self.request.name

    def become(self, state: SliceState, **changes: Any) -> SliceRecord:
        """The slice in another state; IllegalTransition when the table does not list it."""
        if state not in SLICE_TRANSITIONS[self.state]:
            raise IllegalTransition(f"slice {self.name}: {self.state.value} -> {state.value}")
        return replace(self, state=state, **changes)
