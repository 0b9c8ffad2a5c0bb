"""Where slices are put on a network that is not ours: cells, compute and cores by tier, in the topology's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.errors import WrongRequest
from topologies.spec import Tier, Topology


@dataclass(frozen=True)
class Places:
    """The sites that slices of measurements join. There is at least one of each; who needs more goes round."""

    cells: tuple[str, ...]
    compute: tuple[str, ...]
    cores: tuple[str, ...]

    def cell(self, number: int) -> str:
        return self.cells[number % len(self.cells)]

    def site(self, number: int) -> str:
        """One with compute."""
        return self.compute[number % len(self.compute)]

    def core(self, number: int) -> str:
        return self.cores[number % len(self.cores)]


def places_in(topology: Topology) -> Places:
    """Those of the topology. WrongRequest names what it lacks."""
    of_tier = {tier: tuple(s.name for s in topology.sites if s.tier is tier) for tier in Tier}
    able = [s for s in topology.sites if s.vcpus > 0 and s.memory_gb > 0 and s.tier is not Tier.CELL]
    compute = [s.name for s in able if s.tier is Tier.METRO] or [s.name for s in able]
    lacks = [f"a site of the tier {tier.value}" for tier in (Tier.CELL, Tier.CORE) if not of_tier[tier]]
    lacks += ["a site with vcpus and memory_gb that is no cell"] if not compute else []
    if lacks:
        raise WrongRequest(f"--topo: {topology.name} lacks {' and '.join(lacks)}: add it to the file")
    return Places(of_tier[Tier.CELL], tuple(compute), of_tier[Tier.CORE])


def settled(request: Mapping[str, Any], topology: Topology) -> dict[str, Any]:
    """The request, with sites of the topology in the place of those that it does not have."""
    places, compute = places_in(topology), request["compute"]

    def known(name: str, instead: str) -> str:
        return name if name == "auto" or topology.has_site(name) else instead

    return {
        **request,
        "cells": list(dict.fromkeys(known(cell, places.cell(n)) for n, cell in enumerate(request["cells"]))),
        "compute": {**compute, "site": known(compute["site"], places.site(0))},
        "core": known(request["core"], places.core(0)),
    }
