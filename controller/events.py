"""What has happened lately, for whoever follows it: a ring of events and any number of followers."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

KEPT_EVENTS = 1000
FOLLOWER_BACKLOG = 1000


@dataclass(frozen=True)
class Event:
    """``id`` counts from 1 and never goes back within a process; ``at`` is in seconds since the epoch."""

    id: int
    at: float
    kind: str  # slice, link, key
    data: Mapping[str, Any]


class Follower:
    """One reader; when it falls too far behind it is cut off rather than held in memory."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Event] = queue.Queue(FOLLOWER_BACKLOG)
        self.is_cut_off = False

    def offer(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.is_cut_off = True

    def next(self, timeout_s: float) -> Event | None:
        """The next event; None when none came in time."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


class EventLog:
    """Publishes to every follower without ever waiting for one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next_id = 1
        self._recent: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._followers: list[Follower] = []

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        with self._lock:
            event = Event(self._next_id, self._clock(), kind, data)
            self._next_id += 1
            self._recent.append(event)
            for follower in self._followers:
                follower.offer(event)

    def follow(self, after_id: int | None = None) -> Follower:
        """A follower of what comes; with ``after_id`` also of what is still kept of the events after that one."""
        follower = Follower()
        with self._lock:
            if after_id is not None:
                for event in self._recent:
                    if event.id > after_id:
                        follower.offer(event)
            self._followers.append(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        with self._lock:
            self._followers.remove(follower)
