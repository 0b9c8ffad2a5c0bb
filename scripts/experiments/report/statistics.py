"""What probes say about a failure: loss and outage per phase, percentiles, distributions. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One probe: when it left (seconds from the start) and how long it took (ms); None when it was lost."""

    at_s: float
    took_ms: float | None


@dataclass(frozen=True)
class Phase:
    """From one event to the next. ``outage_ms`` is the longest run of losses, from the first lost probe to the next
    that got through (or the end of the phase)."""

    after: str
    from_s: float
    to_s: float
    sent: int
    lost: int
    outage_ms: float


def phases(samples: Sequence[Sample], events: Sequence[tuple[float, str]], end_s: float) -> tuple[Phase, ...]:
    """One phase for the time before the first event and one after each. ``events`` in the order of time."""
    starts = [(min((s.at_s for s in samples), default=0.0), "start"), *events]
    found = []
    for n, (start, name) in enumerate(starts):
        end = starts[n + 1][0] if n + 1 < len(starts) else end_s
        inside = [s for s in samples if start <= s.at_s < end]
        lost = sum(s.took_ms is None for s in inside)
        found.append(Phase(name, start, end, len(inside), lost, longest_outage_ms(inside, end)))
    return tuple(found)


def longest_outage_ms(samples: Sequence[Sample], end_s: float) -> float:
    """The longest run of lost probes, as time; the last one of a phase lasts until ``end_s``."""
    longest, began = 0.0, None
    for sample in samples:
        if sample.took_ms is None:
            began = sample.at_s if began is None else began
        elif began is not None:
            longest, began = max(longest, sample.at_s - began), None
    if began is not None:
        longest = max(longest, end_s - began)
    return longest * 1e3


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def distribution(values: Sequence[float]) -> list[tuple[float, float]]:
    """The steps of the empirical distribution function: (value, share of values that are at most that)."""
    ordered = sorted(values)
    return [
        (value, (n + 1) / len(ordered))
        for n, value in enumerate(ordered)
        if n + 1 == len(ordered) or ordered[n + 1] != value
    ]
