"""Whether packets get through, found out by asking: when to ask the peer, and what its words and its silence mean.

Pure, and of no protocol: whoever drives it sends what it is told to send, and tells it of authentic words alone.

One end, the leader, asks every ``period_s``; its peer answers, and asks by itself only when it has not been asked for
a while. A question that is not answered is asked again after a fifth of the period, so that one lost datagram is
none the worse. Just under two periods without proof, and four questions without an answer, mean that a direction fails:
an end that was not run meanwhile has not asked, and does not judge.

Each direction is known separately. That I hear the peer is proved by anything authentic that arrives. That the peer
hears me is proved by its answers, and by each of its questions, which tells how long ago it heard me last.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

_MAX_OPEN = 16  # questions whose answers are still worth having
_MIN_UNANSWERED = 4
_LIMIT = 1.9  # periods without proof: in two a failure is known
_HURRY = 1 / 5  # of a period, between questions while the last one is open
_DOWN = 1 / 4  # the same, while the peer is out of reach
_ANSWER_GAP = 1 / 32  # of a period, at least, between answers


@dataclass(frozen=True)
class Continuity:
    """What one end knows; None where it does not know. ``since`` is when ``reachable`` became what it is."""

    hears_peer: bool | None = None
    is_heard: bool | None = None
    since: float | None = None
    rtt_s: float | None = None

    @property
    def reachable(self) -> bool | None:
        if self.hears_peer is False or self.is_heard is False:
            return False
        return True if self.hears_peer and self.is_heard else None

    @property
    def failing(self) -> str | None:
        """``in``: nothing of the peer's arrives (what is sent may); ``out``: what is sent does not arrive."""
        if self.hears_peer is False:
            return "in"
        return "out" if self.is_heard is False else None


class ContinuityCheck:
    """One end's. Numbers grow by one with every question, from ``first_number`` on. ``period_s`` 0: never asks."""

    def __init__(self, period_s: float, *, is_leader: bool, first_number: int = 1) -> None:
        self._is_leader = is_leader
        self.set_period(period_s)
        self._number = first_number
        self.continuity = Continuity()
        self._is_on = False
        self._begin(0.0)

    def _begin(self, now: float) -> None:
        self._begun_at = self._looked_at = now
        self._heard_at = self._confirmed_at = now  # the last proofs of either direction; at first there are none
        self._has_heard = self._is_confirmed = False
        self._asked_at: float | None = None
        self._series_at = now  # when the first of the unanswered questions was asked
        self._unanswered = 0
        self._open: OrderedDict[int, float] = OrderedDict()  # number -> when it was asked
        self._answered_at = float("-inf")
        self._packets = 0

    def set_period(self, period_s: float) -> None:
        """Ask that often from now on."""
        is_leader = self._is_leader
        self._period_s = period_s
        # The follower learns that it was heard by the next question only: a period later.
        self._hearing_patience_s = period_s * (1.0 if is_leader else 1.25)
        self._heard_patience_s = period_s * (1.0 if is_leader else 2.25)
        self._hearing_limit_s = period_s * _LIMIT
        self._heard_limit_s = period_s * (_LIMIT if is_leader else _LIMIT + 1.0)

    def start(self, now: float) -> None:
        """There is a way to ask from now on. Idempotent."""
        if not self._is_on and self._period_s > 0:
            self._is_on = True
            self._begin(now)

    def stop(self) -> None:
        """There is none any more (no key, say): nothing is known."""
        self._is_on = False
        self.continuity = Continuity()

    def next_timer(self) -> float | None:
        """When :meth:`handle_timer` has something to do."""
        if not self._is_on:
            return None
        if self._asked_at is None:
            return self._begun_at
        if self._unanswered:
            return self._asked_at + self._period_s * (_DOWN if self.continuity.reachable is False else _HURRY)
        return min(self._heard_at + self._hearing_patience_s, self._confirmed_at + self._heard_patience_s)

    def handle_timer(self, now: float, packets: int) -> int | None:
        """The number of the question to ask now, if it is time. ``packets``: how many of the peer's have come."""
        due = self.next_timer()
        if due is None or now < due:
            return None
        if packets != self._packets and self._asked_at is not None:
            self._hear(self._looked_at)  # they came after the last look; when, is not known
        self._packets, self._looked_at = packets, now
        self._judge(now)
        number = self._number
        self._number += 1
        if not self._unanswered:
            self._series_at = now
        self._unanswered += 1
        self._asked_at = now
        self._open[number] = now
        while len(self._open) > _MAX_OPEN:
            self._open.popitem(last=False)
        return number

    def silence_s(self, now: float) -> float | None:
        """How long ago the peer was heard, as it is to be told; None: not yet."""
        return max(0.0, now - self._heard_at) if self._has_heard else None

    def questioned(self, silence_s: float | None, now: float) -> bool:
        """The peer asks, and says how long ago it heard us. True when it may be answered."""
        if not self._is_on:
            return False
        self._hear(now)
        if silence_s is not None:
            self._confirm(now - silence_s)
        self._judge(now)
        if now - self._answered_at < self._period_s * _ANSWER_GAP:
            return False
        self._answered_at = now
        return True

    def is_open(self, number: int) -> bool:
        """Whether an answer to that question is awaited."""
        return number in self._open

    def answered(self, number: int, now: float) -> bool:
        """The peer has answered. False for an answer to no open question: a repetition, or too late."""
        asked_at = self._open.pop(number, None) if self._is_on else None
        if asked_at is None:
            return False
        self._hear(now)
        self._confirm(asked_at)
        self._unanswered = 0
        self.continuity = replace(self.continuity, rtt_s=now - asked_at)
        self._judge(now)
        return True

    def _hear(self, at: float) -> None:
        self._heard_at = max(self._heard_at, at)
        self._has_heard = True

    def _confirm(self, at: float) -> None:
        """Something that was sent at ``at`` or earlier has arrived; what was before the beginning does not count."""
        if at < self._begun_at:
            return
        self._confirmed_at = max(self._confirmed_at, at)
        self._is_confirmed = True
        if at >= self._series_at:
            self._unanswered = 0

    def _judge(self, now: float) -> None:
        has_tried = self._unanswered >= _MIN_UNANSWERED
        before, hears, heard = self.continuity, self.continuity.hears_peer, self.continuity.is_heard
        if self._has_heard and now - self._heard_at < self._hearing_limit_s:
            hears = True
        elif has_tried and now - self._heard_at >= self._hearing_limit_s:
            hears = False
        if hears is False:
            heard = None  # nobody is there to tell
        elif self._is_confirmed and now - self._confirmed_at < self._heard_limit_s:
            heard = True
        elif has_tried and now - self._confirmed_at >= self._heard_limit_s:
            heard = False
        after = Continuity(hears, heard, before.since, before.rtt_s)
        self.continuity = after if after.reachable is before.reachable else replace(after, since=now)
