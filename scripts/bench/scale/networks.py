"""Networks of any number of sites that differ in nothing else: each site has four neighbours, four classes to each.

Every five sites are a small UKQNtel (two cells, aggregation, metro, core), so that the same slice, over the same number
of channels, can be asked for in all of them. Pure.
"""

from __future__ import annotations

from topologies.catalog import load
from topologies.files import DEFAULT_MBPS_PER_GBPS
from topologies.spec import (
    ROOT_MANAGEMENT_INDEX,
    Channel,
    QkdLink,
    QkdSection,
    SecurityClass,
    Site,
    Tier,
    Topology,
    Wavelength,
)
from topologies.synthetic.tiered import SHORT

SMALLEST, LARGEST = 5, ROOT_MANAGEMENT_INDEX - 1
_ROLES = (Tier.CELL, Tier.CELL, Tier.AGGREGATION, Tier.METRO, Tier.CORE)
_COMPUTE = {Tier.CELL: (0, 0), Tier.AGGREGATION: (16, 64), Tier.METRO: (32, 128), Tier.CORE: (64, 256)}
_CORE_OF_GROUP = 4  # the place of a core site in its five
_KM = 10.0


def network(sites: int) -> Topology:
    """The network of so many sites, at least :data:`SMALLEST`; that of the fewest is ukqntel itself."""
    if sites == SMALLEST:
        return load("ukqntel")
    places = _places(sites)
    names = [place.name for place in places]
    wavelengths: list[Wavelength] = []
    channels: list[Channel] = []
    sections: list[QkdSection] = []
    links: list[QkdLink] = []
    for here, there in adjacencies(sites):
        a, b = names[here], names[there]
        for security in SecurityClass:
            wavelength = Wavelength(f"{a}-{b}-{security.label}", security)
            wavelengths.append(wavelength)
            channels.append(
                Channel(
                    wavelength.id, a, b, wavelength.id, security, wavelength.capacity_gbps * DEFAULT_MBPS_PER_GBPS, _KM,
                    frozenset({wavelength.id, f"fibre-{a}-{b}"}),
                )
            )  # fmt: skip
        sections.append(QkdSection(f"q-{a}-{b}", a, b, _KM))
        links.append(QkdLink(f"{a}-{b}", a, b, (f"q-{a}-{b}",)))
    description = f"{sites} sites with four neighbours each, for measurements"
    return Topology(
        f"scale-{sites}", places, tuple(wavelengths), tuple(channels), tuple(sections), tuple(links), description
    )


def adjacencies(sites: int) -> list[tuple[int, int]]:
    """Pairs of places that are joined, twice as many as there are sites (all pairs where those are fewer).

    A ring; in each five the first cell with the aggregation, and that with the core; from the others a long chord.
    """
    found = {(i, (i + 1) % sites): None for i in range(sites)}
    chord = len(_ROLES) * max(1, sites // (3 * len(_ROLES)))
    for i in range(sites):
        step = 2 if i % len(_ROLES) in (0, 2) else chord
        while step < sites:
            pair = i, (i + step) % sites
            if pair not in found and pair[::-1] not in found:
                found[pair] = None
                break
            step += 1
    return list(found)


def slice_requests(topology: Topology) -> list[dict[str, object]]:
    """One small slice for each five sites, over the same number of channels everywhere."""
    by_place = topology.site_names
    return [
        {"group": group, "cells": [by_place[group], by_place[group + 1]], "compute": by_place[group + 3],
         "core": by_place[group + _CORE_OF_GROUP]}
        for group in range(0, len(by_place) - _CORE_OF_GROUP, len(_ROLES))
    ]  # fmt: skip


def _places(sites: int) -> tuple[Site, ...]:
    counts = dict.fromkeys(Tier, 0)
    found = []
    for i in range(sites):
        tier = _ROLES[i % len(_ROLES)]
        counts[tier] += 1
        vcpus, memory_gb = _COMPUTE[tier]
        found.append(Site(f"{SHORT[tier]}{counts[tier]}", tier, vcpus, memory_gb))
    return tuple(found)
