"""What has happened lately, for whoever follows it: a ring of events and a bounded number of followers."""

from __future__ import annotations

import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.model.errors import ControllerError
from controller.model.events import ExtensionRefused, Happening, StreamReset

KEPT_EVENTS = 1000
FOLLOWER_BACKLOG = 1000
MAX_FOLLOWERS = 64
# Sequence numbers of one process start where no earlier process, however busy, has come to: a million events a second.
EVENTS_PER_SECOND = 1_000_000


class TooManyFollowers(ControllerError):
    """Nobody else can follow until somebody leaves."""


@dataclass(frozen=True)
class Event:
    """``sequence`` grows with every event, over restarts too; ``time`` is in seconds since the epoch."""

    sequence: int
    time: float
    what: Happening


class Follower:
    """One reader; when it falls too far behind it is cut off rather than held in memory."""

    def __init__(self, reset: Event | None = None) -> None:
        """``reset`` comes first: where events after the one that it saw last are no longer kept."""
        self._queue: queue.Queue[Event] = queue.Queue(FOLLOWER_BACKLOG)
        self._reset = reset
        self.is_cut_off = False

    def offer(self, event: Event) -> None:
        if self.is_cut_off:
            return
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.is_cut_off = True

    def next(self, timeout_s: float) -> Event | None:
        """The next event; None when none came in time, or when it is cut off and has read what there was."""
        if self._reset is not None:
            reset, self._reset = self._reset, None
            return reset
        try:
            return self._queue.get_nowait() if self.is_cut_off else self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


class EventLog:
    """Publishes to every follower without ever waiting for one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next = int(clock()) * EVENTS_PER_SECOND + 1
        self._recent: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._followers: list[Follower] = []
        self._totals: Counter[tuple[str, str]] = Counter()

    def publish(self, what: Happening) -> None:
        state = getattr(what, "state", None)
        label = what.code if isinstance(what, ExtensionRefused) else "" if state is None else state.value
        with self._lock:
            event = Event(self._next, self._clock(), what)
            self._next += 1
            self._recent.append(event)
            self._totals[what.kind, label] += 1
            for follower in self._followers:
                follower.offer(event)

    def follow(self, after: int | None = None) -> Follower:
        """A follower of what comes; with ``after`` also of what is still kept of the events after that one.

        When some of those are no longer kept, a StreamReset comes first, numbered so that one can go on after it.

        Raises TooManyFollowers.
        """
        with self._lock:
            if len(self._followers) >= MAX_FOLLOWERS:
                raise TooManyFollowers(f"{MAX_FOLLOWERS} readers follow already")
            oldest = self._recent[0].sequence if self._recent else self._next
            # A number that is still to come is of a process whose clock was ahead: what came after it is not known.
            is_foreign = after is not None and after >= self._next
            has_missed = after is not None and (is_foreign or after + 1 < oldest)
            follower = Follower(Event(oldest - 1, self._clock(), StreamReset()) if has_missed else None)
            if after is not None:
                for event in self._recent:
                    if is_foreign or event.sequence > after:
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
