"""New paths and new backups for connections, at the security asked for. Decisions only.

They change the model (reservations, paths, states) and say which connections have moved; pushing rules is the caller's
work. What a failure does to whom is told by :mod:`controller.policy.failure`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from controller.model.connection import Connection
from controller.model.errors import BoundReached, ControllerError
from controller.model.path import Lane, Route
from controller.model.reason import UNEXPLAINED, Reason, ReasonCode, keys_unknown
from controller.model.request import ConnectionRequest
from controller.model.reroute import Cause
from controller.model.search_effort import Effort
from controller.model.states import ConnectionState
from controller.pce.augmentation import cheapest_new_link
from controller.pce.computation import find_route, search_route
from controller.pce.infeasibility import Infeasible
from controller.pce.network import Network
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)
Found = TypeVar("Found")
UNITS_AT_ONCE = 10_000  # a search that is this long takes some 20 ms

NO_BACKUP = Reason(ReasonCode.NO_BACKUP, "runs without a backup: every second way shares a risk with the first")


@dataclass(frozen=True)
class Decision:
    """What was decided about one connection: ``after`` has lanes again, or none and a reason."""

    before: Connection
    after: Connection
    cause: Cause = Cause.FAILURE

    @property
    def is_reroute(self) -> bool:
        return self.after.state is ConnectionState.REROUTING

    @property
    def id(self) -> str:
        return self.after.id


def retriable(model: NetworkState) -> tuple[str, ...]:
    """Connections to try again now that something has come back."""
    waiting = [c for c in model.connections.values() if c.state is ConnectionState.DEGRADED]
    # What has a way and no keys waits for those (controller.policy.key_supply).
    ids = [
        c.id
        for c in waiting
        if not c.lanes
        or (not c.is_keyless and all(works(model, lane) for lane in c.lanes) and not model.is_denied(c.id))
    ]
    return tuple(sorted(ids, key=lambda i: rank(model.connections[i])))


def retry(model: NetworkState, ids: Iterable[str]) -> list[Decision]:
    """Try DEGRADED connections again; those that still cannot be served keep their state and get a fresh reason."""
    decisions = []
    for connection_id in ids:
        before = model.connections[connection_id]
        if before.lanes or _find_lane(model, before.request, connection_id):
            decisions.append(Decision(before, model.set_state(connection_id, ConnectionState.REROUTING)))
        else:
            model.note_reason(connection_id, UNEXPLAINED)
    return decisions


def unprotected(model: NetworkState) -> tuple[str, ...]:
    """Connections at work that have lost their backup and not found another."""
    return tuple(
        c.id
        for c in sorted(model.connections.values(), key=rank)
        if c.state is ConnectionState.ACTIVE and c.request.spec.protection.has_backup and len(c.lanes) == 1
    )


def protect(model: NetworkState, ids: Iterable[str]) -> list[Decision]:
    """Look for backups again, now that something has come back; what finds none is left as it is."""
    decisions = []
    for connection_id in ids:
        before = model.connections[connection_id]
        if _find_backup(model, before, frozenset()):
            decisions.append(Decision(before, model.set_state(connection_id, ConnectionState.REROUTING)))
    return decisions


def explain(network: Network, request: ConnectionRequest) -> Reason | Route:
    """Why there is no way for the request on this (copy of the) network, and which new channel would give it one.

    What hangs on key rates that are unknown is said to; no reason is one that their being told may take away.

    A route when there is one by now, or the search for it took longer than those that others wait for.

    Costs many searches: nothing for the moments in which connections wait to be moved. Raises BoundReached.
    """
    unknown = network.unknown_sections
    if unknown:
        route = search_route(network, request)
        if route is not None:
            return route
        network = network.supplied()
    found = find_route(network, request)
    if not isinstance(found, Infeasible):
        return keys_unknown(unknown & dict(found.key_sections).keys()) if unknown else found
    link = cheapest_new_link(network, request)
    remedy = "no single new channel would heal it" if link is None else f"{link} would heal it"
    return Reason(ReasonCode.NO_PATH, f"{explain_briefly(found)}; {remedy}")


def take(model: NetworkState, waiting: Connection, route: Route) -> list[Decision]:
    """Give a connection a route that was found while it waited, if both are still what they were."""
    if model.connections.get(waiting.id) is not waiting or waiting.lanes or not is_route_up(model, route):
        return []
    try:
        model.add_lane(waiting.id, route)
    except ControllerError as error:
        log.warning("connection %s: %s", waiting.id, error)
        return []
    return [Decision(waiting, model.set_state(waiting.id, ConnectionState.REROUTING))]


def restore(model: NetworkState, before: Connection, avoid: frozenset[str]) -> bool:
    """Reserve a path that crosses none of the sites ``avoid``; False when there is none."""
    spec = before.request.spec
    request = replace(before.request, spec=replace(spec, exclude_sites=spec.exclude_sites | avoid))
    return _find_lane(model, request, before.id)


def protect_again(model: NetworkState, before: Connection, avoid: frozenset[str]) -> Decision:
    """The lane that is left carries the traffic; beside it a new backup, if there is one."""
    is_protected = _find_backup(model, before, avoid)
    return Decision(before, model.set_state(before.id, ConnectionState.REROUTING, None if is_protected else NO_BACKUP))


def _find_backup(model: NetworkState, before: Connection, avoid: frozenset[str]) -> bool:
    """Reserve a backup that shares no risk with the working lane, and no site where that can be."""
    working = model.connections[before.id].lanes[0].route
    spec = model.connections[before.id].in_force  # back from a fallback, where it has lost all its ways on that
    at_risk = sharing_risk(model, frozenset(working.channels))
    inner = frozenset(working.sites[1:-1])
    for sites in (inner, frozenset[str]()):
        narrowed = replace(
            spec,
            exclude_channels=spec.exclude_channels | at_risk,
            exclude_sites=spec.exclude_sites | sites | avoid,
        )
        if _find_lane(model, replace(before.request, spec=narrowed), before.id):
            return True
    return False


def sharing_risk(model: NetworkState, channels: frozenset[str]) -> frozenset[str]:
    """The channels that fail together with any of ``channels``, those included."""
    topology = model.topology
    groups = frozenset().union(*(topology.channel(c).risk_groups for c in channels))
    return channels | {c.id for c in topology.channels if not groups.isdisjoint(c.risk_groups)}


def degrade(model: NetworkState, connection_id: str, reason: Reason) -> Connection:
    """DEGRADED for that reason, whether or not it has been DEGRADED already."""
    connection = model.connections[connection_id]
    if connection.state is ConnectionState.DEGRADED:
        return model.note_reason(connection_id, reason)
    return model.set_state(connection_id, ConnectionState.DEGRADED, reason)


def _find_lane(model: NetworkState, request: ConnectionRequest, connection_id: str) -> bool:
    """Reserve a lane for the request, with the key rate at which it renews keys now, if there is one.

    Where there is a choice it goes round the channels in doubt.
    """
    spec = replace(request.spec, rekey_s=model.connections[connection_id].rekey_s)
    found = None
    if model.doubted:
        careful = replace(spec, exclude_channels=spec.exclude_channels | model.doubted)
        found = search_again(model, connection_id, replace(request, spec=careful))
    found = found or search_again(model, connection_id, replace(request, spec=spec))
    if found is None:
        return False
    try:
        model.add_lane(connection_id, found)
    except ControllerError as error:
        log.warning("connection %s: %s", connection_id, error)
        return False
    return True


def search_again(model: NetworkState, connection_id: str, request: ConnectionRequest) -> Route | None:
    """A route for a connection that moves. Where nobody knows key rates it keeps its relay: that is no loss of rate."""
    relay = model.kept_relay(connection_id) if request.spec.key_rate_millibps else None
    avoid = request.spec.exclude_sites - model.connections[connection_id].request.spec.exclude_sites
    return at_once(model.network, lambda: model.route_finder.find_route(model.network, request, avoid, relay))


def at_once(network: Network, search: Callable[[], Found | None]) -> Found | None:
    """What ``search`` finds on the network within some milliseconds: others wait for the lock meanwhile.

    What needs longer is found by :func:`explain`, which does so without the lock.
    """
    try:
        with network.bounded(Effort(UNITS_AT_ONCE)):
            return search()
    except BoundReached:
        log.warning("a search has reached its bound: it is made again while nobody waits for it")
        return None


def explain_briefly(infeasible: Infeasible) -> str:
    """The reasons on one line."""
    return "no feasible path: " + infeasible.summary.replace("\n", "; ")


def works(model: NetworkState, lane: Lane) -> bool:
    return is_route_up(model, lane.route)


def is_route_up(model: NetworkState, route: Route) -> bool:
    return all(model.network.is_channel_up(channel) for channel in route.channels)


def rank(connection: Connection) -> tuple[int, int, int, str]:
    """Who is served first: the higher priority, then the more secure, then the wider."""
    spec = connection.request.spec
    return -spec.priority, -spec.security.level, -max(spec.rates_kbps), connection.id
