"""Path computation by trying everything: the oracle. It shares no code with controller/ but the model's values.

Costs are tuples compared in order (surplus, latency, load), so that the weights are checked as well.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

from controller.model.operator_policy import CostProfile
from controller.model.request import AnyShape, ConnectionRequest, Match, Protection, SliceRequest, connections_of
from controller.pce.network import Network
from topologies.spec import Allocation, SecurityClass, Wavelength

Cost = tuple[int, int, int]
Way = tuple[tuple[str, ...], tuple[str, ...]]  # sites, channels
HOPS = "hops"  # no site's name: of those that instances have


def add(*costs: Cost) -> Cost:
    return sum(c[0] for c in costs), sum(c[1] for c in costs), sum(c[2] for c in costs)


def latency_us(km: float) -> int:
    exact = Fraction(str(km)) * Fraction("4.9") + 15
    return -(-exact.numerator // exact.denominator)


def latency_of(network: Network, request: ConnectionRequest, way: Way) -> int:
    """Everything that a packet passes one way: channels, a switch at each site, both ends of the hosts' tunnel."""
    sites, channels = way
    model, spec = network.index.latency, request.spec
    is_sealed = spec.hosts_seal and spec.security.level is not SecurityClass.NONE
    passed = sum(latency_us(network.topology.channel(c).length_km) for c in channels)
    return passed + len(sites) * model.switch_us + (model.tunnel_us if is_sealed else 0)


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


def bandwidth_of(request: ConnectionRequest, *ways: Way) -> Counter[tuple[str, str]]:
    """What the ways take together, in kbit/s by channel and the site that sends; and hops by channel and HOPS."""
    along = request.spec.bandwidth_kbps
    against = along if request.spec.reverse_bandwidth_kbps is None else request.spec.reverse_bandwidth_kbps
    if request.spec.protection is Protection.ONE_TO_ONE:
        along = against = max(along, against)
    need: Counter[tuple[str, str]] = Counter()
    for sites, channels in ways:
        for channel, sender, receiver in zip(channels, sites[:-1], sites[1:], strict=True):
            need[channel, sender] += along
            need[channel, receiver] += against
            need[channel, HOPS] += 1
    return need


def is_room(network: Network, need: Counter[tuple[str, str]]) -> bool:
    """Whether the channels have it, and their wavelengths together."""
    rates = {key: kbps for key, kbps in need.items() if key[1] != HOPS}
    if any(network.residual_kbps(channel, sender) < kbps for (channel, sender), kbps in rates.items()):
        return False
    return all(_has_room(network, wavelength, need) for wavelength in network.topology.wavelengths)


def _has_room(network: Network, wavelength: Wavelength, need: Counter[tuple[str, str]]) -> bool:
    circuits = [c for c in network.topology.channels if c.wavelength == wavelength.id]
    if network.topology.allocation is Allocation.CIRCUIT:
        return sum(need[c.id, HOPS] for c in circuits) <= (network.ports_left(wavelength.id) or 0)
    gbps = Fraction(wavelength.capacity_gbps) * Fraction(network.topology.mbps_per_gbps)
    for end in (0, 1):
        carried = sum(network.reserved_kbps(c.id, c.ends[end]) + need[c.id, c.ends[end]] for c in circuits)
        if carried > gbps * 1000:
            return False
    return True


def _fits_ports(network: Network, request: ConnectionRequest, channels: tuple[str, ...]) -> bool:
    """Whether a client port of every channel carries the connection, where it has one to itself."""
    if network.topology.allocation is Allocation.SHARED:
        return True
    lit = {network.topology.channel(c).wavelength for c in channels}
    ports = [w.client_gbps * network.topology.mbps_per_gbps for w in network.topology.wavelengths if w.id in lit]
    return max(request.spec.reserved_kbps) <= round(min(ports) * 1000)


def counts_surplus(network: Network) -> bool:
    """Whether the operator wants premium channels to be taken last."""
    return network.index.profile is CostProfile.PREMIUM_LAST


def cost_of(network: Network, request: ConnectionRequest, way: Way) -> Cost:
    total: Cost = (0, 0, 0)
    need = bandwidth_of(request, way)
    for channel_id in way[1]:
        c = network.topology.channel(channel_id)
        capacity = round(c.capacity_mbps * 1000)
        load = max(network.reserved_kbps(c.id, end) + need[c.id, end] for end in c.ends) * 1000 // capacity
        surplus = c.security - request.spec.security.level if counts_surplus(network) else 0
        total = add(total, (surplus, latency_us(c.length_km) + network.index.latency.switch_us, load))
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
        ok = ok and is_room(network, bandwidth_of(request, way)) and _fits_ports(network, request, channels)
        ok = ok and latency_of(network, request, way) <= spec.latency_us
        ok = ok and not set(sites) & spec.exclude_sites and not set(channels) & spec.exclude_channels
        ok = ok and set(spec.include_sites) <= set(sites) and set(spec.include_channels) <= set(channels)
        ok = ok and (spec.max_hops is None or len(channels) <= spec.max_hops)
        if ok:
            found.append((cost_of(network, request, way), way))
    return sorted(found)


def relays(network: Network, request: ConnectionRequest) -> list[Counter[str]]:
    """Section crossings of every relay that has the rate, fewest first; one empty relay when no QKD key is needed."""
    if not request.spec.takes_qkd_keys:
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
        if set(first[1]) == set(second[1]) or not is_room(network, bandwidth_of(request, first, second)):
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
    for site in _placements(network, request):
        options = [_options(network, c) for c in connections_of(request, site)]
        for combination in itertools.product(*options):
            need: Counter[tuple[str, str]] = Counter()
            for _, demand in combination:
                need.update(demand)
            keys = {name: amount for (name, sender), amount in need.items() if not sender}
            rates = Counter({key: amount for key, amount in need.items() if key[1]})
            has_keys = all(amount <= network.residual_key_millibps(name) for name, amount in keys.items())
            if has_keys and is_room(network, rates):
                value = (
                    sum(v[0] for v, _ in combination),
                    sum(v[1] for v, _ in combination),
                    add(*(v[2] for v, _ in combination)),
                )
                best = value if best is None or value < best else best
    return best


def _placements(network: Network, request: SliceRequest) -> list[str | None]:
    """Where the slice can compute; a slice of any shape in one way, or in none."""
    shape = request.shape
    if isinstance(shape, AnyShape):
        asked = [end for c in shape.listed for end in ((c.src, c.src_compute), (c.dst, c.dst_compute))]
        for site in network.topology.site_names:
            here = [need for at, need in asked if at == site]
            vcpus, memory_gb = sum(need.vcpus for need in here), sum(need.memory_gb for need in here)
            is_lacking = (vcpus, memory_gb) > (0, 0) and not network.is_site_up(site)
            if is_lacking or (vcpus, memory_gb) != _least((vcpus, memory_gb), network.free_compute(site)):
                return []
        return [None]
    found: list[str | None] = []
    for name in network.topology.site_names:
        if shape.compute.site not in (None, name):
            continue
        if shape.compute.site is None and name in {*shape.cells, shape.core}:
            continue
        vcpus, memory_gb = network.free_compute(name)
        if network.is_site_up(name) and vcpus >= shape.compute.vcpus and memory_gb >= shape.compute.memory_gb:
            found.append(name)
    return found


def _least(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return min(one[0], other[0]), min(one[1], other[1])


def _options(network: Network, request: ConnectionRequest) -> list[tuple[PairValue, Counter[tuple[str, str]]]]:
    """Each with what it takes: bandwidth by channel and sender, key rate by section and nobody."""
    spec = request.spec
    if spec.protection.has_backup:
        # A slice is planned with pairs that have no risk in common, or not at all.
        pairs = [pair for pair in allowed_pairs(network, request) if pair[0][0] == 0]
        data = [(value, bandwidth_of(request, one, two)) for value, one, two in pairs]
    else:
        data = [((0, 0, cost), bandwidth_of(request, way)) for cost, way in allowed_ways(network, request)]
    options = []
    for value, bandwidth in data:
        for relay in relays(network, request):
            demand = bandwidth.copy()
            for s, times in relay.items():
                demand[s, ""] += times * spec.key_rate_millibps
            options.append((value, demand))
    return options
