"""The builtin path computation and healing policy as extensions: what any other is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.model.latency import LatencyModel
from controller.model.operator_policy import CostProfile
from controller.model.path import Route
from controller.model.request import ConnectionRequest, ConnectionSpec, Match, Protection, SecurityRequirement
from controller.pce.joint_planning import PlannedConnection
from controller.pce.network import Network
from controller.pce.placement import search_placements
from controller.pce.route_query import search_route
from scripts.extensions import api as values
from topologies.spec import Allocation, Channel, QkdLink, QkdSection, SecurityClass, Site, Tier, Topology, Wavelength

VERSION = "1.0"


class BuiltinPce:
    """Exact path computation on what an extension is given: the same plans, to the byte."""

    name = "builtin"
    version = VERSION
    api = values.EXTENSION_API

    def plan(self, net: values.NetworkView, req: values.SliceAsk) -> values.SlicePlan | None:
        network = as_network(net)
        found = search_placements(
            network,
            [(place.site, tuple(as_request(net, ask) for ask in place.connections)) for place in req.placements],
        )
        if found is None:
            return None
        plan, site = found
        return values.SlicePlan(site, tuple(_connection(one) for one in plan.connections), plan.is_proven)

    def route(self, net: values.NetworkView, req: values.ConnectionAsk, avoid: tuple[str, ...]) -> values.Route | None:
        found = search_route(as_network(net), as_request(net, req, avoid))
        return None if found is None else _route(found)


class BuiltinHealing:
    """Moves whatever can be moved, at once."""

    name = "builtin"
    version = VERSION
    api = values.EXTENSION_API

    def decide(
        self, net: values.NetworkView, impacts: tuple[values.Impact, ...], now: float
    ) -> tuple[values.Verdict, ...]:
        return tuple(values.Move(impact.connection.id) for impact in impacts)


def _connection(planned: PlannedConnection) -> values.ConnectionPlan:
    backup = None if planned.backup is None else values.Route(planned.backup.channels)
    return values.ConnectionPlan(planned.request.id, _route(planned.working), backup, planned.is_proven)


def _route(route: Route) -> values.Route:
    return values.Route(route.channels, route.key_links)


def as_network(net: values.NetworkView) -> Network:
    """A network in the state that ``net`` shows."""
    level = SecurityClass.parse
    topology = Topology(
        net.name,
        tuple(Site(s.name, Tier(s.tier), s.vcpus, s.memory_gb) for s in net.sites),
        tuple(_wavelengths(net)),
        tuple(
            Channel(c.id, c.a, c.b, c.wavelength, level(c.security), c.capacity_mbps, c.length_km,
                    frozenset(c.risk_groups), c.is_dark)
            for c in net.channels
        ),
        tuple(QkdSection(s.id, s.a, s.b, 1.0) for s in net.sections),
        tuple(QkdLink(q.id, q.a, q.b, q.sections) for q in net.qkd_links),
        allocation=Allocation(net.allocation),
    )  # fmt: skip
    network = Network(topology, CostProfile(net.cost_profile), LatencyModel(net.switch_us))
    for channel in net.channels:
        taken = channel.capacity_kbps - channel.free_kbps[0], channel.capacity_kbps - channel.free_kbps[1]
        if any(taken):
            route = Route((channel.a, channel.b), (channel.id,), 0, 0)
            network.reserve(f"taken {channel.id}", route, taken, 0, is_on_wavelengths=False)
        if not channel.is_up and not channel.is_dark:
            network.set_channel_up(channel.id, False)
    for view in (view for view in net.wavelengths if view.id in network.index.pools.number):
        pool = 2 * network.index.pools.number[view.id]
        if net.allocation == Allocation.CIRCUIT.value:
            used = {pool: view.client_ports - view.free_ports}
        else:
            used = {pool: view.capacity_kbps - view.free_kbps[0], pool + 1: view.capacity_kbps - view.free_kbps[1]}
        network.reserve_wavelengths(f"taken {view.id}", used)
    for section in net.sections:
        network.set_section(section.id, section.free_millibps, usable=section.is_usable)
    network.set_unknown_sections(section.id for section in net.sections if not section.is_known)
    for site in net.sites:
        network.set_site_up(site.name, site.is_up)
        network.set_open(site.name, site.is_open)
    return network


def _wavelengths(net: values.NetworkView) -> Iterator[Wavelength]:
    """Those that there are, at the scale at which a channel's Mbit/s are what its wavelength's Gbit/s are."""
    classes = {c.wavelength: SecurityClass.parse(c.security) for c in net.channels}
    for view in net.wavelengths:
        if view.id in classes:
            yield Wavelength(
                view.id, classes[view.id], view.capacity_kbps / 1000, view.client_ports, view.client_kbps / 1000
            )


def as_request(net: values.NetworkView, ask: values.ConnectionAsk, avoid: Iterable[str] = ()) -> ConnectionRequest:
    """The request that ``ask`` tells of, with the sites ``avoid`` excluded too."""
    slice_name, _, name = ask.id.partition("/")
    match = Match.EXACT if ask.is_exact else Match.AT_LEAST
    spec = ConnectionSpec(
        SecurityRequirement(tuple(SecurityClass.parse(source) for source in ask.sources), match),
        ask.bandwidth_kbps,
        ask.latency_us + net.switch_us,  # the tunnel is off it already
        rekey_s=ask.rekey_s,
        suite=ask.suite,
        protection=Protection(ask.protection),
        exclude_sites=frozenset(ask.exclude_sites) | frozenset(avoid),
        exclude_channels=frozenset(ask.exclude_channels),
        include_sites=ask.include_sites,
        include_channels=ask.include_channels,
        max_hops=ask.max_hops,
        reverse_bandwidth_kbps=ask.reverse_bandwidth_kbps,
    )
    return ConnectionRequest(slice_name, name, None, ask.src, ask.dst, spec)
