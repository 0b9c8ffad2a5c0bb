"""Back to the original path, once it has been healthy for as long as the request says. Pure."""

from __future__ import annotations

from dataclasses import replace

from controller.model.connection import Connection, owner_of
from controller.model.path import Route
from controller.model.states import ConnectionState
from controller.pce.network import OverCommitted
from controller.pce.route_query import search_relay
from controller.policy.restoration import is_route_up
from controller.state.network_state import NetworkState


class Reversion:
    """Watches the paths that connections want to return to; every method is told the time (seconds, a steady clock)."""

    def __init__(self) -> None:
        self._healthy_since: dict[str, float] = {}

    def due(self, model: NetworkState, now: float) -> tuple[str, ...]:
        """Connections whose original path has been healthy for long enough, without interruption."""
        waiting = {c.id: c for c in model.connections.values() if _waits(model, c)}
        self._healthy_since = {i: self._healthy_since.get(i, now) for i in waiting}
        return tuple(
            i
            for i, connection in sorted(waiting.items())
            if now - self._healthy_since[i] >= (connection.request.spec.revert_after_s or 0.0)
        )


def original_routes(model: NetworkState, connection: Connection) -> tuple[Route, ...] | None:
    """The routes with which the connection is on its original path again; None when that does not fit now.

    Beside it, a protected connection keeps as its backup whichever of its present lanes shares the least with it: with
    1:1 the way that carries the traffic now, which was the backup at first.
    """
    original = connection.preferred
    if original is None or not is_route_up(model, original):
        return None
    trial = model.network.copy()
    for lane in connection.lanes:
        trial.release(owner_of(connection, lane))
    spec = connection.in_force
    relay = search_relay(trial, replace(connection.request, spec=spec))
    if relay is None:
        return None
    sections = tuple((trial.index.section_ids[s], times) for s, times in relay.crossings)
    working = replace(original, key_links=relay.links, key_sections=sections)
    routes: tuple[Route, ...] = (working,)
    if spec.protection.has_backup:
        others = [lane.route for lane in connection.lanes if lane.route.channels != original.channels]
        if not others:
            return None
        routes = (working, min(others, key=lambda r: len(set(r.channels) & set(original.channels))))
    try:
        for position, route in enumerate(routes):
            trial.reserve(f"{connection.id}~{position}", route, spec.reserved_kbps, 0)
    except OverCommitted:
        return None
    return routes


def _waits(model: NetworkState, connection: Connection) -> bool:
    return (
        connection.state is ConnectionState.ACTIVE
        and connection.fallback is None
        and connection.preferred is not None
        and connection.request.spec.revert_after_s is not None
        and is_route_up(model, connection.preferred)
        and model.doubted.isdisjoint(connection.preferred.channels)
    )
