"""Another path computation beside the builtin one, on the same instances: what it finds, what that costs, how long.

Every answer passes the auditor; one that does not counts as refused, and as nothing found. Times are those of whole
answers, the extension's process and its messages included; the builtin's are those of the search alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from controller.extending.audit import NoRelay, Refused, audited_plan
from controller.extending.views import network_view, slice_ask
from controller.model.request import connections_of
from controller.pce.computation import search_slice
from controller.pce.cost import breakdown
from controller.pce.placement import candidates
from scripts.bench.pce.instances import SmallLimits, small_listed, small_network, small_slice
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError
from scripts.extensions.loading import Identity
from scripts.extensions.naming import Use

INSTANCES = 100
MOST_SEEDS = 50  # to be tried for each slice that the builtin can place
LIMITS = SmallLimits(sites=6, channels=11, cells=1)
NOTE = (
    "use.NAME: an extension on the same slices as the builtin, all its answers audited; feasible_share is of those "
    "that the builtin can place; cost_gap is what its plans cost more, by surplus levels and latency; ms are of whole "
    "answers, its process included, builtin ms of the search alone"
)


@dataclass
class Outcome:
    """What came of all instances."""

    feasible: int = 0  # that the builtin finds
    found: int = 0
    refused: int = 0
    failed: int = 0
    equal: int = 0
    surplus_gaps: list[float] = field(default_factory=list)
    latency_gaps_us: list[float] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    builtin_ms: list[float] = field(default_factory=list)
    first_refusal: str | None = None

    def figures(self) -> dict[str, float]:
        return {
            "instances": len(self.builtin_ms),
            "feasible": self.feasible,
            "feasible_share": self.found / self.feasible if self.feasible else 0.0,
            "refused": self.refused,
            "failed": self.failed,
            "equal_cost": self.equal,
            "cost_gap.surplus_levels.mean": _mean(self.surplus_gaps),
            "cost_gap.latency_us.mean": _mean(self.latency_gaps_us),
            "cost_gap.latency_us.max": max(self.latency_gaps_us, default=0.0),
            "p50_ms": _quantile(sorted(self.took_ms), 0.5),
            "p99_ms": _quantile(sorted(self.took_ms), 0.99),
            "builtin_p50_ms": _quantile(sorted(self.builtin_ms), 0.5),
            "builtin_p99_ms": _quantile(sorted(self.builtin_ms), 0.99),
        }


def compare(
    use: Use, instances: int = INSTANCES, progress: Callable[[str], None] = lambda line: None
) -> tuple[dict[str, float], list[str], Identity]:
    """As many slices as the builtin can place, and those drawn meanwhile that it cannot.

    Figures under ``use.NAME``, notes, and who it is. Raises ExtensionError when it is not there.
    """
    worker = Worker(use)
    try:
        identity = worker.start()
        progress(f"comparing {identity} with the builtin on {instances} slices that can be placed")
        outcome = _compared(worker, instances)
    finally:
        worker.close()
    notes = [f"{identity}: SHA-256 {identity.sha256}", NOTE]
    if outcome.first_refusal is not None:
        notes.append(f"{identity}: the first answer that was not used: {outcome.first_refusal}")
    figures = {f"use.{identity.name}.{name}": value for name, value in outcome.figures().items()}
    return figures, notes, identity


def _compared(worker: Worker, instances: int) -> Outcome:
    outcome = Outcome()
    for seed in range(MOST_SEEDS * instances):
        if outcome.feasible == instances:
            break
        is_directed = seed % 2 == 1
        network = small_network(seed, LIMITS, is_one_sided=is_directed)
        request = small_listed(seed, network) if is_directed else small_slice(seed, network, LIMITS)
        began = time.perf_counter()
        exact = search_slice(network, request)
        outcome.builtin_ms.append(1000 * (time.perf_counter() - began))
        outcome.feasible += exact is not None
        placements = [(site, connections_of(request, site)) for site in candidates(network, request)]
        view, ask = network_view(network), slice_ask(network, request)
        began = time.perf_counter()
        try:
            answer = worker.ask("plan", view, ask)
            outcome.took_ms.append(1000 * (time.perf_counter() - began))
            planned = () if answer is None else audited_plan(network, placements, answer)
        except (ExtensionError, Refused) as error:
            outcome.refused += isinstance(error, Refused)
            outcome.failed += isinstance(error, ExtensionError)
            outcome.first_refusal = outcome.first_refusal or str(error)
            continue
        except NoRelay:
            continue
        if exact is not None and planned:
            outcome.found += 1
            theirs, ours = breakdown(sum(one.cost for one in planned)), breakdown(exact.cost)
            outcome.equal += theirs == ours
            outcome.surplus_gaps.append(theirs.surplus_levels - ours.surplus_levels)
            outcome.latency_gaps_us.append(theirs.latency_us - ours.latency_us)
    return outcome


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
