"""What to do about connections whose way has failed: a new way at the security asked for, or an explained DEGRADED.

Decisions only. They change the model (reservations, lanes, states) and say which connections have moved; pushing
rules is the caller's work. A connection whose lanes all work is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from controller.explain import Infeasible
from controller.model import ConnectionRequest, ConnectionState, ControllerError, Protection, Route
from controller.orchestrator import Orchestrator
from controller.paths import find_route
from controller.records import Connection, Lane

HEALABLE = frozenset({ConnectionState.ACTIVE, ConnectionState.INSTALLING, ConnectionState.REROUTING})


@dataclass(frozen=True)
class Decision:
    """What was decided about one connection: ``after`` has lanes again, or none and a reason."""

    before: Connection
    after: Connection

    @property
    def is_reroute(self) -> bool:
        return self.after.state is ConnectionState.REROUTING

    @property
    def id(self) -> str:
        return self.after.id


def hit(model: Orchestrator) -> tuple[str, ...]:
    """Connections that use something which does not work, the most secure and the widest first."""
    ids = [
        c.id for c in model.connections.values() if c.state in HEALABLE and any(not _works(model, x) for x in c.lanes)
    ]
    return tuple(sorted(ids, key=lambda i: _rank(model.connections[i])))


def heal(model: Orchestrator, ids: Iterable[str], avoid: Mapping[str, frozenset[str]] | None = None) -> list[Decision]:
    """Decide about the connections ``ids``: what all of them hold on failed ways is free for any of them.

    ``avoid`` names sites per connection that a further attempt must not cross (their switch refused the last one).
    """
    chosen = [model.connections[i] for i in ids]
    avoided = avoid or {}
    movable = [c for c in chosen if c.request.spec.protection is not Protection.NONE or not c.lanes]
    for connection in movable:
        failed = [x for x in connection.lanes if not _works(model, x) or _crosses(x, avoided.get(connection.id))]
        model.drop_lanes(connection.id, failed)
    decisions = []
    for before in chosen:
        if before not in movable:
            reason = "its path has failed and it asked for no protection"
            decisions.append(Decision(before, model.set_state(before.id, ConnectionState.DEGRADED, reason)))
        else:
            decisions.append(_decide(model, before, avoided.get(before.id, frozenset())))
    return decisions


def retriable(model: Orchestrator) -> tuple[str, ...]:
    """Connections to try again now that something has come back."""
    waiting = [c for c in model.connections.values() if c.state is ConnectionState.DEGRADED]
    ids = [c.id for c in waiting if not c.lanes or all(_works(model, lane) for lane in c.lanes)]
    return tuple(sorted(ids, key=lambda i: _rank(model.connections[i])))


def retry(model: Orchestrator, ids: Iterable[str]) -> list[Decision]:
    """Try DEGRADED connections again; those that still cannot be served keep their state and get a fresh reason."""
    decisions = []
    for connection_id in ids:
        before = model.connections[connection_id]
        if before.lanes:
            decisions.append(Decision(before, model.set_state(connection_id, ConnectionState.REROUTING)))
            continue
        reason = _find_lane(model, before.request, connection_id)
        if reason is None:
            decisions.append(Decision(before, model.set_state(connection_id, ConnectionState.REROUTING)))
        else:
            model.connections[connection_id] = replace(before, reason=reason)
    return decisions


def _decide(model: Orchestrator, before: Connection, avoid: frozenset[str]) -> Decision:
    spec = before.request.spec
    request = replace(before.request, spec=replace(spec, exclude_sites=spec.exclude_sites | avoid))
    survivors = model.connections[before.id].lanes
    if survivors:
        # The backup takes over; a new backup must share nothing with it.
        used = frozenset(survivors[0].route.channels)
        narrowed = replace(request.spec, exclude_channels=request.spec.exclude_channels | used)
        reason = _find_lane(model, replace(request, spec=narrowed), before.id)
        note = None if reason is None else f"runs without a backup: {reason}"
        return Decision(before, model.set_state(before.id, ConnectionState.REROUTING, note))
    reason = _find_lane(model, request, before.id)
    state = ConnectionState.REROUTING if reason is None else ConnectionState.DEGRADED
    return Decision(before, model.set_state(before.id, state, reason))


def _find_lane(model: Orchestrator, request: ConnectionRequest, connection_id: str) -> str | None:
    """Reserve a lane for the request; why not, when there is none."""
    found = find_route(model.network, request)
    if isinstance(found, Infeasible):
        return explain_briefly(found)
    try:
        model.add_lane(connection_id, found)
    except ControllerError as error:
        return str(error)
    return None


def explain_briefly(infeasible: Infeasible) -> str:
    """The reasons on one line."""
    return "no feasible path: " + infeasible.summary.replace("\n", "; ")


def _works(model: Orchestrator, lane: Lane) -> bool:
    return is_route_up(model, lane.route)


def is_route_up(model: Orchestrator, route: Route) -> bool:
    return all(model.network.is_channel_up(channel) for channel in route.channels)


def _crosses(lane: Lane, sites: frozenset[str] | None) -> bool:
    return sites is not None and not sites.isdisjoint(lane.route.sites)


def _rank(connection: Connection) -> tuple[int, int, str]:
    spec = connection.request.spec
    return -spec.security.level, -spec.bandwidth_kbps, connection.id
