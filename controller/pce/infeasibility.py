"""Why a request does not fit, and what nearby would.

A constraint binds when loosening it alone would make the request feasible; where no single one does, those bind
that cannot be left as they are even with all others loosened. Each is reported with the place where it binds,
what was needed there and what there is. Feasibility is always judged by the path computation itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from controller.model.path import Route
from controller.model.request import ConnectionRequest, ConnectionSpec, Match, SecurityRequirement
from controller.pce.disjoint_pair import search_pair
from controller.pce.key_relay import FoundRelay, fewest_crossings
from controller.pce.network import Network
from controller.pce.relaxation import REVERSE_BANDWIDTH, Knob, Relaxation, Remedy, Value, remedies, spec_knobs
from controller.pce.route_query import key_query, path_query, search_relay
from controller.pce.shortest_path import cheapest_path

__all__ = ["Infeasible", "Reason", "Relaxation", "explain_connection"]

BANDWIDTHS = ("bandwidth", REVERSE_BANDWIDTH)  # by direction of the route
FindRoutes = Callable[[Network, ConnectionRequest], tuple[Route, ...] | None]


KEY_RATE = "key_rate"
CLIENT_PORTS, WAVELENGTH = "client_ports", "wavelength"  # of which a wavelength has none left: see wavelength_pools
# Counted in thousandths of a bit per second, whose symbol mbit/s everybody takes for millions of bits: told in bits.
UNITS = {"bandwidth": "kbit/s", "reverse_bandwidth": "kbit/s", "latency": "us", KEY_RATE: "bit/s",
         WAVELENGTH: "kbit/s"}  # fmt: skip


@dataclass(frozen=True)
class Reason:
    """One binding constraint: on which connection, of what kind, where, what it needs and what there is.

    Units: bandwidth and wavelength kbit/s, latency us, key rate millibit/s. ``available`` is None where there is
    nothing at all. ``detail`` says more where there is more to say: what the latency is made of.
    """

    connection: str
    constraint: str
    where: str
    needed: Value
    available: Value | None
    detail: str | None = None

    @property
    def unit(self) -> str | None:
        """That of :meth:`told`; None for what is no quantity."""
        return UNITS.get(self.constraint)

    def told(self, value: Value | None) -> Value | float | None:
        """``needed`` or ``available`` in :attr:`unit`."""
        return value / 1000 if self.constraint == KEY_RATE and isinstance(value, int) else value


@dataclass(frozen=True)
class Infeasible:
    """The answer when nothing fits: every binding constraint, and changes that would help, each tried out."""

    reasons: tuple[Reason, ...]
    nearest: tuple[Relaxation, ...] = ()

    @property
    def summary(self) -> str:
        """One line per reason, for logs and terminals."""
        return "\n".join(
            f"{r.connection}: {r.constraint} at {r.where}: {_words(r, r.needed)} needed, "
            f"{_words(r, r.available)} available{'' if r.detail is None else f' ({r.detail})'}"
            for r in self.reasons
        )


def _words(reason: Reason, value: Value | None) -> str:
    unit = "" if reason.unit is None or value is None else f" {reason.unit}"
    return "none" if value is None else f"{reason.told(value)}{unit}"


def explain_connection(network: Network, request: ConnectionRequest, find: FindRoutes) -> Infeasible:
    """Explain why ``find`` has no routes for ``request``."""
    found = remedies(request, connection_knobs(request), lambda r: find(network, r) is not None)
    reasons = _reasons(network, request, found, find)
    full = _full_wavelengths(network, request, find)
    if full:
        # With more of them it would fit as it is: no channel lacks bandwidth, and there is a way.
        reasons = [*full, *(r for r in reasons if r.constraint not in (*BANDWIDTHS, "connectivity"))]
    return Infeasible(tuple(reasons), tuple(remedy.relaxation for remedy in found))


def _full_wavelengths(network: Network, request: ConnectionRequest, find: FindRoutes) -> list[Reason]:
    """The wavelengths that lack client ports or capacity, where that alone is what is missing."""
    if not network.index.pools.pooled:
        return []
    routes = find(network.unpooled(), request)
    demand: Counter[int] = Counter()
    for route in routes or ():
        demand += network.index.pools.demand(network.index.arcs_of(route), request.spec.reserved_kbps)
    return pool_reasons(network, request.id, demand)


def pool_reasons(network: Network, connections: str, demand: Mapping[int, int]) -> list[Reason]:
    """A reason for each wavelength of which more is asked for than there is, by the direction where more is missing."""
    pools = network.index.pools
    constraint = CLIENT_PORTS if pools.is_circuit else WAVELENGTH
    worst: dict[str, Reason] = {}
    for pool, need in sorted(demand.items(), key=lambda one: (network.pool_left[one[0]] - one[1], one[0])):
        left, name = network.pool_left[pool], pools.name_of(pool)
        if need > left:
            worst.setdefault(name, Reason(connections, constraint, name, need, left))
    return list(worst.values())


def connection_knobs(request: ConnectionRequest) -> list[Knob[ConnectionRequest]]:
    """The knobs of the connection's specification, lifted to the request."""

    def lift(knob: Knob[ConnectionSpec]) -> Knob[ConnectionRequest]:
        def turn(asked: ConnectionRequest, step: int) -> ConnectionRequest:
            return replace(asked, spec=knob.turn(asked.spec, step))

        return Knob(knob.constraint, knob.field, knob.asked, knob.steps, turn, knob.value, knob.is_ordered)

    return [lift(knob) for knob in spec_knobs(request.spec, f"connections.{request.key}")]


def _reasons(
    network: Network, request: ConnectionRequest, found: list[Remedy[ConnectionRequest]], find: FindRoutes
) -> list[Reason]:
    reasons = []
    lacks_keys = search_relay(network, request) is None
    if lacks_keys:
        reasons.append(_key_reason(network, request))
    # A lower level may have helped only because it needs no keys: then the class of the channels does not bind.
    query = path_query(network, request)
    is_level_met = lacks_keys and query is not None and cheapest_path(network, query) is not None
    for remedy in found:
        relaxed = remedy.apply(request)
        routes = find(network, relaxed)
        assert routes is not None  # that is what makes it a remedy
        for knob, _ in remedy.turns:
            if knob.constraint == "security" and is_level_met:
                continue
            reason = _reason(network, request, relaxed, routes, knob.constraint)
            if reason is not None and reason not in reasons:
                reasons.append(reason)
    if not any(knob.constraint in BANDWIDTHS for remedy in found for knob, _ in remedy.turns):
        # Channels that are full to the last bit leave no bandwidth to suggest, yet it is what is missing.
        for constraint, spec in _without_bandwidth(request.spec):
            relaxed = replace(request, spec=spec)
            routes = find(network, relaxed)
            reason = None if routes is None else _reason(network, request, relaxed, routes, constraint)
            if reason is not None:
                return [reason, *reasons]
    if not found:
        away = [site for site in (request.src, request.dst) if not network.is_open(site)]
        if away:
            return [Reason(request.id, "connectivity", ", ".join(away), "a connected switch", "none"), *reasons]
        down = [site for site in (request.src, request.dst) if not network.is_site_up(site)]
        where = ", ".join(down) or f"{request.src}-{request.dst}"
        reasons.append(Reason(request.id, "connectivity", where, "a path", None))
    return reasons


def _without_bandwidth(spec: ConnectionSpec) -> list[tuple[str, ConnectionSpec]]:
    """The specification that asks for no bandwidth in one direction or the other, or in neither."""
    none = replace(spec, bandwidth_kbps=0)
    if spec.reverse_bandwidth_kbps is None:
        return [("bandwidth", none)]
    back = replace(spec, reverse_bandwidth_kbps=0)
    return [("bandwidth", none), (REVERSE_BANDWIDTH, back), ("bandwidth", replace(none, reverse_bandwidth_kbps=0))]


def _reason(
    network: Network,
    request: ConnectionRequest,
    relaxed: ConnectionRequest,
    routes: tuple[Route, ...],
    constraint: str,
) -> Reason | None:
    """The reason that ``relaxed``, with its ``routes``, shows to bind; None when another reason says it already."""
    asked, got = request.spec, relaxed.spec
    ends = f"{request.src}-{request.dst}"
    channels = [channel for route in routes for channel in route.channels]
    match constraint:
        case "bandwidth" | "reverse_bandwidth":
            position, is_either = BANDWIDTHS.index(constraint), asked.reverse_bandwidth_kbps is None
            hops = [
                (channel, None if is_either else route.sites[i + position])
                for route in routes
                for i, channel in enumerate(route.channels)
            ]
            where = min(hops, key=lambda hop: (network.residual_kbps(*hop) // hops.count(hop), hop[0]))[0]
            return Reason(request.id, constraint, where, asked.rates_kbps[position], got.rates_kbps[position])
        case "latency":
            parts = max(routes, key=lambda route: route.latency_us).latency_parts
            detail = f"{parts}; most of it {parts.greatest}"
            return Reason(request.id, constraint, ends, asked.latency_us, got.latency_us, detail)
        case "security":
            offered = {c: network.topology.channel(c).security for c in channels}
            weak = sorted(c for c, security in offered.items() if not asked.security.is_met_by(security))
            if not weak:
                return None  # the level helped for want of keys
            least = min(offered[c] for c in weak).label
            return Reason(request.id, constraint, ", ".join(weak), describe(asked.security), least)
        case "hops":
            return Reason(request.id, constraint, ends, asked.max_hops or 0, got.max_hops or 0)
        case "include":
            where = ", ".join((*asked.include_sites, *asked.include_channels))
            return Reason(request.id, constraint, where, "on the path", None)
        case "exclude":
            where = ", ".join((*sorted(asked.exclude_sites), *sorted(asked.exclude_channels)))
            return Reason(request.id, constraint, where, "a path without them", None)
        case "protection":
            return _protection_reason(network, request)
        case _:
            return None  # key_rate: said where the relay was found wanting


def _protection_reason(network: Network, request: ConnectionRequest) -> Reason:
    """What the least related of two routes still share, or that there is one route alone."""
    two = f"two routes ({request.spec.protection.value})"
    found = search_pair(network, request)
    if found is None or not found.routes.risks:
        return Reason(request.id, "protection", f"{request.src}-{request.dst}", two, "one route")
    where = ", ".join(found.routes.risks)
    return Reason(request.id, "protection", where, f"{two} with no risk in common", "two that share it")


def describe(security: SecurityRequirement) -> str:
    """``qkd``, ``qkd+qra``; an exact match says so."""
    return f"{security.key_source} exactly" if security.match is Match.EXACT else security.key_source


def _key_reason(network: Network, request: ConnectionRequest) -> Reason:
    """Which section limits the best relay there is."""
    if network.topology.is_vendors_pair(request.src, request.dst):
        ends = f"{request.src}-{request.dst}"
        has_link = network.topology.vendor_link(request.src, request.dst) is not None
        if has_link:
            return Reason(request.id, "vendor_keys", ends, describe(request.spec.security), "qkd alone")
        return Reason(request.id, "vendor_keys", ends, "a kme at both sites, each with the other in qkd_with", None)
    query = key_query(network, request)
    enough, too_much = 0, query.rate_millibps
    best: FoundRelay | None = None
    while too_much - enough > 1:
        rate = (enough + too_much) // 2
        relay = fewest_crossings(network, replace(query, rate_millibps=rate))
        if relay is None:
            too_much = rate
        else:
            enough, best = rate, relay
    if best is None:
        best = fewest_crossings(network, replace(query, is_hypothetical=True))
    if best is None:
        return Reason(request.id, "key_rate", f"{request.src}-{request.dst}", query.rate_millibps, None)
    section, times = min(
        best.crossings, key=lambda crossing: (network.key_headroom(crossing[0]) // crossing[1], crossing)
    )
    name = network.index.section_ids[section]
    return Reason(request.id, "key_rate", name, query.rate_millibps * times, network.key_headroom(section))
