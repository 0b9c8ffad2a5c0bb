"""Which new link would heal a connection that no way and no spare can: paper 000's "add an edge", named. Pure.

The cheapest new channel has the class and the bandwidth asked for and is the shortest. A new fibre is assumed to follow
the ducts that there are: its length is that of the shortest way between its ends over all channels of the topology,
working or not.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from controller.model.request import ConnectionRequest
from controller.pce.network import Network
from controller.pce.network_index import channel_latency_us
from controller.pce.route_query import path_query, search_relay, search_route
from controller.pce.shortest_path import PathQuery
from topologies.spec import Channel, SecurityClass, Topology, Wavelength

NEW_CHANNEL = "new"
MAX_TRIALS = 200


@dataclass(frozen=True)
class NewLink:
    """A channel that is not there."""

    a: str
    b: str
    security: SecurityClass
    capacity_kbps: int
    length_km: float

    def __str__(self) -> str:
        return (
            f"a new {self.security.label} channel of {self.capacity_kbps / 1000:g} Mbit/s between {self.a} and "
            f"{self.b} ({self.length_km:g} km)"
        )


def cheapest_new_link(network: Network, request: ConnectionRequest) -> NewLink | None:
    """The shortest single channel with which ``request`` has a way; None when no one channel gives it one.

    Equally short ones are settled by the names of their ends.
    """
    query = path_query(network, request)
    if query is None or search_relay(network, request) is None:
        return None
    for length_km, a, b in _trials(network, query):
        network.effort.spend(100)
        link = NewLink(a, b, request.spec.security.level, max(1, *query.bandwidth_kbps), length_km)
        if search_route(_with_link(network, link), request) is not None:
            return link
    return None


def _trials(network: Network, query: PathQuery) -> list[tuple[float, str, str]]:
    """Pairs of sites that a new channel could join for the query, the shortest first."""
    names = network.index.site_names
    usable = [s for s in range(len(names)) if network.is_site_number_up(s) and s not in query.banned_sites]
    if query.source not in usable or query.target not in usable:
        return []
    along, against = query.bandwidth_kbps
    from_source = _latencies(network, query, query.source)
    # Looked for from its end, so that what is along the way there is against it here.
    to_target = _latencies(network, replace(query, bandwidth_kbps=(against, along)), query.target)
    trials = []
    for a in from_source:
        network.effort.spend(10 * len(network.index.site_names))
        ducts = _ducts_km(network, a)
        for b in to_target:
            if a == b or b not in ducts:
                continue
            latency = from_source[a] + _latency_us(network, ducts[b]) + to_target[b]
            if latency <= query.max_latency_us:
                first, second = sorted((names[a], names[b]))
                trials.append((round(ducts[b], 3), first, second))
    return sorted(set(trials))[:MAX_TRIALS]


def _latencies(network: Network, query: PathQuery, root: int) -> dict[int, int]:
    """Least latency from ``root`` to every site over channels that may carry the query."""

    def ends(site: int) -> Iterable[tuple[int, float]]:
        for neighbour, _, _, offers in network.index.offers(query.level, query.is_exact)[site]:
            usable = [
                latency
                for arc, _, latency, _ in offers
                if network.headroom[arc] >= query.bandwidth_kbps[0]
                and network.headroom[arc ^ 1] >= query.bandwidth_kbps[1]
                and arc not in query.banned_arcs
            ]
            if usable and neighbour not in query.banned_sites:
                yield neighbour, min(usable)

    return {site: int(latency) for site, latency in _distances(root, ends).items()}


def _ducts_km(network: Network, root: int) -> dict[int, float]:
    """Length of the shortest way from ``root`` to every site over all channels, working or not."""
    index = network.index

    def ends(site: int) -> Iterable[tuple[int, float]]:
        for neighbour, parallel in index.neighbours[site]:
            yield neighbour, min(network.topology.channel(index.channel_ids[c]).length_km for c in parallel)

    return _distances(root, ends)


def _distances(root: int, ends: Callable[[int], Iterable[tuple[int, float]]]) -> dict[int, float]:
    """Dijkstra."""
    found: dict[int, float] = {}
    heap: list[tuple[float, int]] = [(0, root)]
    while heap:
        distance, site = heapq.heappop(heap)
        if site in found:
            continue
        found[site] = distance
        for neighbour, length in ends(site):
            if neighbour not in found:
                heapq.heappush(heap, (distance + length, neighbour))
    return found


def _latency_us(network: Network, length_km: float) -> int:
    channel = Channel(NEW_CHANNEL, "a", "b", NEW_CHANNEL, SecurityClass.NONE, 1.0, length_km)
    return channel_latency_us(channel) + network.index.latency.switch_us


def _with_link(network: Network, link: NewLink) -> Network:
    """The same network in the same state, with one channel more."""
    old = network.topology
    gbps = link.capacity_kbps / 1000 / old.mbps_per_gbps
    channel = Channel(
        NEW_CHANNEL, link.a, link.b, NEW_CHANNEL, link.security, link.capacity_kbps / 1000, link.length_km,
        frozenset({NEW_CHANNEL}),
    )  # fmt: skip
    topology: Topology = replace(
        old,
        wavelengths=(*old.wavelengths, Wavelength(NEW_CHANNEL, link.security, gbps, 1)),
        channels=(*old.channels, channel),
    )
    return network.onto(topology)
