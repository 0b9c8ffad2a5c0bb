"""Which lit spares are not needed any more, and where their traffic goes. Decisions only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from controller.healing import Decision, rank
from controller.joint import JointPlanner
from controller.model import ConnectionState, Route
from controller.orchestrator import Orchestrator, owner_of
from controller.proof import Cause
from controller.records import Connection
from controller.spares import SpareState


def lit(model: Orchestrator) -> tuple[str, ...]:
    """The spares that are lit."""
    return tuple(sorted(c for c, spare in model.spares.items() if spare.state is SpareState.LIT))


def unneeded(model: Orchestrator) -> frozenset[str]:
    """Lit spares that could be put out now: all of them together, or else each by itself."""
    shining = lit(model)
    if not shining:
        return frozenset()
    if replacements(model, shining) is not None:
        return frozenset(shining)
    return frozenset(c for c in shining if replacements(model, (c,)) is not None)


def replacements(model: Orchestrator, spares: Collection[str]) -> Mapping[str, tuple[Route, ...]] | None:
    """Ways without ``spares`` for all that use them, together and with everything that was asked for; None: not now.

    What is on the move, or belongs to a slice that is being changed, is let come to rest first.
    """
    users = _users(model, spares)
    if any(c.state is not ConnectionState.ACTIVE or c.request.slice_name in model.retained for c in users):
        return None
    trial = model.network.copy()
    for connection in users:
        for lane in connection.lanes:
            trial.release(owner_of(connection, lane))
    for channel in spares:
        trial.set_dark(channel, True)
    plan = JointPlanner(trial).plan(tuple(replace(c.request, spec=c.in_force) for c in users))
    if plan is None:
        return None
    return {c.id: planned.routes for c, planned in zip(users, plan.connections, strict=True)}


def leave(model: Orchestrator, spares: Collection[str]) -> list[Decision]:
    """Move everybody off ``spares``, make before break; nobody when not all can go."""
    routes = replacements(model, spares)
    decisions = []
    for connection_id, found in ({} if routes is None else routes).items():
        before = model.connections[connection_id]
        model.swap_lanes(connection_id, found, before.fallback)
        after = model.set_state(connection_id, ConnectionState.REROUTING, before.reason)
        decisions.append(Decision(before, after, Cause.SPARE_PUT_OUT))
    return decisions


def _users(model: Orchestrator, spares: Collection[str]) -> list[Connection]:
    chosen = frozenset(spares)
    users = [
        c for c in model.connections.values() if any(not chosen.isdisjoint(lane.route.channels) for lane in c.lanes)
    ]
    return sorted(users, key=rank)
