"""Traffic matrices made slice requests: one slice for each source, a connection for each pair of sites. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import networkx

from topologies.derivation.document import WAVELENGTH_GBPS, Derived
from topologies.files import DEFAULT_MBPS_PER_GBPS
from topologies.spec import ENCRYPTION_CARD_DELAY_US, FIBRE_DELAY_US_PER_KM, TopologyError

SWITCH_US, TUNNEL_US = 100, 300  # allowed for in bounds: more than latency.switch_us and latency.tunnel_us
MOST_CONNECTIONS = 20_000
MOST_OF_A_SLICE = 128
LEAST_MBPS = 0.001  # what a request may ask for at least
BUSIEST_SHARE = 0.5
PROTECTION = "restoration"
FIRST_SD = 0x100000


@dataclass(frozen=True)
class DemandOptions:
    """What the requests ask for beside the traffic."""

    security: str = "qra"
    mbps_per_unit: float | None = None
    """Emulated Mbit/s for one unit of demand; None: by the source's unit, or so that the busiest fibre is half full."""


def slice_requests(derived: Derived, options: DemandOptions) -> tuple[list[dict[str, Any]], list[str]]:
    """A request for each site from which there is traffic, and what was assumed. TopologyError where there is none.

    Traffic from A to B and from B to A is one connection, of the slice of the site that comes first.
    """
    pairs = _pairs(derived)
    if not pairs:
        raise TopologyError(f"{derived.graph.name}: it has no traffic matrix to make slice requests of")
    if len(pairs) > MOST_CONNECTIONS:
        raise TopologyError(
            f"{derived.graph.name}: {len(pairs)} demands; at most {MOST_CONNECTIONS} become connections"
        )
    graph = _delays(derived)
    ways = _shortest_ways(graph, pairs)
    factor, note = _factor(derived, pairs, ways, options)
    by_source: dict[str, list[dict[str, Any]]] = {}
    for (a, b), (there, back) in pairs.items():
        way = ways[a, b]
        latency_us = 2 * _delay_us(graph, way) + len(way) * SWITCH_US + TUNNEL_US
        latency_ms = max(1.0, math.ceil(latency_us / 100) / 10)
        connection = {
            "name": f"{a}-{b}", "from": a, "to": b, "security": options.security,
            "bandwidth_mbps": _mbps(there * factor), "reverse_bandwidth_mbps": _mbps(back * factor),
            "latency_ms": latency_ms, "protection": PROTECTION,
        }  # fmt: skip
        if there == back:
            del connection["reverse_bandwidth_mbps"]
        by_source.setdefault(a, []).append(connection)
    requests = requests_for({f"demands-{source}": found for source, found in by_source.items()}, FIRST_SD)
    notes = [
        f"{len(pairs)} pairs of sites with traffic, in {len(requests)} slices: one for each first site of a pair",
        note,
        f"security {options.security}, protection {PROTECTION}: the source knows neither",
        "latency_ms: twice that of the shortest way's channels, 0.1 for each switch, 0.3 for the tunnel; at least 1",
    ]
    return requests, notes


def requests_for(slices: dict[str, list[dict[str, Any]]], first_sd: int) -> list[dict[str, Any]]:
    """Requests of these names; one that has more connections than a slice may have becomes several."""
    parts = [
        (name if start == 0 else f"{name}-{start // MOST_OF_A_SLICE + 1}", connections[start : start + MOST_OF_A_SLICE])
        for name, connections in slices.items()
        for start in range(0, len(connections), MOST_OF_A_SLICE)
    ]
    return [
        {"name": name, "sNSSAI": {"sst": 1, "sd": f"{first_sd + n:06X}"}, "connections": connections}
        for n, (name, connections) in enumerate(parts)
    ]


def _mbps(value: float) -> float:
    return max(LEAST_MBPS, round(value, 3))


def _pairs(derived: Derived) -> dict[tuple[str, str], tuple[float, float]]:
    """Demand there and back by the pair of sites, in the order of the sites.

    Where the source has every pair one way alone, it means both, as SNDlib's undirected networks do.
    """
    number = {site: n for n, site in enumerate(derived.sites.values())}
    found: dict[tuple[str, str], list[float]] = {}
    for demand in derived.graph.demands:
        a, b = derived.sites[demand.a], derived.sites[demand.b]
        if a == b or demand.value == 0:
            continue
        forwards = number[a] < number[b]
        found.setdefault((a, b) if forwards else (b, a), [0.0, 0.0])[0 if forwards else 1] += demand.value
    order = sorted(found, key=lambda pair: (number[pair[0]], number[pair[1]]))
    if not any(there and back for there, back in found.values()):
        return {pair: (max(found[pair]), max(found[pair])) for pair in order}
    return {pair: (found[pair][0], found[pair][1]) for pair in order}


def _delays(derived: Derived) -> networkx.Graph[str]:
    """The sites, and the delay ``us`` of the shortest fibre between two."""
    graph: networkx.Graph[str] = networkx.Graph()
    for fibre in derived.document["fibres"]:
        a, b, us = fibre["a"], fibre["b"], fibre["km"] * FIBRE_DELAY_US_PER_KM + ENCRYPTION_CARD_DELAY_US
        graph.add_edge(a, b, us=min(us, graph.get_edge_data(a, b, {"us": math.inf})["us"]))
    return graph


def _shortest_ways(graph: networkx.Graph[str], pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    ways: dict[tuple[str, str], list[str]] = {}
    for a, of_source in groupby(pairs, key=lambda pair: pair[0]):  # they are in the order of their first sites
        found = networkx.single_source_dijkstra_path(graph, a, weight="us")
        ways |= {pair: found[pair[1]] for pair in of_source}
    return ways


def _delay_us(graph: networkx.Graph[str], way: list[str]) -> float:
    return float(sum(graph.edges[hop]["us"] for hop in pairwise(way)))


def _factor(
    derived: Derived,
    pairs: dict[tuple[str, str], tuple[float, float]],
    ways: dict[tuple[str, str], list[str]],
    options: DemandOptions,
) -> tuple[float, str]:
    """Emulated Mbit/s for one unit of demand, and the line that says so."""
    if options.mbps_per_unit is not None:
        return options.mbps_per_unit, f"one unit of demand is {options.mbps_per_unit:g} Mbit/s of the emulated network"
    if derived.graph.demand_mbps is not None:
        factor = derived.graph.demand_mbps / 1000 * DEFAULT_MBPS_PER_GBPS
        return factor, f"demands are of the real network: 1 Gbit/s of them is {DEFAULT_MBPS_PER_GBPS:g} Mbit/s here"
    load: defaultdict[frozenset[str], float] = defaultdict(float)
    for pair, (there, back) in pairs.items():
        for ends in pairwise(ways[pair]):
            load[frozenset(ends)] += max(there, back)
    gbps = min(_capacities(derived))
    busiest, most = max(load.items(), key=lambda item: (item[1], sorted(item[0])))
    factor = float(f"{BUSIEST_SHARE * gbps * DEFAULT_MBPS_PER_GBPS / most:.3g}")
    between = " - ".join(sorted(busiest))
    return factor, (
        f"one unit of demand is {factor:g} Mbit/s, as the source does not say: on shortest ways that fills a channel "
        f"of the busiest fibre, {between}, to {BUSIEST_SHARE:.0%}"
    )


def _capacities(derived: Derived) -> list[float]:
    return [
        entry.get("capacity_gbps", WAVELENGTH_GBPS) if isinstance(entry, dict) else WAVELENGTH_GBPS
        for fibre in derived.document["fibres"]
        for entry in fibre["channels"]
    ]
