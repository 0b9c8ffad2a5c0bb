"""Path computation by trying everything: the oracle. It shares no code with controller/ but the model's values.

Costs are tuples compared in order (surplus, latency, load), so that the weights are checked as well.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

from controller.model.request import ConnectionRequest, Match, SliceRequest, connections_of
from controller.pce.network import Network
from topologies.spec import SecurityClass

Cost = tuple[int, int, int]
Way = tuple[tuple[str, ...], tuple[str, ...]]  # sites, channels


def add(*costs: Cost) -> Cost:
    return sum(c[0] for c in costs), sum(c[1] for c in costs), sum(c[2] for c in costs)


def latency_us(km: float) -> int:
    exact = Fraction(str(km)) * Fraction("4.9") + 15
    return -(-exact.numerator // exact.denominator)


def simple_ways(network: Network, src: str, dst: str) -> Iterator[Way]:
    channels = [c for c in network.topology.channels if network.is_channel_up(c.id)]

    def extend(sites: tuple[str, ...], used: tuple[str, ...]) -> Iterator[Way]:
        if sites[-1] == dst:
            yield sites, used
            return
        for c in channels:
            if sites[-1] in c.ends and c.other(sites[-1]) not in sites:
                yield from extend((*sites, c.other(sites[-1])), (*used, c.id))

    if src != dst and network.is_site_up(src) and network.is_site_up(dst):
        yield from extend((src,), ())


def cost_of(network: Network, request: ConnectionRequest, way: Way) -> Cost:
    total: Cost = (0, 0, 0)
    for channel_id in way[1]:
        c = network.topology.channel(channel_id)
        capacity = round(c.capacity_mbps * 1000)
        load = (network.reserved_kbps(channel_id) + request.spec.bandwidth_kbps) * 1000 // capacity
        total = add(total, (c.security - request.spec.security.level, latency_us(c.length_km), load))
    return total


def allowed_ways(network: Network, request: ConnectionRequest) -> list[tuple[Cost, Way]]:
    """Every simple way that satisfies the request by itself, cheapest first."""
    spec = request.spec
    found = []
    for way in simple_ways(network, request.src, request.dst):
        sites, channels = way
        classes = [network.topology.channel(c).security for c in channels]
        if spec.security.match is Match.EXACT:
            ok = all(s == spec.security.level for s in classes)
        else:
            ok = all(s >= spec.security.level for s in classes)
        ok = ok and all(network.residual_kbps(c) >= spec.bandwidth_kbps for c in channels)
        ok = ok and sum(latency_us(network.topology.channel(c).length_km) for c in channels) <= spec.latency_us
        ok = ok and not set(sites) & spec.exclude_sites and not set(channels) & spec.exclude_channels
        ok = ok and set(spec.include_sites) <= set(sites) and set(spec.include_channels) <= set(channels)
        ok = ok and (spec.max_hops is None or len(channels) <= spec.max_hops)
        if ok:
            found.append((cost_of(network, request, way), way))
    return sorted(found)


def relays(network: Network, request: ConnectionRequest) -> list[Counter[str]]:
    """Section crossings of every relay that has the rate, fewest first; one empty relay when no QKD key is needed."""
    if SecurityClass.QKD not in request.spec.security.sources:
        return [Counter()]
    nodes = {s.id: {s.a, s.b} for s in network.topology.sections}

    def is_site_barred(site: str) -> bool:
        return site in request.spec.exclude_sites or not network.is_site_up(site)

    def extend(at: str, seen: tuple[str, ...], used: Counter[str]) -> Iterator[Counter[str]]:
        if at == request.dst:
            yield used
            return
        for link in network.topology.qkd_links:
            if at not in (link.a, link.b):
                continue
            far = link.b if at == link.a else link.a
            inner = {n for s in link.sections for n in nodes[s]} & set(network.topology.site_names)
            if far not in seen and not any(is_site_barred(s) for s in inner | {far}):
                yield from extend(far, (*seen, far), used + Counter(link.sections))

    if is_site_barred(request.src) or is_site_barred(request.dst) or request.src == request.dst:
        return []
    fitting = [
        used
        for used in extend(request.src, (request.src,), Counter())
        if all(
            times * request.spec.key_rate_millibps <= network.residual_key_millibps(s)
            and network.residual_key_millibps(s) > 0
            for s, times in used.items()
        )
    ]
    return sorted(fitting, key=lambda used: used.total())


def best_route(network: Network, request: ConnectionRequest) -> tuple[Cost, int] | None:
    """Cost of the best route and crossings of the best relay."""
    ways, keys = allowed_ways(network, request), relays(network, request)
    return (ways[0][0], keys[0].total()) if ways and keys else None


def shared(network: Network, first: Way, second: Way) -> tuple[set[str], set[str]]:
    """Shared risks (channels and groups) and shared sites of two ways."""

    def risks(way: Way) -> set[str]:
        return set(way[1]) | {g for c in way[1] for g in network.topology.channel(c).risk_groups}

    return risks(first) & risks(second), set(first[0][1:-1]) & set(second[0][1:-1])


PairValue = tuple[int, int, Cost]


def allowed_pairs(network: Network, request: ConnectionRequest) -> list[tuple[PairValue, Way, Way]]:
    """Every pair in the order of preference."""
    pairs = []
    for (cost1, first), (cost2, second) in itertools.combinations(allowed_ways(network, request), 2):
        double = set(first[1]) & set(second[1])
        if set(first[1]) == set(second[1]):
            continue
        if any(network.residual_kbps(c) < 2 * request.spec.bandwidth_kbps for c in double):
            continue
        risks, sites = shared(network, first, second)
        pairs.append(((len(risks), len(sites), add(cost1, cost2)), first, second))
    return sorted(pairs)


def best_pair(network: Network, request: ConnectionRequest) -> PairValue | None:
    pairs = allowed_pairs(network, request)
    return pairs[0][0] if pairs and relays(network, request) else None


def best_slice(network: Network, request: SliceRequest) -> PairValue | None:
    """Value of the best joint plan over all placements."""
    best: PairValue | None = None
    for site in network.topology.sites:
        if request.compute.site not in (None, site.name):
            continue
        if request.compute.site is None and site.name in {*request.cells, request.core}:
            continue
        vcpus, memory_gb = network.free_compute(site.name)
        if not network.is_site_up(site.name) or vcpus < request.compute.vcpus or memory_gb < request.compute.memory_gb:
            continue
        options = [_options(network, c) for c in connections_of(request, site.name)]
        for combination in itertools.product(*options):
            need: Counter[str] = Counter()
            for _, demand in combination:
                need.update(demand)
            if all(amount <= _left(network, name) for name, amount in need.items()):
                value = (
                    sum(v[0] for v, _ in combination),
                    sum(v[1] for v, _ in combination),
                    add(*(v[2] for v, _ in combination)),
                )
                best = value if best is None or value < best else best
    return best


def _left(network: Network, name: str) -> int:
    if network.topology.has_channel(name):
        return network.residual_kbps(name)
    return network.residual_key_millibps(name)


def _options(network: Network, request: ConnectionRequest) -> list[tuple[PairValue, Counter[str]]]:
    spec = request.spec
    if spec.protection.has_backup:
        data = [(value, (*one[1], *two[1])) for value, one, two in allowed_pairs(network, request)]
    else:
        data = [((0, 0, cost), way[1]) for cost, way in allowed_ways(network, request)]
    options = []
    for value, channels in data:
        for relay in relays(network, request):
            demand: Counter[str] = Counter()
            for c in channels:
                demand[c] += spec.bandwidth_kbps
            for s, times in relay.items():
                demand[s] += times * spec.key_rate_millibps
            options.append((value, demand))
    return options
