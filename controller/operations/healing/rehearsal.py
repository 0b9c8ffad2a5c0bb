"""A decision tried on a copy of the model before it is made, where an extension is asked for paths meanwhile.

Nobody waits for an extension with the lock held. So the decision is tried without it on a copy, where the extension is
asked; then it is made on the model, where what it has said is repeated. What the network has become meanwhile decides
whether that still holds: if it has changed, the decision is tried anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from controller.model.reason import Reason, ReasonCode
from controller.operations.context import OperationContext
from controller.operations.extending.pce import RouteRehearsal
from controller.policy.restoration import Decision
from controller.state.network_state import NetworkState

MOST_TRIES = 3

Decide = Callable[[NetworkState], list[Decision]]
"""A decision on the model, or on a copy of it: it may be tried before it is made."""


@contextmanager
def decided(context: OperationContext, decide: Decide) -> Iterator[list[Decision]]:
    """What ``decide`` decides; inside the block the lock is held."""
    if context.pce is None:
        with context.lock:
            context.look_at_switches()
            yield decide(context.model)
        return
    for number in range(1, MOST_TRIES + 1):
        rehearsal = RouteRehearsal(context.pce)
        with context.lock:
            context.look_at_switches()
            fork, mark = context.model.fork(), context.model.network.mark()
        fork.find_routes_by(rehearsal)
        with rehearsal.asking():
            decide(fork)
        with context.lock:
            context.look_at_switches()
            if context.model.network.mark() != mark and number < MOST_TRIES:
                continue
            before = context.model.route_finder
            context.model.find_routes_by(rehearsal)
            try:
                decisions = decide(context.model)
            finally:
                context.model.find_routes_by(before)
            _name_refusals(context.model, rehearsal)
            yield [Decision(d.before, context.model.connections[d.id], d.cause) for d in decisions]
            return


def _name_refusals(model: NetworkState, rehearsal: RouteRehearsal) -> None:
    """Give connections for which the extension's answer was refused that as their reason."""
    for connection_id, why in rehearsal.rejected.items():
        connection = model.connections.get(connection_id)
        if connection is None or connection.lanes or connection.reason is None:
            continue
        if connection.reason.code is ReasonCode.UNEXPLAINED:
            model.note_reason(connection_id, Reason(ReasonCode.EXTENSION, why))
