"""How the papers' use cases are shown on a given network: sites chosen, and demands loosened, by the controller's own
path computation. Pure.

On a network that has the sites an example names it is shown as it stands, if it fits. Else sites are chosen: cells of
tier cell, the core of tier core, and compute where the use case has it, or failing that anywhere; the nearest first.
Where nothing fits, one demand is loosened as far as the path computation says it must be, security last. Whatever
differs from the papers is said, with the reason.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.model.errors import ControllerError
from controller.model.request import compute_of
from controller.pce.computation import SlicePlan, reserve_planned, search_route, search_slice
from controller.pce.infeasibility import Infeasible, Relaxation
from controller.pce.network import Network
from controller.pce.slice_infeasibility import explain_slice
from controller.schema.config import LatencyConfig
from controller.schema.slice_request import parse_slice_request
from topologies.spec import Tier, Topology

TIER_OF_COMPUTE = {"enterprise-app": Tier.METRO, "cdn": Tier.AGGREGATION}
CELLS_FIRST = (Tier.CELL, Tier.AGGREGATION, Tier.METRO, Tier.CORE)
CELLS = 2
NEAREST = 3
"""So many cores, sites for compute and choices of cells are tried."""

# A use case is the less itself the later what has to be loosened stands here.
LOOSENED_LAST = (
    "latency_ms", "site", "vcpus", "memory_gb", "bandwidth_mbps", "reverse_bandwidth_mbps", "rekey_s", "protection",
    "max_hops", "match", "security",
)  # fmt: skip

Request = dict[str, Any]


@dataclass(frozen=True)
class Demonstration:
    """Requests in the order in which they are made, and what is to be known of them."""

    requests: tuple[Request, ...]
    remarks: tuple[str, ...]
    """What cannot be shown on this network as the papers have it, and why; a sentence each without a full stop."""

    restorable: frozenset[str]
    """Channels in use that may fail: everything on them has another way at its level."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Where connections end."""
        named = [site for r in self.requests for site in (*r["cells"], r["compute"]["site"], r["core"])]
        return tuple(dict.fromkeys(named))


def choose(topology: Topology, key_rates_millibps: Mapping[str, int], examples: Sequence[Request]) -> Demonstration:
    """Plan the examples one after the other; ``key_rates_millibps``: what QKD sections give, those left out nothing."""
    network = Network(topology, latency=LatencyConfig().parsed())  # by default, whatever the run's settings
    for section in topology.sections:
        rate = key_rates_millibps.get(section.id, 0)
        network.set_section(section.id, rate, usable=rate > 0)
    shown: list[Request] = []
    plans: list[SlicePlan] = []
    remarks: list[str] = []
    for example in examples:
        found = _fit(network, example)
        remarks += found.remarks
        if found.plan is not None:
            shown.append(found.request)
            plans.append(found.plan)
            for planned in found.plan.connections:
                reserve_planned(network, planned)
            network.reserve_compute(found.plan.request.name, compute_of(found.plan.request, found.plan.compute_site))
    restorable = _restorable(network, plans)
    if plans and not restorable:
        remarks.append("no failure is shown: no channel in use can fail without a connection losing its only way")
    return Demonstration(tuple(shown), tuple(remarks), restorable)


@dataclass(frozen=True)
class _Fit:
    request: Request
    plan: SlicePlan | None
    remarks: tuple[str, ...]


def _fit(network: Network, example: Request) -> _Fit:
    groups = list(_placements(network, example))
    for request in itertools.chain.from_iterable(groups):
        plan = search_slice(network, parse_slice_request(request))
        if plan is not None:
            made = _placed(request, plan)
            return _Fit(made, plan, _moved(network.topology, example, made))
    first = [group[0] for group in groups if group]
    if not first:
        return _Fit(example, None, (f"{example['name']} is not shown: no two sites are joined by channels",))
    return _loosened(network, example, first)


def _loosened(network: Network, example: Request, requests: Sequence[Request]) -> _Fit:
    """The first of the requests that fits with one demand loosened; security only where nothing else helps in any."""
    name, refusals = example["name"], [explain_slice(network, parse_slice_request(request)) for request in requests]
    found = [
        (_is_security(relaxation), n, _reluctance(relaxation), k)
        for n, refusal in enumerate(refusals)
        for k, relaxation in enumerate(refusal.nearest)
    ]
    for _, n, _, k in sorted(found):
        parts = (refusals[n].nearest[k], *refusals[n].nearest[k].also)
        loosened = copy.deepcopy(requests[n])
        for part in parts:
            _put(loosened, part)
        plan = search_slice(network, parse_slice_request(loosened))
        if plan is not None:
            made = _placed(loosened, plan)
            what = ", ".join(part.description for part in parts)
            remark = f"{name} is shown with {what}: {_reasons(refusals[n])}"
            return _Fit(made, plan, (*_moved(network.topology, example, made), remark))
    return _Fit(example, None, (f"{name} is not shown: {_reasons(refusals[-1])}",))


def _is_security(relaxation: Relaxation) -> bool:
    return any(part.field.endswith(".security") for part in (relaxation, *relaxation.also))


def _reluctance(relaxation: Relaxation) -> tuple[int, int]:
    ranks = [LOOSENED_LAST.index(part.field.rpartition(".")[2]) for part in (relaxation, *relaxation.also)]
    return max(ranks), len(ranks)


def _put(request: Request, part: Relaxation) -> None:
    place: dict[str, Any] = request
    *above, last = part.field.split(".")
    for key in above:
        place = place[key]
    place[last] = list(part.value) if isinstance(part.value, tuple) else part.value


def _reasons(infeasible: Infeasible) -> str:
    """What binds and where; amounts stand in the change that helps."""
    return "; ".join(dict.fromkeys(f"{reason.constraint} at {reason.where}" for reason in infeasible.reasons))


def _placements(network: Network, example: Request) -> Iterator[list[Request]]:
    """The example on this network's sites in groups, the most like itself first."""
    topology = network.topology
    named = [*example["cells"], example["core"], example["compute"]["site"]]
    if all(topology.has_site(site) for site in named):
        yield [example]
    tier = TIER_OF_COMPUTE.get(example["name"])
    chosen = list(_ends(network))
    for count in (CELLS, 1):
        yield [
            _at(example, cells[:count], site, core)
            for core, cells in chosen
            if len(cells) >= count
            for site in _nearest(network, tier, core, cells[:count])
        ]
    for count in (CELLS, 1):
        yield [_at(example, cells[:count], "auto", core) for core, cells in chosen if len(cells) >= count]


def _nearest(network: Network, tier: Tier | None, core: str, cells: Sequence[str]) -> list[str]:
    """Sites of a tier, the nearest to the core first."""
    sites = [s.name for s in network.topology.sites if s.tier is tier and s.name not in (core, *cells)]
    joined = [(d, site) for site in sites if (d := _distance(network, site, core)) is not None]
    return [site for _, site in sorted(joined)[:NEAREST]]


def _ends(network: Network) -> Iterator[tuple[str, list[str]]]:
    """Cores with the cells nearest to each. Where a tier has no site the next one stands in."""
    topology = network.topology
    cores, cells = _of_tier(topology, CELLS_FIRST[::-1]), _of_tier(topology, CELLS_FIRST)
    found = []
    for core in cores:
        joined = [(d, cell) for cell in cells if cell != core and (d := _distance(network, cell, core)) is not None]
        nearest = [cell for _, cell in sorted(joined)[:CELLS]]
        if nearest:
            found.append((-len(nearest), sum(d for d, _ in sorted(joined)[:CELLS]), core, nearest))
    for _, _, core, nearest in itertools.islice(sorted(found), NEAREST):
        yield core, nearest


def _of_tier(topology: Topology, order: Sequence[Tier]) -> list[str]:
    for tier in order:
        names = [site.name for site in topology.sites if site.tier is tier]
        if names:
            return names
    return []


def _distance(network: Network, a: str, b: str) -> int | None:
    """A lower bound on the latency between two sites; None where nothing joins them."""
    bounds, number = network.index.bounds, network.index.site_number
    if a == b or not bounds.is_connected(number[a], number[b]):
        return None
    return bounds.distance_to(number[b], number[a])(number[a])


def _at(example: Request, cells: Sequence[str], site: str, core: str) -> Request:
    return {**example, "cells": list(cells), "compute": {**example["compute"], "site": site}, "core": core}


def _placed(request: Request, plan: SlicePlan) -> Request:
    assert plan.compute_site is not None  # a use case has one
    return _at(request, request["cells"], plan.compute_site, request["core"])


def _moved(topology: Topology, example: Request, made: Request) -> tuple[str, ...]:
    """How the sites chosen are others than those of the use case."""
    name, remarks = made["name"], []
    for cell in made["cells"]:
        if topology.site(cell).tier is not Tier.CELL:
            remarks.append(f"{name}: {cell} stands in for a cell, as this network has none")
    if topology.site(made["core"]).tier is not Tier.CORE:
        remarks.append(f"{name}: {made['core']} stands in for the core, as this network has none")
    if len(made["cells"]) < min(CELLS, len(example["cells"])):
        others = [s for s in _of_tier(topology, CELLS_FIRST) if s not in (*made["cells"], made["core"])]
        why = "with two it does not fit" if others else "this network has no other"
        remarks.append(f"{name} is shown with one cell: {why}")
    tier, site = TIER_OF_COMPUTE.get(example["name"]), topology.site(made["compute"]["site"])
    if tier is not None and site.tier is not tier:
        has_one = any(s.tier is tier for s in topology.sites)
        why = f"at no {tier.value} site does it fit" if has_one else f"this network has no {tier.value} site"
        remarks.append(f"{name} computes at {site.name} ({site.tier.value}): {why}")
    return tuple(remarks)


def _restorable(network: Network, plans: Sequence[SlicePlan]) -> frozenset[str]:
    connections = [c for plan in plans for c in plan.connections]
    used = {channel for c in connections for channel in c.working.channels}
    return frozenset(channel for channel in used if _survives(network, channel, plans))


def _survives(network: Network, channel: str, plans: Sequence[SlicePlan]) -> bool:
    """Whether everything that works over the channel finds another way, all of it together."""
    trial = network.copy()
    trial.set_channel_up(channel, False)
    hit = [c for plan in plans for c in plan.connections if channel in c.working.channels]
    for connection in hit:
        trial.release(connection.request.id)
        if connection.backup is not None:
            trial.release(f"{connection.request.id}#backup")
    for connection in hit:
        route = search_route(trial, connection.request)
        if route is None:
            return False
        try:
            spec = connection.request.spec
            trial.reserve(connection.request.id, route, spec.reserved_kbps, spec.key_rate_millibps)
        except ControllerError:
            return False
    return True
