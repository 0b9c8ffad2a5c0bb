"""Whether processes have grown: what each took when it had warmed up, held against what it took at the end. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from scripts.measure.process_usage import Usage

ALLOWED_GROWTH = 0.05
WINDOW_S = 60.0  # of so many seconds the median counts: one sample may fall into the middle of something
KEPT_ALIVE = 8  # connections of HTTP that are kept for a while come and go: so many descriptors more are no growth
LEAST_PARTS = 3  # of what is measured a window is at most one


@dataclass(frozen=True)
class Sample:
    """Of each process, by name, ``at_s`` seconds after the load was complete."""

    at_s: float
    usage: Mapping[str, Usage]


@dataclass(frozen=True)
class Growth:
    """Of one process, from the end of the warm-up to the end."""

    name: str
    memory_kb: tuple[float, float]
    descriptors: tuple[float, float]
    threads: tuple[float, float]
    cpu_share: float
    """Of one processor."""

    @property
    def ratio(self) -> float:
        before, after = self.memory_kb
        return after / before - 1

    def faults(self) -> list[str]:
        """What is not as it shall be, in words."""
        before, after = self.memory_kb
        found = []
        if self.ratio > ALLOWED_GROWTH:
            found.append(f"{self.name} has grown by {self.ratio:.1%}, from {before:,.0f} to {after:,.0f} KB")
        for what, (first, last), spare in (
            ("descriptors", self.descriptors, KEPT_ALIVE),
            ("threads", self.threads, 0),
        ):
            if last > first + spare:
                found.append(f"{self.name} has {last:g} {what}, and had {first:g}")
        return found


def growth(samples: Sequence[Sample], warm_up_s: float) -> list[Growth]:
    """ValueError when too little was measured after the warm-up to say anything."""
    measured = [sample for sample in samples if sample.at_s >= warm_up_s]
    if len(measured) < LEAST_PARTS:
        raise ValueError(f"{len(measured)} samples after a warm-up of {warm_up_s:g} s say nothing")
    start, end = measured[0].at_s, measured[-1].at_s
    window = min(WINDOW_S, (end - start) / LEAST_PARTS)
    first = [sample for sample in measured if sample.at_s <= start + window]
    last = [sample for sample in measured if sample.at_s >= end - window]
    return [_growth(name, first, last) for name in measured[-1].usage]


def _growth(name: str, first: Sequence[Sample], last: Sequence[Sample]) -> Growth:
    before, after = ([sample.usage[name] for sample in part] for part in (first, last))
    seconds = last[-1].at_s - first[0].at_s
    return Growth(
        name,
        memory_kb=(median(u.memory_kb for u in before), median(u.memory_kb for u in after)),
        descriptors=(median(u.descriptors for u in before), median(u.descriptors for u in after)),
        threads=(median(u.threads for u in before), median(u.threads for u in after)),
        cpu_share=(after[-1].cpu_s - before[0].cpu_s) / seconds,
    )
