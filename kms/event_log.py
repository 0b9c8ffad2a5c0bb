"""What the KMS tells those who listen: the notifications of ETSI GS QKD 015, clause 8, and audit events.

No event carries key material.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

REMEMBERED_EVENTS = 1_000


class Notification(Enum):
    APPLICATION_NEW = "application_new"
    APPLICATION_QOS_UPDATE = "application_qos_update"
    APPLICATION_DISCONNECTED = "application_disconnected"
    LINK_DOWN = "link_down"
    LINK_PERF_UPDATE = "link_perf_update"
    LINK_OVERLOADED = "link_overloaded"
    POOL_STATE = "pool_state"  # ours: a watermark was crossed
    REFUSED = "refused"  # ours, for audits: a caller was turned away with 401


@dataclass(frozen=True)
class Event:
    """``number`` counts from 1; ``at`` in seconds since the epoch."""

    number: int
    at: float
    kind: Notification
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.number, "at": self.at, "event": self.kind.value, **self.about}


class EventLog:
    """The last events, and a way to wait for more."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=REMEMBERED_EVENTS)
        self._numbers = itertools.count(1)
        self._more = asyncio.Event()

    def tell(self, now: float, kind: Notification, **about: Any) -> Event:
        event = Event(next(self._numbers), now, kind, about)
        self._events.append(event)
        self._more.set()
        self._more = asyncio.Event()
        return event

    def since(self, number: int) -> list[Event]:
        """The remembered events after the one with that number."""
        return [event for event in self._events if event.number > number]

    def changed(self) -> asyncio.Event:
        """Is set by the next event."""
        return self._more
