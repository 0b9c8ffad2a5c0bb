"""How much slower than a real network the emulated one is."""

from __future__ import annotations

from topologies.spec import TopologyError

# 100 Gbit/s is emulated as 100 Mbit/s: what two cores can carry without becoming the bottleneck themselves.
DEFAULT_MBPS_PER_GBPS = 1.0
MIN_MBPS_PER_GBPS, MAX_MBPS_PER_GBPS = 0.01, 1000.0  # slower, and a handshake takes minutes; faster is not emulated


class ScaleError(TopologyError):
    """The scale is out of its bounds; the topology is not at fault."""


def require_scale(mbps_per_gbps: float) -> None:
    """ScaleError where the emulation cannot be so fast or so slow."""
    if not MIN_MBPS_PER_GBPS <= mbps_per_gbps <= MAX_MBPS_PER_GBPS:
        limits = f"{MIN_MBPS_PER_GBPS:g} to {MAX_MBPS_PER_GBPS:g}"
        raise ScaleError(f"scale must be {limits} Mbit/s per Gbit/s, not {mbps_per_gbps:g}")
