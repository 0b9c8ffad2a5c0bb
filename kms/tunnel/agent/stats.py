"""What a connection says of its continuity, as plain values for ``stats`` and ``watch``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kms.tunnel.protocol.continuity.check import Continuity
from kms.tunnel.protocol.security_association import SaPair

_WATCHED = (
    "state", "mode", "reachable", "reachable_for_s", "hears_peer", "is_heard", "failing", "rtt_ms", "last_error",
    "keys_in_use",
    "warning",
)  # fmt: skip


def continuity_stats(continuity: Continuity, now: float) -> dict[str, Any]:
    """``reachable_for_s``: for how long it has been what it is, also where that is false."""
    return {
        "reachable": continuity.reachable,
        "reachable_for_s": None if continuity.since is None else round(now - continuity.since, 3),
        "hears_peer": continuity.hears_peer,
        "is_heard": continuity.is_heard,
        "failing": continuity.failing,
        "rtt_ms": None if continuity.rtt_s is None else round(continuity.rtt_s * 1000, 3),
    }


def watched(stats: Mapping[str, Any]) -> dict[str, Any]:
    """The part that ``watch`` tells."""
    return {name: stats.get(name) for name in _WATCHED}


def sa_stats(pairs: Iterable[SaPair], now: float) -> list[dict[str, Any]]:
    """What each pair of SAs has carried, the oldest first. An SPI is public, a key is not among this."""
    return [
        {
            "stage": pair.stage.value,
            "key_id": pair.key_id,
            "key_age_s": round(now - pair.installed_at, 3),
            "tx_spi": f"{pair.outbound.spi:08x}",
            "tx_packets": pair.outbound.sequence,
            "tx_bytes": pair.tx_bytes,
            "rx_spi": f"{pair.inbound.spi:08x}",
            "rx_packets": pair.rx_packets,
            "rx_bytes": pair.rx_bytes,
            "rx_highest_sequence": pair.inbound.highest_sequence,
        }
        for pair in pairs
    ]
