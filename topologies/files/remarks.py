"""What is allowed in a topology, and yet seldom meant: parts that nothing joins, sites that no slice can use. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from topologies.files.problems import choices
from topologies.spec import SecurityClass, Tier, Topology, TopologyError


def remarks(topology: Topology) -> tuple[str, ...]:
    """A sentence for each; none where there is nothing to remark."""
    return (
        *_parts(topology),
        *_tiers(topology),
        *_without_keys(topology),
        *_unused(topology),
        *_vendors(topology),
        *_room(topology),
    )


def _parts(topology: Topology) -> list[str]:
    parts = _components(topology.site_names, (c.ends for c in topology.channels if not c.dark))
    if len(parts) == 1:
        return []
    apart = "; ".join(choices(part, 6) for part in parts[1:6]) + (" ..." if len(parts) > 6 else "")
    return [f"it is in {len(parts)} parts that no channel joins (dark ones apart), beside the largest: {apart}"]


def _components(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The connected parts, the largest first."""
    leader = {name: name for name in names}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for a, b in edges:
        leader[find(a)] = find(b)
    parts: dict[str, list[str]] = {}
    for name in leader:
        parts.setdefault(find(name), []).append(name)
    return sorted(parts.values(), key=len, reverse=True)


def _tiers(topology: Topology) -> list[str]:
    present = {site.tier for site in topology.sites}
    found = [
        f"no site has the tier {tier.value}: slices from cells over compute to a core find none"
        for tier in (Tier.CELL, Tier.CORE)
        if tier not in present
    ]
    if not any(site.vcpus > 0 and site.memory_gb > 0 for site in topology.sites):
        found.append("no site has vcpus and memory_gb: slices find no compute")
    return found


def _without_keys(topology: Topology) -> list[str]:
    parts = _components(topology.site_names, ((q.a, q.b) for q in topology.qkd_links))
    part_of = {name: number for number, part in enumerate(parts) for name in part}
    lacking = [
        c.id for c in topology.channels if c.security is SecurityClass.QKD
        and part_of[c.a] != part_of[c.b]
        and topology.vendor_link(c.a, c.b) is None
    ]  # fmt: skip
    return [f"no QKD link brings keys to both ends of: {choices(lacking, 6)}"] if lacking else []


def _unused(topology: Topology) -> list[str]:
    on_links = {section for link in topology.qkd_links for section in link.sections}
    lit = {c.wavelength for c in topology.channels}
    sections = [s.id for s in topology.sections if s.id not in on_links]
    wavelengths = [w.id for w in topology.wavelengths if w.id not in lit]
    found = []
    if sections:
        found.append(f"no QKD link uses the sections {choices(sections, 6)}")
    if wavelengths:
        found.append(f"no channel uses the wavelengths {choices(wavelengths, 6)}")
    return found


def _vendors(topology: Topology) -> list[str]:
    alone = [s.name for s in topology.sites if s.kme is not None and not s.kme.qkd_with]
    if not alone:
        return []
    return [f"no connection there is given keys of QKD, as their kme names no site in qkd_with: {choices(alone, 6)}"]


def _room(topology: Topology) -> list[str]:
    try:
        topology.require_room()
    except TopologyError as error:
        return [f"`up` will refuse it: {error}"]
    return []
