"""Token buckets, and the limit on requests per second of each SAE that is kept by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

# How far a bucket fills, in seconds of its rate; at least one request of a few keys must fit in.
BURST_S = 5.0


@dataclass
class Bucket:
    """A token bucket. Who asks gets all that is asked for as long as anything is there, and the next one waits."""

    rate: float  # tokens per second
    depth: float
    tokens: float
    counted_to: float

    @classmethod
    def full(cls, rate: float, least_depth: float, now: float) -> Bucket:
        depth = max(rate * BURST_S, least_depth)
        return cls(rate, depth, depth, now)

    def has_any(self, now: float) -> bool:
        self.tokens = min(self.depth, self.tokens + max(0.0, now - self.counted_to) * self.rate)
        self.counted_to = max(now, self.counted_to)
        return self.tokens > 0

    def take(self, tokens: float, now: float) -> bool:
        if not self.has_any(now):
            return False
        self.tokens -= tokens
        return True


MIN_BURST_REQUESTS = 10.0


class RequestThrottle:
    """``limits`` maps SAEs to requests per second; ``default`` is that of all others, None for no limit."""

    def __init__(self, limits: Mapping[str, float], default: float | None, clock: Callable[[], float]) -> None:
        self._limits = dict(limits)
        self._default = default
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def may_ask(self, sae: str) -> bool:
        limit = self._limits.get(sae, self._default)
        if limit is None:
            return True
        now = self._clock()
        bucket = self._buckets.get(sae)
        if bucket is None:
            bucket = self._buckets[sae] = Bucket.full(limit, MIN_BURST_REQUESTS, now)
        return bucket.take(1.0, now)
