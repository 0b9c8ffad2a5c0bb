"""From a connection request to a route, or None: the data path and the key relay on one snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.model.path import Route
from controller.model.request import ConnectionRequest, Match
from controller.pce.key_relay import FoundRelay, KeyQuery, fewest_crossings
from controller.pce.network import Network
from controller.pce.shortest_path import FoundPath, PathQuery, cheapest_path
from topologies.spec import SecurityClass


@dataclass(frozen=True)
class Caps:
    """Limits that joint planning puts on one connection, by number.

    Uses per channel in any direction and per arc, crossings per section, and amounts of pools.
    """

    channels: Mapping[int, int] = field(default_factory=dict)
    sections: Mapping[int, int] = field(default_factory=dict)
    arcs: Mapping[int, int] = field(default_factory=dict)
    pools: Mapping[int, int] = field(default_factory=dict)


NO_CAPS = Caps()


def search_route(
    network: Network, request: ConnectionRequest, caps: Caps = NO_CAPS, relay: FoundRelay | None = None
) -> Route | None:
    """The cheapest route for ``request``, or None; nothing is explained, so this is the fast way to ask.

    Its keys come over ``relay`` if one is given.
    """
    relay = relay or search_relay(network, request, caps)
    if relay is None:
        return None
    query = path_query(network, request, caps)
    if query is None:
        return None
    found = cheapest_path(network, query)
    return None if found is None else as_route(network, request, found, relay)


def search_relay(network: Network, request: ConnectionRequest, caps: Caps = NO_CAPS) -> FoundRelay | None:
    """The key relay ``request`` needs: an empty one unless QKD supplies keys, None when there is no way."""
    if not request.spec.takes_qkd_keys:
        return FoundRelay((), ())
    if network.topology.is_vendors_pair(request.src, request.dst):
        return vendors_relay(network, request)
    query = key_query(network, request, caps)
    if {query.source, query.target} & query.banned_sites:
        return None
    if not (network.is_site_up(request.src) and network.is_site_up(request.dst)):
        return None
    return fewest_crossings(network, query)


def vendors_relay(network: Network, request: ConnectionRequest) -> FoundRelay | None:
    """Keys of QKD that a vendor's KMEs serve at both ends: nothing of ours is crossed, no rate is known or held.

    None where the operator does not say that they serve QKD for the pair, or a hybrid key is asked for: a vendor's keys
    are not combined with others.
    """
    link = network.topology.vendor_link(request.src, request.dst)
    if link is None or request.spec.security.methods != (SecurityClass.QKD,):
        return None
    is_up = network.is_site_up(request.src) and network.is_site_up(request.dst)
    return FoundRelay((link,), ()) if is_up else None


def relay_of(network: Network, route: Route) -> FoundRelay:
    """The relay that a route's keys come over."""
    number = network.index.section_number
    return FoundRelay(route.key_links, tuple((number[s], times) for s, times in route.key_sections))


def key_query(network: Network, request: ConnectionRequest, caps: Caps = NO_CAPS) -> KeyQuery:
    """The request's question to the key relay. A site that data must not pass must not relay keys either."""
    number = network.index.site_number
    banned = frozenset(number[site] for site in request.spec.exclude_sites if site in number)
    return KeyQuery(number[request.src], number[request.dst], request.spec.key_rate_millibps, banned, caps.sections)


def path_query(network: Network, request: ConnectionRequest, caps: Caps = NO_CAPS) -> PathQuery | None:
    """The request in the index's numbers; None when it requires an element that the network does not have.

    Excluding an unknown element is harmless. KeyError when an end of the connection is unknown.
    """
    index, spec = network.index, request.spec
    if not all(site in index.site_number for site in spec.include_sites):
        return None
    if not all(channel in index.channel_number for channel in spec.include_channels):
        return None
    banned = {index.channel_number[c] for c in spec.exclude_channels if c in index.channel_number}
    banned.update(channel for channel, uses in caps.channels.items() if uses < 1)
    banned_arcs = {arc for channel in banned for arc in (2 * channel, 2 * channel + 1)}
    banned_arcs.update(arc for arc, uses in caps.arcs.items() if uses < 1)
    return PathQuery(
        source=index.site_number[request.src],
        target=index.site_number[request.dst],
        bandwidth_kbps=spec.reserved_kbps,
        level=int(spec.security.level),
        is_exact=spec.security.match is Match.EXACT,
        max_latency_us=index.latency.budget_us(spec),
        max_hops=spec.max_hops,
        banned_sites=frozenset(index.site_number[s] for s in spec.exclude_sites if s in index.site_number),
        banned_arcs=frozenset(banned_arcs),
        required_sites=frozenset(index.site_number[s] for s in spec.include_sites),
        required_channels=frozenset(index.channel_number[c] for c in spec.include_channels),
        pool_caps=caps.pools,
    )


def as_route(network: Network, request: ConnectionRequest, found: FoundPath, relay: FoundRelay) -> Route:
    """A path and relay found for ``request`` under their names, with the whole latency."""
    index, model = network.index, network.index.latency
    return Route(
        sites=tuple(index.site_names[s] for s in found.sites),
        channels=tuple(index.channel_ids[c] for c in found.channels),
        latency_us=found.latency_us + model.fixed_us(request.spec),
        cost=found.cost,
        key_links=relay.links,
        key_sections=tuple((index.section_ids[s], times) for s, times in relay.crossings),
        switches_us=model.switches_us(len(found.arcs)),
        tunnel_us=model.ends_us(request.spec),
    )
