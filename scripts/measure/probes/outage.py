"""How long a connection was out, from the times at which numbered echo requests left and replies came back. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A request without a reply counts as lost once the others have had this long to come back.
SETTLE_S = 0.3


@dataclass(frozen=True)
class Sample:
    """One echo request: when it left, relative to the cut, and its round-trip time; None when it was lost."""

    at_ms: float
    rtt_ms: float | None


@dataclass(frozen=True)
class Outage:
    """``outage_ms`` is the longer of the two estimates: lost requests times the interval at which they left, and the
    longest silence between two replies beyond that interval."""

    sent: int
    lost: int
    interval_ms: float
    lost_ms: float
    silence_ms: float
    samples: tuple[Sample, ...]

    @property
    def outage_ms(self) -> float:
        return max(self.lost_ms, self.silence_ms)


def measure_outage(
    sent: Sequence[float], replies: Mapping[int, float], cut_at: float, settle_s: float = SETTLE_S
) -> Outage:
    """The outage around ``cut_at``. Times are seconds of one clock; ``replies`` is by index into ``sent``.

    Requests that left in the last ``settle_s`` are left out: their replies may still be on the way. What was lost
    before the cut counts too: a connection that loses packets anyway must not look good.
    """
    if not sent:
        raise ValueError("no echo request was sent")
    last = sent[-1] - settle_s
    counted = [n for n, at in enumerate(sent) if at <= last]
    if len(counted) < 2:
        raise ValueError(f"pinging lasted only {sent[-1] - sent[0]:.3f} s")
    interval_s = (sent[counted[-1]] - sent[0]) / (len(counted) - 1)
    lost = sum(n not in replies for n in counted)
    arrivals = sorted(replies[n] for n in counted if n in replies)
    # Silence is bounded by the window: no reply at all is silence from the first request to the last.
    edges = [sent[0], *arrivals, sent[counted[-1]]]
    silence_s = max(later - earlier for earlier, later in itertools.pairwise(edges))
    return Outage(
        sent=len(counted),
        lost=lost,
        interval_ms=interval_s * 1e3,
        lost_ms=lost * interval_s * 1e3,
        silence_ms=max(0.0, silence_s - interval_s) * 1e3,
        samples=tuple(
            Sample((sent[n] - cut_at) * 1e3, (replies[n] - sent[n]) * 1e3 if n in replies else None) for n in counted
        ),
    )
