"""Lower levels that a request lists: when one of them is used, and when it is given up again. Decisions only.

The order is: a way at the level asked for, a way over dark channels at that level, the first fallback with a way, and
only then DEGRADED. Where it is QKD keys that are missing, slower renewal and another relay come first
(:mod:`controller.policy.key_supply`), and rates that are unknown are waited for. A level that is not listed is never
used.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from controller.model.connection import Connection, owner_of
from controller.model.errors import ControllerError
from controller.model.path import Route
from controller.model.reason import Reason, ReasonCode
from controller.model.request import ConnectionRequest, Protection, at_level
from controller.model.reroute import Cause
from controller.model.states import ConnectionState
from controller.pce.joint_planning import plan_alone
from controller.pce.network import Network
from controller.pce.route_query import NO_CAPS
from controller.policy.restoration import Decision, at_once, rank
from controller.state.network_state import NetworkState
from topologies.spec import SecurityClass

log = logging.getLogger(__name__)

SETTLED = (ConnectionState.ACTIVE, ConnectionState.DEGRADED)


def waiting(model: NetworkState) -> tuple[Connection, ...]:
    """Connections without a way, the most urgent first; not those for which an extension may have one yet."""
    found = [
        c
        for c in model.connections.values()
        if c.state is ConnectionState.DEGRADED and not c.lanes and not _is_refused(c)
    ]
    return tuple(sorted(found, key=rank))


def _is_refused(connection: Connection) -> bool:
    return connection.reason is not None and connection.reason.code is ReasonCode.EXTENSION


def on_fallback(model: NetworkState) -> tuple[Connection, ...]:
    """Connections at work below the level asked for, the most urgent first."""
    found = [c for c in model.connections.values() if c.state is ConnectionState.ACTIVE and c.fallback is not None]
    return tuple(sorted(found, key=rank))


def keyless(model: NetworkState) -> tuple[Connection, ...]:
    """Connections that have a way and no QKD keys, and list a fallback, the most urgent first."""
    found = [
        c
        for c in model.connections.values()
        if c.is_keyless
        and c.request.spec.fallback
        and c.state in SETTLED
        and c.request.slice_name not in model.retained
    ]
    return tuple(sorted(found, key=rank))


def has_way(model: NetworkState, connection: Connection) -> bool:
    """Whether there is a way now at any of the levels that the request lists."""
    return any(_routes(model.network, connection, level) is not None for level in connection.request.spec.fallback)


def fall_back(model: NetworkState, ids: Iterable[str]) -> list[Decision]:
    """Give those without a way, or without keys, the first listed level that has one; others are left as they are."""
    decisions = []
    for connection_id in ids:
        before = model.connections[connection_id]
        if before.state not in SETTLED or (before.lanes and not before.is_keyless):
            continue
        if _may_have_keys(model, before):
            continue
        why = before.reason if before.state is ConnectionState.ACTIVE else None
        for level in before.request.spec.fallback:
            routes = _routes(model.network, before, level)
            if routes is None or not _swap(model, before, routes, level):
                continue
            reason = None if why is None else Reason(ReasonCode.FALLBACK, f"uses the fallback {level.label}: {why}")
            after = model.set_state(connection_id, ConnectionState.REROUTING, reason)
            decisions.append(Decision(before, after, Cause.FALLBACK))
            break
    return decisions


def undo(model: NetworkState, ids: Iterable[str]) -> list[Decision]:
    """Give those on a fallback what they asked for, where that is possible again; what they hold counts as free."""
    decisions = []
    for connection_id in ids:
        before = model.connections[connection_id]
        if before.fallback is None or before.state is not ConnectionState.ACTIVE:
            continue
        routes = _routes(model.network, before, None)
        if routes is not None and _swap(model, before, routes, None):
            after = model.set_state(connection_id, ConnectionState.REROUTING)
            decisions.append(Decision(before, after, Cause.FALLBACK_UNDONE))
    return decisions


def _may_have_keys(model: NetworkState, connection: Connection) -> bool:
    """Whether there is a way at the level asked for if sections whose key rates are unknown give enough."""
    network = model.network
    if not network.unknown_sections or not connection.request.spec.key_rate_millibps:
        return False
    return _routes(network.supplied(), connection, None) is not None


def _routes(network: Network, connection: Connection, level: SecurityClass | None) -> tuple[Route, ...] | None:
    """Ways at a level (None: the one asked for), with a backup if the request wants one and there is one."""
    trial = network.copy()
    for lane in connection.lanes:
        trial.release(owner_of(connection, lane))
    request = connection.request
    spec = request.spec if level is None else at_level(request.spec, level)
    for protection in dict.fromkeys((spec.protection, Protection.RESTORATION)):
        asked: ConnectionRequest = replace(request, spec=replace(spec, protection=protection))
        found = at_once(trial, partial(plan_alone, trial, asked, NO_CAPS))
        if found is not None:
            return found[0].routes
    return None


def _swap(model: NetworkState, connection: Connection, routes: tuple[Route, ...], level: SecurityClass | None) -> bool:
    try:
        model.swap_lanes(connection.id, routes, level)
    except ControllerError as error:
        log.warning("connection %s: %s", connection.id, error)
        return False
    return True
