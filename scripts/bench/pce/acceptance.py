"""``bench paths --profiles``: how many slices each cost profile lets in under a random load.

The same arrivals, seed by seed, under both profiles: connections between random sites, of random class and bandwidth,
which come one after the other and leave after an exponential time (Erlang's model), so that the load settles. A slice
that has no path is lost. Nothing is emulated: the exact path computation, and what it reserves, alone.
"""

from __future__ import annotations

import csv
import heapq
import io
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.model.operator_policy import CostProfile
from controller.model.request import ConnectionRequest, ConnectionSpec, SecurityRequirement
from controller.pce.joint_planning import PlannedConnection, reserve_planned
from controller.pce.network import Network
from controller.pce.route_query import search_route
from kms.config import SectionConfig
from kms.sources.qkd.forecast import BLOCK_DETECTIONS, expected_qber, sustainable_bps
from topologies.catalog import load as load_topology
from topologies.spec import SecurityClass, Topology

# Slices that would be there at the same time if none were refused: from hardly any refused to many.
LOADS = {"ukqntel": (10, 20, 40), "metro-ring": (50, 100, 200)}
SEEDS = 10
ARRIVALS = 500
WARM_UP = 200  # not counted: the network fills
T_95 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # Student's t, 1 to 10 degrees of freedom
CLASSES = (SecurityClass.NONE, SecurityClass.DH, SecurityClass.QRA, SecurityClass.QKD)
SHARES = (0.4, 0.2, 0.2, 0.2)  # of the classes: most traffic is lesser
SIZES = (0.05, 0.1, 0.2, 0.4)  # of a channel's capacity
LATENCY_US = 20_000
NOTES = (
    f"arrivals: {ARRIVALS} slices of one connection for each seed, the first {WARM_UP} not counted; none, dh, qra, qkd "
    f"as {', '.join(f'{share:g}' for share in SHARES)}; {', '.join(f'{size:g}' for size in SIZES)} of a channel's "
    f"capacity; at most {LATENCY_US // 1000} ms; any class from that asked for will do",
    "load: how many slices would be there at the same time if none were refused",
    "both profiles see the same arrivals; the interval is of the difference, paired by seed, 95 %",
    "QKD sections give what their parameters promise",
)


@dataclass(frozen=True)
class Effort:
    """How much of everything."""

    loads: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: LOADS)
    seeds: int = SEEDS


@dataclass
class Series:
    """What one profile let in of one sequence of arrivals."""

    topology: str
    load: int
    seed: int
    profile: CostProfile
    offered: Counter[SecurityClass] = field(default_factory=Counter)
    accepted: Counter[SecurityClass] = field(default_factory=Counter)
    accepted_mbps: float = 0.0
    latencies_us: list[int] = field(default_factory=list)
    surplus_hops: int = 0  # channels of a higher class than asked for, in accepted paths

    @property
    def share(self) -> float:
        """Of the slices offered, how many came in."""
        return self.accepted.total() / self.offered.total()


def compare(effort: Effort, progress: Callable[[str], None] = lambda line: None) -> list[Series]:
    """Every topology, load and seed, under each profile."""
    found = []
    for name, loads in effort.loads.items():
        topology = load_topology(name)
        rates = key_rates_millibps(topology)
        for load in loads:
            progress(f"{name}, {load} slices at a time")
            for seed in range(effort.seeds):
                found += [offer(topology, rates, load, seed, profile) for profile in CostProfile]
    return found


def key_rates_millibps(topology: Topology) -> dict[str, int]:
    """What the QKD sections give by their parameters."""
    rates = {}
    for raw in topology.to_dict()["sections"]:
        section = SectionConfig.model_validate(raw, strict=False)
        channel, protocol = section.channel(), section.protocol
        qber = expected_qber(channel, protocol)
        rates[section.id] = int(1000 * sustainable_bps(channel, protocol, BLOCK_DETECTIONS, qber))
    return rates


def offer(topology: Topology, rates: dict[str, int], load: int, seed: int, profile: CostProfile) -> Series:
    """One sequence of arrivals under a profile. The draws do not hang on what is let in."""
    network = Network(topology, profile)
    for section, rate in rates.items():
        network.set_section(section, rate, usable=rate > 0)
    rng = random.Random(f"{topology.name}/{load}/{seed}")  # noqa: S311 - arrivals, not keys
    series, leaving = Series(topology.name, load, seed, profile), list[tuple[float, str]]()
    now = 0.0
    for number in range(ARRIVALS):
        now += rng.expovariate(1.0)
        request, until = _arrival(topology, rng, number), now + rng.expovariate(1 / load)
        while leaving and leaving[0][0] <= now:
            network.release(heapq.heappop(leaving)[1])
        route = search_route(network, request)
        if route is not None:
            reserve_planned(network, PlannedConnection(request, route, None))
            heapq.heappush(leaving, (until, request.id))
        if number >= WARM_UP:
            level = request.spec.security.level
            series.offered[level] += 1
            if route is not None:
                series.accepted[level] += 1
                series.accepted_mbps += request.spec.bandwidth_kbps / 1000
                series.latencies_us.append(route.latency_us)
                series.surplus_hops += sum(topology.channel(c).security > level for c in route.channels)
    return series


def _arrival(topology: Topology, rng: random.Random, number: int) -> ConnectionRequest:
    src, dst = rng.sample(topology.site_names, 2)
    (level,) = rng.choices(CLASSES, SHARES)
    capacity_kbps = 1000 * statistics.median(channel.capacity_mbps for channel in topology.channels)
    spec = ConnectionSpec(SecurityRequirement((level,)), round(capacity_kbps * rng.choice(SIZES)), LATENCY_US)
    return ConnectionRequest(f"s{number}", "c", None, src, dst, spec)


def figures(found: Iterable[Series]) -> dict[str, float]:
    """By topology, load and profile: shares accepted and the latency paid; and the paired difference."""
    groups: dict[tuple[str, int], dict[CostProfile, list[Series]]] = {}
    for series in found:
        groups.setdefault((series.topology, series.load), {}).setdefault(series.profile, []).append(series)
    made: dict[str, float] = {}
    for (topology, load), by_profile in groups.items():
        where = f"{topology}.load_{load}"
        for profile, row in by_profile.items():
            made |= {f"{where}.{profile.value}.{name}": value for name, value in _summary(row).items()}
        last, free = (by_profile[profile] for profile in (CostProfile.PREMIUM_LAST, CostProfile.USE_FREE_PREMIUM))
        gaps = [b.share - a.share for a, b in zip(last, free, strict=True)]
        made |= {
            f"{where}.difference.accepted": statistics.mean(gaps),
            f"{where}.difference.half_interval": _half_interval(gaps),
        }
    return made


def _half_interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean; infinite for one value, of which nothing is known."""
    if len(values) < 2:
        return math.inf
    t = T_95[min(len(values) - 1, len(T_95)) - 1]
    return t * statistics.stdev(values) / math.sqrt(len(values))


def _summary(row: list[Series]) -> dict[str, float]:
    offered, accepted = Counter[SecurityClass](), Counter[SecurityClass]()
    for series in row:
        offered.update(series.offered)
        accepted.update(series.accepted)
    latencies = [latency for series in row for latency in series.latencies_us]
    return {
        "slices": accepted.total(),
        "accepted": accepted.total() / offered.total(),
        **{f"accepted.{level.label}": accepted[level] / offered[level] for level in CLASSES if offered[level]},
        "latency_us.mean": statistics.mean(latencies) if latencies else 0.0,
        "surplus_hops": sum(series.surplus_hops for series in row) / len(row),
    }


def as_csv(found: Iterable[Series]) -> str:
    """A row for each sequence under each profile."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    by_class = [f"{what}_{level.label}" for what in ("offered", "accepted") for level in CLASSES]
    writer.writerow(["topology", "load", "seed", "profile", "offered", "accepted", *by_class, "accepted_mbps",
                     "mean_latency_us", "surplus_hops"])  # fmt: skip
    for s in found:
        latency = statistics.mean(s.latencies_us) if s.latencies_us else 0.0
        writer.writerow(
            [s.topology, s.load, s.seed, s.profile.value, s.offered.total(), s.accepted.total(),
             *(s.offered[level] for level in CLASSES), *(s.accepted[level] for level in CLASSES),
             round(s.accepted_mbps, 3), round(latency, 1), s.surplus_hops]
        )  # fmt: skip
    return text.getvalue()


def rows(made: dict[str, float], effort: Effort) -> list[tuple[object, ...]]:
    """The table for a person: one row for each topology and load."""
    shown = []
    for topology, loads in effort.loads.items():
        for load in loads:
            where = f"{topology}.load_{load}"
            shares = [f"{100 * made[f'{where}.{p.value}.accepted']:.1f} %" for p in CostProfile]
            qkd = [f"{100 * made.get(f'{where}.{p.value}.accepted.qkd', 0):.1f} %" for p in CostProfile]
            gap, half = (100 * made[f"{where}.difference.{name}"] for name in ("accepted", "half_interval"))
            shown.append((topology, load, *shares, f"{gap:+.1f} ± {half:.1f}", *qkd))
    return shown


COLUMNS = ("topology", "load", *(p.value for p in CostProfile), "difference, points", "qkd: last", "qkd: free")
