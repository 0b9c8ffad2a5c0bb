"""The slices of a random network as requests: a set of sites, with a connection for each pair that is joined. Pure."""

from __future__ import annotations

from typing import Any

from topologies.derivation.demands import requests_for
from topologies.derivation.document import Derived
from topologies.derivation.rules import Rules, TierRule
from topologies.synthetic.options import GBPS_PER_WEIGHT, US_PER_WEIGHT, RandomOptions
from topologies.synthetic.paper_000 import RandomNetwork

# By degree alone: whole numbers, which every machine ranks alike.
RANDOM_RULES = Rules(
    tiers=(
        TierRule(tier="core", top_percent=10.0, by="degree"),
        TierRule(tier="metro", top_percent=30.0, by="degree"),
        TierRule(tier="aggregation", top_percent=55.0, by="degree"),
        TierRule(tier="cell"),
    )
)
SHARE_OF_CAPACITY = 0.1
LEAST_LATENCY_MS = 1.0


def requests_of(
    network: RandomNetwork, derived: Derived, options: RandomOptions, security: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """A request for each slice, and what was assumed. A slice of which no two sites are joined has none."""
    slices: dict[str, list[dict[str, Any]]] = {}
    for number, pairs in enumerate(network.slices, start=1):
        connections = []
        for a, b, weight in pairs:
            ends = derived.sites[a], derived.sites[b]
            if options.weighs == "capacity":
                # A tenth of what the channel carries where 1 Gbit/s is emulated as 1 Mbit/s.
                asked = {"bandwidth_mbps": weight * GBPS_PER_WEIGHT * SHARE_OF_CAPACITY, "latency_ms": 20.0}
            else:
                latency_ms = max(LEAST_LATENCY_MS, 4 * weight * US_PER_WEIGHT / 1000)
                asked = {"bandwidth_mbps": 1.0, "latency_ms": round(latency_ms, 1)}
            connections.append({"name": "-".join(ends), "from": ends[0], "to": ends[1], "security": security, **asked})
        if connections:
            slices[f"slice{number}"] = connections
    asks = (
        "a tenth of the edge's capacity, 20 ms"
        if options.weighs == "capacity"
        else "1 Mbit/s, four times the edge's latency, at least 1 ms"
    )
    return requests_for(slices, 1), [f"a connection asks for {asks}, security {security}"]
