"""What has happened lately, for whoever follows it: a ring of events and a bounded number of followers."""

from __future__ import annotations

import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.model.errors import ControllerError

KEPT_EVENTS = 1000
FOLLOWER_BACKLOG = 1000
MAX_FOLLOWERS = 64
# Ids of one process start where no earlier process, however busy, has come to: a million events a second.
IDS_PER_SECOND = 1_000_000


class TooManyFollowers(ControllerError):
    """Nobody else can follow until somebody leaves."""


@dataclass(frozen=True)
class Event:
    """``id`` grows with every event, over restarts too; ``at`` is in seconds since the epoch."""

    id: int
    at: float
    kind: str  # slice, connection, link, key
    data: Mapping[str, Any]


class Follower:
    """One reader; when it falls too far behind it is cut off rather than held in memory."""

    def __init__(self, has_missed: bool = False) -> None:
        self._queue: queue.Queue[Event] = queue.Queue(FOLLOWER_BACKLOG)
        self.is_cut_off = False
        self.has_missed = has_missed  # events after the one it saw last are no longer kept

    def offer(self, event: Event) -> None:
        if self.is_cut_off:
            return
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.is_cut_off = True

    def next(self, timeout_s: float) -> Event | None:
        """The next event; None when none came in time, or when it is cut off and has read what there was."""
        try:
            return self._queue.get_nowait() if self.is_cut_off else self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


class EventLog:
    """Publishes to every follower without ever waiting for one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next_id = int(clock()) * IDS_PER_SECOND + 1
        self._recent: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._followers: list[Follower] = []
        self._totals: Counter[tuple[str, str]] = Counter()

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        with self._lock:
            event = Event(self._next_id, self._clock(), kind, data)
            self._next_id += 1
            self._recent.append(event)
            self._totals[kind, str(data.get("state", ""))] += 1
            for follower in self._followers:
                follower.offer(event)

    def follow(self, after_id: int | None = None) -> Follower:
        """A follower of what comes; with ``after_id`` also of what is still kept of the events after that one.

        Raises TooManyFollowers.
        """
        with self._lock:
            if len(self._followers) >= MAX_FOLLOWERS:
                raise TooManyFollowers(f"{MAX_FOLLOWERS} readers follow already")
            oldest = self._recent[0].id if self._recent else self._next_id
            # An id that is still to come is of a process whose clock was ahead: what came after it is not known.
            is_foreign = after_id is not None and after_id >= self._next_id
            follower = Follower(has_missed=after_id is not None and (is_foreign or after_id + 1 < oldest))
            if after_id is not None:
                for event in self._recent:
                    if is_foreign or event.id > after_id:
                        follower.offer(event)
            self._followers.append(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        """Idempotent."""
        with self._lock:
            if follower in self._followers:
                self._followers.remove(follower)

    def totals(self) -> Mapping[tuple[str, str], int]:
        """How many events there have been, by kind and the state they told of."""
        with self._lock:
            return dict(self._totals)

    @property
    def follower_count(self) -> int:
        with self._lock:
            return len(self._followers)
