"""What follows when channels are lost or come back, and what is due by the clock.

a channel is lost     -> heal:  failure.decide sorts connections by impact; a RerouteTransaction carries it out
a channel comes back  -> retry: what waits for a path is restored, what lost its backup is protected again
then                  -> resort: dark channels and fallbacks for those that cannot be served as they asked
then                  -> explain: those that still wait are told why, and what would help them
by the clock          -> reversion to original paths, dark channels deactivated, what waits tried again
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import partial

from controller.model.connection import Connection
from controller.model.errors import BoundReached
from controller.model.events import LinkChanged, LinkState
from controller.model.reason import Reason, ReasonCode
from controller.model.reroute import Cause
from controller.model.states import ConnectionState
from controller.operations.bounded_search import apart
from controller.operations.context import OperationContext
from controller.operations.healing.channel_activation import ChannelActivation
from controller.operations.healing.external_policy import ExternalPolicy
from controller.operations.healing.rehearsal import Decide
from controller.operations.healing.reroute_transaction import RerouteTransaction
from controller.operations.reconciliation import Reconciliation
from controller.policy import failure, restoration, security_fallback
from controller.policy.reversion import Reversion, original_routes
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)

TRY_AGAIN_S = 5.0  # what waits or runs on a fallback is also tried again without news
# What may come right without anything that the model sees.
NOT_TOLD = (ReasonCode.REFUSED, ReasonCode.OTHER_KEYS, ReasonCode.EXTENSION)
_NOT_FOUND = Reason(ReasonCode.EXTENSION, "the path computation in force has found no path")
EXPLANATION_S = 1.0  # for each connection, while nobody waits for it


class RestorationService:
    """Moves what is hit, and tries again what waits; see above."""

    def __init__(self, context: OperationContext, reconciliation: Reconciliation) -> None:
        self._context = context
        self._reconciliation = reconciliation
        self._reversion = Reversion()
        self._activation = ChannelActivation(context, self._move, context.options.spare_hold_s)
        self._try_again_at = 0.0
        self._policy = None if context.healing is None else ExternalPolicy(context, context.healing)
        self._tried: object = None  # how the network looked when all that waits was last tried by the clock

    def channels_changed(self, changes: dict[str, bool], silent: frozenset[str] = frozenset()) -> None:
        """Channels went down or came up: move what is hit, try again what waits. ``silent`` are down by BFD alone."""
        context = self._context
        with context.lock:
            suspected = context.model.silent
            news = context.model.observe_channels(changes, silent)
            for channel in news:
                log.info("channel %s is %s", channel, "up" if changes[channel] else "down")
                context.events.publish(LinkChanged(channel, LinkState.of(changes[channel])))
            is_certain = any(not context.model.network.is_channel_up(c) for c in suspected - silent)
        if is_certain or not all(changes[c] for c in news):
            self.heal()
        if any(changes[c] for c in news):
            self.retry()

    def heal(self) -> None:
        """Reroute everything that is hit."""
        if self._policy is None:
            self._move(lambda model: failure.decide(model, failure.affected(model)))
        else:
            self._move(self._policy.consulted())
        self._resort()
        self._explain()

    def retry(self) -> None:
        """Something has come back: try again everything that waits.

        Not while no switch is there, as after a restart: none would take a new way, and the first to come asks again.
        """
        model, switches = self._context.model, self._context.switches
        if not any(switches.is_ready(site) for site in model.topology.site_names):
            return
        self._move(
            lambda model: [
                *restoration.retry(model, restoration.retriable(model)),
                *restoration.protect(model, restoration.unprotected(model)),
            ]
        )
        self._undo_fallbacks()
        self._resort()
        self._explain()

    def run_due(self) -> None:
        """What is due by the clock: back to original paths, spares put out, and what waits tried again."""
        context = self._context
        if self._policy is not None and self._policy.is_due():
            self.heal()
        self._move(self._revert)
        self._activation.deactivate()
        with context.lock:
            now = context.steady()
            if now < self._try_again_at:
                return
            self._try_again_at = now + TRY_AGAIN_S
            has_news = self._has_news()
        if has_news:
            self.retry()
        else:
            self._undo_fallbacks()

    def _has_news(self) -> bool:
        """Whether to try again what waits: whatever came back, and whoever forgot to tell. Call with the lock held.

        A slice that is deleted makes room and no news; a switch that refused, or was silent, may have thought better;
        and a spare that was found broken may have been mended.
        """
        model = self._context.model
        waiting = [model.connections[i] for i in restoration.retriable(model)]
        if self._activation.has_news():
            return True
        if not waiting and not security_fallback.keyless(model):
            return False
        seen, tried = model.network.fingerprint(), self._tried
        self._tried = seen
        return seen != tried or any(c.reason is not None and c.reason.code in NOT_TOLD for c in waiting)

    def keep_dark(self, channels: Iterable[str]) -> None:
        """Dark channels whose ports are up: they are held down again."""
        self._activation.keep_dark(channels)

    def _undo_fallbacks(self) -> None:
        self._move(lambda model: security_fallback.undo(model, [c.id for c in security_fallback.on_fallback(model)]))

    def _resort(self) -> None:
        """For those that cannot be served as they asked: dark channels where they may help, then fallbacks."""
        self._move(lambda model: security_fallback.fall_back(model, [c.id for c in security_fallback.keyless(model)]))
        if self._activation.activate():
            self._move(
                lambda model: security_fallback.fall_back(model, [c.id for c in security_fallback.waiting(model)])
            )

    def _revert(self, model: NetworkState) -> list[restoration.Decision]:
        decisions = []
        for connection_id in self._reversion.due(model, self._context.steady()):
            before = model.connections[connection_id]
            routes = original_routes(model, before)
            if routes is None or before.request.slice_name in model.retained:
                continue
            model.swap_lanes(connection_id, routes, None)
            after = model.set_state(connection_id, ConnectionState.REROUTING)
            decisions.append(restoration.Decision(before, after, Cause.REVERT))
        return decisions

    def leave(self, decide: Decide) -> None:
        """Carry out moves away from ways that everybody but the probes believes to be good."""
        self._move(decide)

    def _explain(self) -> None:
        """Find out why what waits has to wait; the lock is not held meanwhile, so that nothing waits for the answer."""
        context = self._context
        with context.lock:
            waiting = [c for c in context.model.connections.values() if _is_unexplained(c)]
            if not waiting:
                return
            network, supplied = context.model.network.copy(), context.model.network.supplied()
            keeping = {c.id for c in waiting if context.model.kept_relay(c.id) is not None}  # it is not keys they lack
        for connection in waiting:
            on = supplied if connection.id in keeping else network
            try:
                with on.bounded(apart(time.monotonic() + EXPLANATION_S)):
                    found = restoration.explain(on, connection.request)
            except BoundReached as error:
                found = Reason(ReasonCode.NO_PATH, str(error))
            if isinstance(found, Reason):
                with context.lock:
                    if context.model.connections.get(connection.id) is connection:
                        context.model.note_reason(connection.id, found)
                        context.save_slices_of([connection.id])
            elif context.pce is not None:
                with context.lock:  # it is asked again soon
                    if context.model.connections.get(connection.id) is connection:
                        context.model.note_reason(connection.id, _NOT_FOUND)
            elif connection.id not in keeping:
                self._move(partial(restoration.take, waiting=connection, route=found))

    def _move(self, decide: Decide) -> None:
        RerouteTransaction(self._context, self._reconciliation).run(decide)


def _is_unexplained(connection: Connection) -> bool:
    return connection.reason is not None and connection.reason.code is ReasonCode.UNEXPLAINED
