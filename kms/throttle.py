"""How often an SAE may ask: a bucket of requests for each, those of whom nobody said anything without limit. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from kms.applications import Bucket

MIN_BURST_REQUESTS = 10.0


class RequestThrottle:
    """``limits`` maps SAEs to requests per second; ``default`` is that of all others, None for no limit."""

    def __init__(self, limits: Mapping[str, float], default: float | None) -> None:
        self._limits = dict(limits)
        self._default = default
        self._buckets: dict[str, Bucket] = {}

    def may_ask(self, sae: str, now: float) -> bool:
        limit = self._limits.get(sae, self._default)
        if limit is None:
            return True
        bucket = self._buckets.get(sae)
        if bucket is None:
            bucket = self._buckets[sae] = Bucket.full(limit, MIN_BURST_REQUESTS, now)
        return bucket.take(1.0, now)
