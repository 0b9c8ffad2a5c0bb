"""The auditor: answers of a path computation held against the network and the request. Pure.

It knows nothing of how paths are searched. It walks what it is given over the topology, adds up what every channel and
section would bear, and computes latency, cost and what two paths share itself: an extension is believed nothing but
that it knows its plan to be the best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from controller.model.path import Route
from controller.model.request import ConnectionRequest
from controller.pce.cost import LOAD_SCALE, channel_cost
from controller.pce.joint_planning import PlannedConnection
from controller.pce.key_relay import FoundRelay
from controller.pce.network import Network
from controller.pce.route_query import search_relay
from scripts.extensions import api
from topologies.spec import Channel, SecurityClass


class Lie(Enum):
    """What is wrong with an answer. The value is the code in events and metrics."""

    UNKNOWN = "unknown-element"
    ENDS = "ends"
    LOOP = "loop"
    DOWN = "down"
    CLASS = "class"
    BANDWIDTH = "bandwidth"
    WAVELENGTH = "wavelength"
    LATENCY = "latency"
    KEY_RATE = "key-rate"
    DISJOINTNESS = "disjointness"
    EXCLUDED = "excluded"
    REQUIRED = "required"
    HOPS = "hops"
    PLACEMENT = "placement"
    CONNECTIONS = "connections"


NOTHING: frozenset[Lie] = frozenset()


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong."""

    lie: Lie
    connection: str
    detail: str

    def __str__(self) -> str:
        return f"{self.connection}: {self.lie.value}: {self.detail}"


class Refused(Exception):
    """The answer is not what it must be; carries everything that is wrong with it."""

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        order = list(Lie)  # the gravest first: its code is what is counted
        self.complaints = tuple(sorted(complaints, key=lambda complaint: order.index(complaint.lie)))
        super().__init__("; ".join(map(str, self.complaints)))


class NoRelay(Exception):
    """Nothing is wrong with the paths, but keys were left to us, and no relay has the rate: it does not fit."""


def audited_route(
    network: Network,
    request: ConnectionRequest,
    answer: api.Route,
    relay: FoundRelay | None = None,
    tolerated: frozenset[Lie] = NOTHING,
) -> Route:
    """The route that an answer names, with what it costs. Keys come over ``relay``, if one is given.

    What is ``tolerated`` is not complained of. Raises Refused, NoRelay.
    """
    sites = _walked(network, request, answer, tolerated)
    paths = [(request, sites, answer.channels)]
    _require([*_bandwidth_complaints(network, paths), *_wavelength_complaints(network, paths)], tolerated)
    keys = relay or _relay(network, request, answer)
    return _route(network, request, sites, answer.channels, keys)


def audited_plan(
    network: Network,
    placements: Iterable[tuple[str | None, Sequence[ConnectionRequest]]],
    plan: api.SlicePlan,
    tolerated: frozenset[Lie] = NOTHING,
) -> tuple[PlannedConnection, ...]:
    """The connections that a plan makes, in the order asked for. Raises Refused, as :func:`audited_route`."""
    requests = next((asked for site, asked in placements if site == plan.site), None)
    if requests is None:
        raise Refused([Complaint(Lie.PLACEMENT, "slice", f"{plan.site} was not among the places to choose from")])
    answers = {one.id: one for one in plan.connections}
    if len(answers) != len(plan.connections) or answers.keys() != {request.id for request in requests}:
        raise Refused([Complaint(Lie.CONNECTIONS, "slice", "it plans other connections than those asked for")])
    paths: list[tuple[ConnectionRequest, tuple[str, ...], tuple[str, ...]]] = []
    for request in requests:
        answer = answers[request.id]
        if (answer.backup is not None) is not request.spec.protection.has_backup:
            wanted = "needs a" if request.spec.protection.has_backup else "asked for no"
            raise Refused([Complaint(Lie.DISJOINTNESS, request.id, f"it {wanted} second path")])
        for route in (answer.working, answer.backup):
            if route is not None:
                paths.append((request, _walked(network, request, route, tolerated), route.channels))
    _require([*_bandwidth_complaints(network, paths), *_wavelength_complaints(network, paths)], tolerated)
    relays = _relays(network, requests, answers)
    walked = iter(paths)
    planned = []
    for request in requests:
        answer = answers[request.id]
        routes = [_route(network, *next(walked), relays[request.id])]
        if answer.backup is not None:
            routes.append(_route(network, *next(walked), FoundRelay((), ())))
        shared = shared_by(network, routes[0], routes[1]) if answer.backup is not None else ()
        backup = routes[1] if answer.backup is not None else None
        planned.append(PlannedConnection(request, routes[0], backup, shared, answer.is_proven))
    for one in planned:
        if one.backup is not None and Lie.DISJOINTNESS not in tolerated:
            _require(_pair_complaints(network, one), tolerated)
    return tuple(planned)


def _require(complaints: Iterable[Complaint], tolerated: frozenset[Lie]) -> None:
    left = [complaint for complaint in complaints if complaint.lie not in tolerated]
    if left:
        raise Refused(left)


# --- one path -----------------------------------------------------------------------------------------------------


def _walked(
    network: Network, request: ConnectionRequest, answer: api.Route, tolerated: frozenset[Lie]
) -> tuple[str, ...]:
    """The sites of a path. Raises Refused with everything that is wrong with it, bandwidth apart."""
    wrong: list[Complaint] = []

    def complain(lie: Lie, detail: str) -> None:
        wrong.append(Complaint(lie, request.id, detail))

    topology, spec = network.topology, request.spec
    unknown = [c for c in answer.channels if not topology.has_channel(c)]
    if unknown or not answer.channels:
        what = f"there is no channel {', '.join(unknown)}" if unknown else "a path without channels"
        raise Refused([Complaint(Lie.UNKNOWN, request.id, what)])
    sites = [request.src]
    for channel_id in answer.channels:
        channel = topology.channel(channel_id)
        if sites[-1] not in channel.ends:
            detail = f"channel {channel_id} does not go on from {sites[-1]}"
            raise Refused([*wrong, Complaint(Lie.ENDS, request.id, detail)])
        sites.append(channel.other(sites[-1]))
        if not network.is_channel_up(channel_id):
            complain(Lie.DOWN, f"channel {channel_id} is {'dark' if network.is_dark(channel_id) else 'down'}")
        if not spec.security.is_met_by(channel.security):
            asked = f"{spec.security.level.label}{' exactly' if not spec.security.is_met_by(SecurityClass.QKD) else ''}"
            complain(Lie.CLASS, f"channel {channel_id} is of class {channel.security.label}, asked for is {asked}")
        if channel_id in spec.exclude_channels:
            complain(Lie.EXCLUDED, f"channel {channel_id} is excluded")
    if sites[-1] != request.dst:
        complain(Lie.ENDS, f"it ends at {sites[-1]}, not at {request.dst}")
    for site, times in Counter(sites).items():
        if times > 1:
            complain(Lie.LOOP, f"it visits {site} {times} times")
        if site in spec.exclude_sites:
            complain(Lie.EXCLUDED, f"site {site} is excluded")
        if not network.is_open(site):
            complain(Lie.DOWN, f"the switch at {site} takes no new paths")
    for missing in [*(s for s in spec.include_sites if s not in sites),
                    *(c for c in spec.include_channels if c not in answer.channels)]:  # fmt: skip
        complain(Lie.REQUIRED, f"it does not visit {missing}")
    if spec.max_hops is not None and len(answer.channels) > spec.max_hops:
        complain(Lie.HOPS, f"{len(answer.channels)} channels, at most {spec.max_hops} were asked for")
    latency_us = _latency_us(network, request, answer.channels)
    if latency_us > spec.latency_us:
        complain(Lie.LATENCY, f"{latency_us} us, at most {spec.latency_us} us were asked for")
    _require(wrong, tolerated)
    return tuple(sites)


def _latency_us(network: Network, request: ConnectionRequest, channels: Iterable[str]) -> int:
    """Of the whole path, what hangs on the request alone included."""
    index = network.index
    return index.latency.fixed_us(request.spec) + sum(index.latency_us[index.channel_number[c]] for c in channels)


def _bandwidth_complaints(
    network: Network, paths: Iterable[tuple[ConnectionRequest, tuple[str, ...], tuple[str, ...]]]
) -> list[Complaint]:
    """What all paths together take of each channel in each direction beyond what is left."""
    need: Counter[tuple[str, str]] = Counter()
    users: dict[tuple[str, str], str] = {}
    for request, sites, channels in paths:
        along, against = request.spec.reserved_kbps
        for channel, sender, receiver in zip(channels, sites[:-1], sites[1:], strict=True):
            for end, rate in ((sender, along), (receiver, against)):
                need[channel, end] += rate
                users[channel, end] = request.id
    return [
        Complaint(Lie.BANDWIDTH, users[channel, end],
                  f"channel {channel} has {network.residual_kbps(channel, end)} kbit/s left from {end}, "
                  f"{rate} are needed")
        for (channel, end), rate in sorted(need.items()) if rate > network.residual_kbps(channel, end)
    ]  # fmt: skip


def _wavelength_complaints(
    network: Network, paths: Iterable[tuple[ConnectionRequest, tuple[str, ...], tuple[str, ...]]]
) -> list[Complaint]:
    """What all paths together take of each wavelength beyond what is left, and who is too wide for a client port."""
    index = network.index
    need: Counter[int] = Counter()
    users: dict[int, str] = {}
    found = []
    for request, sites, channels in paths:
        arcs = index.arcs_of(Route(sites, channels, 0, 0))
        demand = index.pools.demand(arcs, request.spec.reserved_kbps)
        need += demand
        users |= dict.fromkeys(demand, request.id)
        rate = max(request.spec.reserved_kbps)
        for wavelength in index.pools.pooled:
            if rate > wavelength.client_kbps and not set(wavelength.channels).isdisjoint(arc >> 1 for arc in arcs):
                detail = (
                    f"a client port of wavelength {wavelength.name} carries {wavelength.client_kbps} kbit/s, not {rate}"
                )
                found.append(Complaint(Lie.BANDWIDTH, request.id, detail))
    unit = "client ports" if index.pools.is_circuit else "kbit/s"
    return found + [
        Complaint(Lie.WAVELENGTH, users[pool], f"wavelength {index.pools.name_of(pool)} has "
                  f"{network.pool_left[pool]} {unit} left, {amount} are needed")
        for pool, amount in sorted(need.items()) if amount > network.pool_left[pool]
    ]  # fmt: skip


def _route(
    network: Network, request: ConnectionRequest, sites: tuple[str, ...], channels: tuple[str, ...], relay: FoundRelay
) -> Route:
    """The path with its latency and cost (:mod:`controller.pce.cost`)."""
    index = network.index
    along, against = request.spec.reserved_kbps
    cost = 0
    for channel_id, sender, receiver in zip(channels, sites[:-1], sites[1:], strict=True):
        number = index.channel_number[channel_id]
        capacity = index.capacity_kbps[number]
        left = min(
            network.residual_kbps(channel_id, sender) - along, network.residual_kbps(channel_id, receiver) - against
        )
        surplus = index.security[number] - int(request.spec.security.level)
        load = (capacity - left) * LOAD_SCALE // capacity
        cost += channel_cost(surplus, index.latency_us[number], load, index.profile)
    return Route(
        sites,
        channels,
        _latency_us(network, request, channels),
        cost,
        relay.links,
        tuple((index.section_ids[section], times) for section, times in relay.crossings),
        index.latency.switches_us(len(channels)),
        index.latency.ends_us(request.spec),
    )


# --- keys ---------------------------------------------------------------------------------------------------------


def _relay(network: Network, request: ConnectionRequest, answer: api.Route) -> FoundRelay:
    """The relay that an answer names, or that of our own choice where it names none. Raises Refused, NoRelay."""
    if not request.spec.key_rate_millibps:
        if answer.key_links:
            raise Refused([Complaint(Lie.KEY_RATE, request.id, "it needs no QKD keys, and a relay is named")])
        return FoundRelay((), ())
    if answer.key_links is None:
        found = search_relay(network, request)
        if found is None:
            raise NoRelay(request.id)
        return found
    return _named_relay(network, request, answer.key_links)


def _named_relay(network: Network, request: ConnectionRequest, links: tuple[str, ...]) -> FoundRelay:
    def refused(detail: str) -> Refused:
        return Refused([Complaint(Lie.KEY_RATE, request.id, detail)])

    by_id = {link.id: link for link in network.topology.qkd_links}
    nodes = {s.id: (s.a, s.b) for s in network.topology.sections}
    here, seen = request.src, {request.src}
    crossings: Counter[str] = Counter()
    for link_id in links:
        link = by_id.get(link_id)
        if link is None or here not in (link.a, link.b):
            raise refused(f"the key relay does not go on from {here} over {link_id}")
        here = link.b if here == link.a else link.a
        inner = {node for section in link.sections for node in nodes[section]} - {link.a, link.b}
        for site in (here, *(node for node in inner if network.topology.has_site(node))):
            if site in request.spec.exclude_sites or not network.is_site_up(site):
                raise refused(f"the key relay goes through {site}, which is excluded or down")
        if here in seen:
            raise refused(f"the key relay meets {here} twice")
        seen.add(here)
        crossings.update(link.sections)
    if here != request.dst:
        raise refused(f"the key relay ends at {here}, not at {request.dst}")
    for section, times in crossings.items():
        left, needed = network.residual_key_millibps(section), times * request.spec.key_rate_millibps
        if needed > left:
            raise refused(f"section {section} has {left} millibit/s left, {needed} are needed")
    number = network.index.section_number
    return FoundRelay(tuple(links), tuple(sorted((number[s], times) for s, times in crossings.items())))


def _relays(
    network: Network, requests: Sequence[ConnectionRequest], answers: dict[str, api.ConnectionPlan]
) -> dict[str, FoundRelay]:
    """Each connection's relay, such that all have their key rate together. Raises Refused, NoRelay."""
    trial = network.copy()
    found = {}
    # Those that are named first: ours must not take what they need.
    for request in sorted(requests, key=lambda r: answers[r.id].working.key_links is None):
        relay = found[request.id] = _relay(trial, request, answers[request.id].working)
        sections = tuple((trial.index.section_ids[s], times) for s, times in relay.crossings)
        if sections:
            trial.reserve(f"{request.id}~keys", Route((), (), 0, 0, (), sections), 0, request.spec.key_rate_millibps)
    return found


# --- two paths ----------------------------------------------------------------------------------------------------


def shared_by(network: Network, first: Route, second: Route) -> tuple[str, ...]:
    """The sites on the way, then the channels, then the risk groups that both depend on, each by name."""
    sites = sorted(set(first.sites[1:-1]) & set(second.sites[1:-1]))
    channels = sorted(set(first.channels) & set(second.channels))
    return (*sites, *channels, *sorted(_risk_groups(network, first) & _risk_groups(network, second)))


def _risk_groups(network: Network, route: Route) -> set[str]:
    channels: list[Channel] = [network.topology.channel(c) for c in route.channels]
    return {group for channel in channels for group in channel.risk_groups}


def _pair_complaints(network: Network, one: PlannedConnection) -> list[Complaint]:
    """A pair shares neither a channel nor a risk group: what one failure takes is no protection."""
    assert one.backup is not None
    if one.working.channels == one.backup.channels:
        return [Complaint(Lie.DISJOINTNESS, one.request.id, "both paths are the same")]
    risks = sorted(_risk_groups(network, one.working) & _risk_groups(network, one.backup))
    if not risks:
        return []
    return [Complaint(Lie.DISJOINTNESS, one.request.id, f"both paths depend on {', '.join(risks)}")]
