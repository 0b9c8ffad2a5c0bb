"""What a connection says of its reach, as plain values for ``stats`` and ``watch``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kms.tunnel.reach import Reach

_WATCHED = (
    "state", "mode", "reachable", "reachable_for_s", "hears_peer", "is_heard", "failing", "rtt_ms", "last_error",
)  # fmt: skip


def reach_stats(reach: Reach, now: float) -> dict[str, Any]:
    """``reachable_for_s``: for how long it has been what it is, also where that is false."""
    return {
        "reachable": reach.reachable,
        "reachable_for_s": None if reach.since is None else round(now - reach.since, 3),
        "hears_peer": reach.hears_peer,
        "is_heard": reach.is_heard,
        "failing": reach.failing,
        "rtt_ms": None if reach.rtt_s is None else round(reach.rtt_s * 1000, 3),
    }


def watched(stats: Mapping[str, Any]) -> dict[str, Any]:
    """The part that ``watch`` tells."""
    return {name: stats.get(name) for name in _WATCHED}
