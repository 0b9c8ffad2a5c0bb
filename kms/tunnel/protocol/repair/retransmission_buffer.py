"""Packets that a short outage has swallowed, sent again: ESP's sequence numbers tell the receiver which are missing.

Pure. A protected connection is back within milliseconds (1:1), yet what was sent meanwhile is lost. So its sender keeps
what it has sent for :data:`KEEP_S`, sealed as it was, and its receiver asks for numbers that were skipped. A datagram
that is sent again is the same octets: no nonce is used for a second text, and the anti-replay window (RFC 4303, 3.4.3)
drops it when the first one comes after all. What is lost becomes late instead, by about the length of the outage.

What was sent last before a pause is not missed by anybody: no later number tells that it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

KEEP_S = 0.1  # what is later than this is of no use to those who asked for protection
MAX_KEPT_BYTES = 4 << 20
MAX_TIMES = 3  # a datagram is sent again: questions that an attacker repeats cost no more
PATIENCE_S = 0.002  # the ways before and after the change differ in length: what is late is not lost
REPEAT_S = 0.010
MAX_MISSING = 4096
MAX_RANGES = 24  # in one question


@dataclass(frozen=True)
class Range:
    """``count`` sequence numbers from ``first`` on."""

    first: int
    count: int


class SentBuffer:
    """What one SA has sent of late, by sequence number."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[float, bytes]] = {}  # in the order of sending
        self._bytes = 0
        self._times: dict[int, int] = {}

    def keep(self, sequence: int, datagram: bytes, now: float) -> None:
        """Remember a datagram for :data:`KEEP_S`; forget those that are older, or too many."""
        self._kept[sequence] = now, datagram
        self._bytes += len(datagram)
        while self._kept:
            oldest = next(iter(self._kept))
            sent_at, octets = self._kept[oldest]
            if now - sent_at <= KEEP_S and self._bytes <= MAX_KEPT_BYTES:
                break
            del self._kept[oldest]
            self._times.pop(oldest, None)
            self._bytes -= len(octets)

    def again(self, asked: Iterable[Range], now: float) -> list[bytes]:
        """The datagrams asked for, those that are still kept and have not been sent again too often."""
        found = []
        for wanted in asked:
            for sequence in range(wanted.first, wanted.first + min(wanted.count, MAX_MISSING)):
                sent_at, datagram = self._kept.get(sequence, (0.0, b""))
                times = self._times.get(sequence, 0)
                if datagram and now - sent_at <= KEEP_S and times < MAX_TIMES:
                    self._times[sequence] = times + 1
                    found.append(datagram)
        return found


@dataclass
class _Missing:
    since: float
    ask_at: float


class ReceiveGaps:
    """Which numbers of one SA have been skipped, and when to ask for them."""

    def __init__(self) -> None:
        self._top = 0  # a sender starts at 1
        self._missing: dict[int, _Missing] = {}

    def arrived(self, first: int, count: int, now: float) -> int:
        """``count`` authentic packets from number ``first`` on are here; how many of them had been missing."""
        top = self._top
        self._top = max(top, first + count - 1)
        if first == top + 1 and not self._missing:
            return 0
        late = sum(self._missing.pop(n, None) is not None for n in range(first, min(first + count, top + 1)))
        for number in range(max(top + 1, first - MAX_MISSING), first):
            self._missing[number] = _Missing(now, now + PATIENCE_S)
        while len(self._missing) > MAX_MISSING:
            del self._missing[next(iter(self._missing))]
        return late

    def next_timer(self) -> float | None:
        """When :meth:`questions` has something to ask."""
        return min((m.ask_at for m in self._missing.values()), default=None) if self._missing else None

    def questions(self, now: float) -> list[Range]:
        """The numbers to ask for now, at most MAX_RANGES runs of them; those given up are forgotten."""
        for number in [n for n, m in self._missing.items() if now - m.since > KEEP_S]:
            del self._missing[number]
        due = sorted(n for n, m in self._missing.items() if m.ask_at <= now)
        for number in due:
            self._missing[number].ask_at = now + REPEAT_S
        return runs(due)[:MAX_RANGES]


def runs(numbers: Iterable[int]) -> list[Range]:
    """Ascending ``numbers`` as ranges."""
    found: list[Range] = []
    for number in numbers:
        if found and number == found[-1].first + found[-1].count:
            found[-1] = Range(found[-1].first, found[-1].count + 1)
        else:
            found.append(Range(number, 1))
    return found
