"""``bench paths``: is path computation exact, and how fast is it beside the common practice?

Exactness: random instances against trying everything, and larger ones against a MILP where scipy is installed.
Speed: one constrained path on loaded networks of growing size, with k-shortest-and-filter by networkx in the same
run on the same questions, each of its answers cut off at a limit.
"""

from __future__ import annotations

import gc
import importlib.util
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

from controller.model.path import Route
from controller.model.request import ConnectionRequest, Protection, SliceRequest
from controller.pce.computation import search_pair, search_route, search_slice
from controller.pce.cost import CostBreakdown, breakdown
from controller.pce.network import Network
from scripts.bench.pce import brute_force
from scripts.bench.pce.baseline import KShortestAndFilter
from scripts.bench.pce.instances import (
    SmallLimits,
    small_connection,
    small_listed,
    small_network,
    small_slice,
)
from scripts.bench.pce.large import large_network, large_request
from scripts.setup.machine import describe_machine, describe_versions
from topologies.spec import Allocation

SIZES = (100, 1_000, 10_000, 100_000)
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
SLICE_LIMITS = SmallLimits(sites=5, channels=9, cells=1)
POOLED = (None, Allocation.SHARED, Allocation.CIRCUIT)
MEDIUM_LIMITS = SmallLimits(sites=24, channels=60)


@dataclass(frozen=True)
class Effort:
    """How much of everything; the defaults take a few minutes."""

    routes: int = 1_500
    pairs: int = 1_000
    slices: int = 300
    milp_routes: int = 60
    milp_pairs: int = 20
    queries: int = 1_000
    baseline_queries: int = 30
    baseline_limit_s: float = 2.0
    sizes: tuple[int, ...] = SIZES


def run(effort: Effort = Effort(), progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """The benchmark's report; ``progress`` is told what goes on."""
    figures: dict[str, float] = {}
    notes = [
        "oracle: every simple path, pair and joint plan tried (scripts/bench/pce/brute_force.py), and a MILP solved by "
        "HiGHS on larger networks (scripts/bench/pce/milp.py); equal means as feasible and of the same cost",
        "sites_N: a lattice of N sites, five channels per adjacency, under load; latency bounds from too tight to "
        "loose; infeasible questions count as well; what depends on the topology alone is computed before "
        "(prepare_ms), as at the start of the controller, and frozen for the garbage collector",
        f"baseline: as kytos does: edges filtered by security and bandwidth, the {KShortestAndFilter.K_PATHS} shortest "
        f"simple paths of networkx on what is left, the first that meets the latency bound; cut off after "
        f"{effort.baseline_limit_s:g} s of processor time; it ignores surplus security, load and keys",
    ]
    tally = Counter[str]()
    compare_small(effort, tally, progress)
    if importlib.util.find_spec("scipy") is None:
        notes.append("scipy is not installed, so nothing was compared with a MILP")
    else:
        compare_medium(effort, tally, progress)
    figures.update({f"oracle.{name}": count for name, count in sorted(tally.items())})
    for sites in effort.sizes:
        figures.update({f"sites_{sites}.{name}": value for name, value in measure(sites, effort, progress).items()})
    versions = describe_versions()
    for name in ("networkx", "scipy"):
        if importlib.util.find_spec(name) is not None:
            versions[name] = metadata.version(name)
    return {
        "bench": "paths", "machine": describe_machine(), "versions": versions, "figures": figures, "notes": notes,
    }  # fmt: skip


def compare_small(effort: Effort, tally: Counter[str], progress: Callable[[str], None]) -> None:
    """Count in ``tally`` the instances, the feasible ones and those on which the oracle agrees.

    Every other one has bandwidth that differs by direction, and lists its connections; of three one has wavelengths of
    several circuits, and one client ports.
    """
    progress(f"comparing {effort.routes} routes, {effort.pairs} pairs and {effort.slices} slices with brute force")
    for seed in range(effort.routes):
        network = _small(seed, SmallLimits(), POOLED[seed % 3])
        request = small_connection(seed, network, is_directed=_is_directed(seed), is_eased=seed % 3 > 0)
        _count(tally, _route_value(network, request), brute_force.best_route(network, request))
    for seed in range(effort.pairs):
        network = _small(seed, SmallLimits(), POOLED[seed % 3])
        protection = Protection.ONE_PLUS_ONE if _is_directed(seed) else Protection.ONE_TO_ONE
        request = small_connection(seed, network, protection, is_directed=_is_directed(seed), is_eased=seed % 3 > 0)
        _count(tally, _pair_value(network, request), brute_force.best_pair(network, request), "pairs")
    for seed in range(effort.slices):
        network = _small(seed, SLICE_LIMITS, POOLED[seed % 3])
        asked = small_listed(seed, network) if _is_directed(seed) else small_slice(seed, network, SLICE_LIMITS)
        _count(tally, _slice_value(network, asked), brute_force.best_slice(network, asked), "slices")


def compare_medium(effort: Effort, tally: Counter[str], progress: Callable[[str], None]) -> None:
    """As :func:`compare_small` on networks too large to try everything, with a MILP."""
    from scripts.bench.pce import milp

    progress(f"comparing {effort.milp_routes} routes and {effort.milp_pairs} pairs with a MILP")
    for seed in range(effort.milp_routes + effort.milp_pairs):
        network = _small(seed, MEDIUM_LIMITS)
        is_pair = seed >= effort.milp_routes
        protection = Protection.ONE_PLUS_ONE if is_pair else Protection.NONE
        request = without_requirements(small_connection(seed, network, protection, is_directed=_is_directed(seed)))
        if not brute_force.relays(network, request):
            _count(tally, search_route(network, request), None, "milp")
        elif is_pair:
            _count(tally, _pair_value(network, request), milp.best_pair(network, request), "milp")
        else:
            found = _route_value(network, request)
            _count(tally, None if found is None else found[0], milp.best_route(network, request), "milp")


def _is_directed(seed: int) -> bool:
    return seed % 2 == 1


def _small(seed: int, limits: SmallLimits, pooled: Allocation | None = None) -> Network:
    return small_network(seed, limits, is_one_sided=_is_directed(seed), pooled=pooled)


def without_requirements(request: ConnectionRequest) -> ConnectionRequest:
    """The request without required elements, which the MILP does not model."""
    return replace(request, spec=replace(request.spec, include_sites=(), include_channels=()))


def measure(sites: int, effort: Effort, progress: Callable[[str], None]) -> dict[str, float]:
    """Latencies of one constrained path on a network of ``sites`` sites, ours and the baseline's."""
    progress(f"generating a network of {sites} sites")
    network = large_network(sites, seed=1)
    started = time.perf_counter()
    network.index.prepare()
    figures = {"prepare_ms": 1000 * (time.perf_counter() - started)}
    requests = [large_request(network, seed) for seed in range(effort.queries if sites <= 10_000 else 200)]
    # The collector would otherwise walk the whole network now and then, in the midst of a question.
    gc.collect()
    gc.freeze()
    progress(f"asking {len(requests)} questions")
    times = []
    feasible = 0
    for request in requests:
        started = time.perf_counter()
        feasible += search_route(network, request) is not None
        times.append(1000 * (time.perf_counter() - started))
    figures.update({f"{name}_ms": value for name, value in _percentiles(times).items()})
    figures.update({"queries": len(requests), "feasible": feasible})
    progress(f"asking the baseline {effort.baseline_queries} of them")
    baseline = KShortestAndFilter(network)
    outcomes = [baseline.ask(request, effort.baseline_limit_s) for request in requests[: effort.baseline_queries]]
    # A question cut off counts with the time it had: what the baseline would need is more.
    took = _percentiles([1000 * outcome.seconds for outcome in outcomes])
    figures.update({f"baseline_{name}_ms": value for name, value in took.items()})
    ours = _percentiles(times[: effort.baseline_queries])
    figures["same_questions_p50_ms"] = ours["p50"]
    figures["baseline_queries"] = len(outcomes)
    figures["baseline_unfinished"] = sum(not outcome.is_finished for outcome in outcomes)
    finished = [
        (1000 * outcome.seconds, ours_ms)
        for outcome, ours_ms in zip(outcomes, times, strict=False)
        if outcome.is_finished
    ]
    if finished:
        # Over the questions that it finishes at all: of the whole time, and of the question in the middle.
        figures["baseline_over_ours_total"] = sum(b for b, _ in finished) / sum(o for _, o in finished)
        figures["baseline_over_ours_p50"] = sorted(b / o for b, o in finished)[len(finished) // 2]
    gc.unfreeze()
    return figures


def _percentiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in PERCENTILES.items()}


def _count(tally: Counter[str], ours: object, theirs: object, kind: str = "routes") -> None:
    tally["instances"] += 1
    tally["equal"] += ours == theirs
    tally["feasible"] += theirs is not None
    tally[f"{kind}"] += 1


def _parts(cost: int) -> brute_force.Cost:
    split: CostBreakdown = breakdown(cost)
    return split.surplus_levels, split.latency_us, split.load_permille


def _route_value(network: Network, request: ConnectionRequest) -> tuple[brute_force.Cost, int] | None:
    route = search_route(network, request)
    return None if route is None else (_parts(route.cost), sum(times for _, times in route.key_sections))


def _pair_value(network: Network, request: ConnectionRequest) -> brute_force.PairValue | None:
    found = search_pair(network, request)
    if found is None:
        return None
    return *_shared(network, found.routes.working, found.routes.backup), _parts(found.routes.cost)


def _slice_value(network: Network, request: SliceRequest) -> brute_force.PairValue | None:
    plan = search_slice(network, request)
    if plan is None:
        return None
    counts = [_shared(network, c.working, c.backup) for c in plan.connections if c.backup is not None]
    return sum(risks for risks, _ in counts), sum(sites for _, sites in counts), _parts(plan.cost)


def _shared(network: Network, working: Route, backup: Route) -> tuple[int, int]:
    risks, sites = brute_force.shared(network, (working.sites, working.channels), (backup.sites, backup.channels))
    return len(risks), len(sites)
