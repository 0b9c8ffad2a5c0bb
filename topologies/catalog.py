"""The named topologies.

``ukqntel`` is the test-bed of papers 001 and 002 (Fig. 2 and 5); ``metro-ring`` is a redundant network on which
every class has disjoint ways. Lengths of single circuits and sections are not published: those here are assumed
so that the published totals hold (121 km in four sections).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from topologies.spec import (
    Channel,
    QkdLink,
    QkdSection,
    SecurityClass,
    Site,
    Tier,
    Topology,
    TopologyError,
    Wavelength,
)

# 100 Gbit/s is emulated as 100 Mbit/s: what two cores can carry without becoming the bottleneck themselves.
DEFAULT_MBPS_PER_GBPS = 1.0
MIN_MBPS_PER_GBPS, MAX_MBPS_PER_GBPS = 0.01, 1000.0  # slower, and a handshake takes minutes; faster is not emulated

NONE, DH, QRA, QKD = SecurityClass


def ukqntel(mbps_per_gbps: float = DEFAULT_MBPS_PER_GBPS) -> Topology:
    """Paper 002, Fig. 2: cells, aggregation, metro and core joined by five 100G channels of a looped fibre."""
    length_km = 121.0
    sites = (
        Site("cell1", Tier.CELL, x=0.06, y=0.25),
        Site("cell2", Tier.CELL, x=0.06, y=0.75),
        Site("agg1", Tier.AGGREGATION, vcpus=16, memory_gb=64, x=0.34, y=0.5),
        Site("metro1", Tier.METRO, vcpus=32, memory_gb=128, x=0.64, y=0.5),
        Site("core1", Tier.CORE, vcpus=64, memory_gb=256, x=0.94, y=0.5),
    )
    wavelengths = tuple(Wavelength(f"ch{n}", security) for n, security in enumerate((NONE, DH, QRA, QKD, QKD), start=1))
    adjacencies = (("cell1", "agg1"), ("cell2", "agg1"), ("agg1", "metro1"), ("metro1", "core1"))
    channels = tuple(_circuit(a, b, w, length_km, mbps_per_gbps) for a, b in adjacencies for w in wavelengths)
    nodes = ("adastral", "tn1", "tn2", "tn3", "cambridge")
    lengths = (30.5, 29.0, 31.5, 30.0)  # assumed; the sum is published
    sections = tuple(
        QkdSection(f"s{n}", a, b, km)
        for n, (a, b, km) in enumerate(zip(nodes, nodes[1:], lengths, strict=False), start=1)
    )
    every_section = tuple(s.id for s in sections)
    links = tuple(QkdLink(f"{a}-{b}", a, b, every_section) for a, b in adjacencies)
    return Topology(
        "ukqntel", sites, wavelengths, channels, sections, links,
        description="The UKQNtel test-bed: every adjacency is one client circuit on each of five 100G channels",
    )  # fmt: skip


def metro_ring(mbps_per_gbps: float = DEFAULT_MBPS_PER_GBPS) -> Topology:
    """Two cells, two aggregation, three metro and two core sites, every pair of tiers redundantly joined."""
    sites = (
        Site("cell1", Tier.CELL, x=0.05, y=0.25),
        Site("cell2", Tier.CELL, x=0.05, y=0.75),
        Site("agg1", Tier.AGGREGATION, vcpus=16, memory_gb=64, x=0.33, y=0.25),
        Site("agg2", Tier.AGGREGATION, vcpus=16, memory_gb=64, x=0.33, y=0.75),
        Site("metro1", Tier.METRO, vcpus=32, memory_gb=128, x=0.62, y=0.12),
        Site("metro2", Tier.METRO, vcpus=32, memory_gb=128, x=0.69, y=0.5),
        Site("metro3", Tier.METRO, vcpus=32, memory_gb=128, x=0.62, y=0.88),
        Site("core1", Tier.CORE, vcpus=64, memory_gb=256, x=0.94, y=0.25),
        Site("core2", Tier.CORE, vcpus=64, memory_gb=256, x=0.94, y=0.75),
    )
    lengths_km = {
        ("cell1", "agg1"): 8.0, ("cell1", "agg2"): 14.0, ("cell2", "agg1"): 13.0, ("cell2", "agg2"): 9.0,
        ("agg1", "agg2"): 12.0,
        ("agg1", "metro1"): 22.0, ("agg1", "metro2"): 25.0, ("agg2", "metro2"): 24.0, ("agg2", "metro3"): 21.0,
        ("metro1", "metro2"): 15.0, ("metro2", "metro3"): 16.0, ("metro1", "metro3"): 28.0,
        ("metro1", "core1"): 40.0, ("metro2", "core1"): 46.0, ("metro2", "core2"): 44.0, ("metro3", "core2"): 39.0,
        ("core1", "core2"): 30.0,
    }  # fmt: skip
    wavelengths: list[Wavelength] = []
    channels: list[Channel] = []
    sections: list[QkdSection] = []
    links: list[QkdLink] = []
    for (a, b), km in lengths_km.items():
        for security in SecurityClass:
            # Every adjacency is a fibre of its own: its wavelengths share that fibre's risk and no other's.
            wavelength = Wavelength(f"{a}-{b}-{security.label}", security)
            wavelengths.append(wavelength)
            channels.append(_circuit(a, b, wavelength, km, mbps_per_gbps, fibre=f"fibre-{a}-{b}"))
        sections.append(QkdSection(f"q-{a}-{b}", a, b, km))
        links.append(QkdLink(f"{a}-{b}", a, b, (f"q-{a}-{b}",)))
    # Dark channels on fibres of their own: each joins two tiers again when all other channels between them fail.
    for (a, b), km in {("agg1", "metro3"): 33.0, ("agg2", "metro1"): 32.0}.items():
        for security in (QRA, QKD):
            wavelength = Wavelength(f"{a}-{b}-{security.label}", security)
            wavelengths.append(wavelength)
            channels.append(_circuit(a, b, wavelength, km, mbps_per_gbps, fibre=f"fibre-{a}-{b}", dark=True))
    return Topology(
        "metro-ring", sites, tuple(wavelengths), tuple(channels), tuple(sections), tuple(links),
        description="A redundant metro network: two disjoint ways in every class between any cell and any core, "
        "and four dark channels",
    )  # fmt: skip


def _circuit(
    a: str,
    b: str,
    wavelength: Wavelength,
    km: float,
    mbps_per_gbps: float,
    fibre: str | None = None,
    dark: bool = False,
) -> Channel:
    prefix, _, _ = wavelength.id.rpartition("-") if fibre else ("", "", "")
    suffix = wavelength.security.label if prefix else wavelength.id
    return Channel(
        id=f"{a}-{b}-{suffix}", a=a, b=b, wavelength=wavelength.id, security=wavelength.security,
        capacity_mbps=wavelength.capacity_gbps * mbps_per_gbps, length_km=km,
        risk_groups=frozenset({wavelength.id} | ({fibre} if fibre else set())), dark=dark,
    )  # fmt: skip


class ScaleError(TopologyError):
    """The scale is out of its bounds; the topology is not at fault."""


CATALOG: dict[str, Callable[[float], Topology]] = {"ukqntel": ukqntel, "metro-ring": metro_ring}


def load(name: str, mbps_per_gbps: float = DEFAULT_MBPS_PER_GBPS, shaped: bool = True) -> Topology:
    """The topology called ``name``; TopologyError names the ones there are."""
    if name not in CATALOG:
        raise TopologyError(f"unknown topology {name!r}: one of {', '.join(sorted(CATALOG))}")
    if not MIN_MBPS_PER_GBPS <= mbps_per_gbps <= MAX_MBPS_PER_GBPS:
        limits = f"{MIN_MBPS_PER_GBPS:g} to {MAX_MBPS_PER_GBPS:g}"
        raise ScaleError(f"scale must be {limits} Mbit/s per Gbit/s, not {mbps_per_gbps:g}")
    return replace(CATALOG[name](mbps_per_gbps), shaped=shaped)
