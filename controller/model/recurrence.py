"""Slices that come again and again: when each occurrence begins and ends.

The words and rules are those of RFC 5545. Days are nominal: the next occurrence begins at the same time of day on the
clock of its zone, however long that day is (3.3.6). A time of day that the clock skips is read by the offset before
the gap; one that comes twice is the first of the two (3.3.5). Hours, minutes and seconds are exact, and so is how long
an occurrence lasts (3.8.5.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

DAY_S = 86_400
# Offsets from UTC lie within a day, so that a date on two clocks is never further apart.
MOST_SHIFT_S = 2 * DAY_S


@dataclass(frozen=True)
class Period:
    """From one occurrence to the next: whole days by a zone's clock, or seconds; the other of the two is 0."""

    days: int = 0
    seconds: int = 0

    @property
    def nominal_s(self) -> int:
        """How long it is where no clock is put forward or back."""
        return self.days * DAY_S + self.seconds


@dataclass(frozen=True)
class Occurrence:
    """One time that a slice is there: its number (the first is 1), and seconds since the epoch."""

    number: int
    start: float
    end: float


@dataclass(frozen=True)
class Recurrence:
    """Occurrences from the first that begins at ``start`` (seconds since the epoch), each ``lasts_s`` long."""

    start: float
    lasts_s: float
    every: Period
    zone: tzinfo  # whose days they are
    zone_name: str
    until: float | None = None  # none begins later
    count: int | None = None  # how many there are; None with ``until`` None: no end of them

    def next(self, now: float, after: int = 0) -> Occurrence | None:
        """The first, of those with a number above ``after``, that is not over at ``now``; None when all are."""
        passed = (now - self.lasts_s - self.start - MOST_SHIFT_S) / self.every.nominal_s
        number = max(after, int(max(0.0, passed))) + 1
        while (found := self._occurrence(number)) is not None:
            if found.end > now:
                return found
            number += 1
        return None

    def _occurrence(self, number: int) -> Occurrence | None:
        if self.count is not None and number > self.count:
            return None
        try:
            start = self._start_of(number)
        except OverflowError:  # beyond the calendar
            return None
        if self.until is not None and start > self.until:
            return None
        return Occurrence(number, start, start + self.lasts_s)

    def _start_of(self, number: int) -> float:
        passed = number - 1
        if passed == 0:
            return self.start  # which may be the second of two equal times of day
        if self.every.seconds:
            return self.start + passed * self.every.seconds
        first = datetime.fromtimestamp(self.start, UTC).astimezone(self.zone)
        # Arithmetic on the clock's face; fold 0 is what RFC 5545 says of times that do not exist or exist twice.
        return (first + timedelta(days=passed * self.every.days)).replace(fold=0).timestamp()
