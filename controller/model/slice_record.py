"""What the controller keeps about one slice, from its reservation to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.model.errors import IllegalTransition
from controller.model.recurrence import Occurrence
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
    reason: str | None = None  # why it is FAILED, or why its last occurrence was not made
    reservation: str | None = None  # while RESERVED: by this id it can be committed
    expires_at: float | None = None  # while RESERVED: seconds since the epoch

    occurrence: Occurrence | None = None  # of a recurring slice: which it is, waits for, or goes to wait for

    @property
    def begins_at(self) -> float | None:
        """Seconds since the epoch; None: at once."""
        return self.request.start if self.occurrence is None else self.occurrence.start

    @property
    def ends_at(self) -> float | None:
        """Seconds since the epoch; None: not by itself."""
        return self.request.end if self.occurrence is None else self.occurrence.end

    @property
    def name(self) -> str:
        return self.request.name

    def become(self, state: SliceState, **changes: Any) -> SliceRecord:
        """The slice in another state; IllegalTransition when the table does not list it."""
        if state not in SLICE_TRANSITIONS[self.state]:
            raise IllegalTransition(f"slice {self.name}: {self.state.value} -> {state.value}")
        return replace(self, state=state, **changes)

    def until_it_comes_again(self) -> SliceRecord:
        """What stays of a slice that goes and comes again: it holds nothing."""
        return SliceRecord(
            self.request, None, (), SliceState.SCHEDULED, created_at=self.created_at, occurrence=self.occurrence
        )
