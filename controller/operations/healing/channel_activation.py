"""Dark channels activated for those without a path, and deactivated: policy.dark_channels decides, this carries out."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from controller.model.connection import owner_of
from controller.model.dark_channel import SpareState
from controller.model.errors import ControllerError
from controller.model.events import SpareChanged
from controller.model.reroute import Cause
from controller.model.states import ConnectionState
from controller.operations.context import OperationContext
from controller.operations.healing.rehearsal import Decide
from controller.policy import dark_channels, restoration, security_fallback
from controller.policy.dark_channels import SparePlan, leave, replacements, unneeded
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)

ACTIVATION_DEADLINE_S = 5.0  # with BFD a session must come up first
RETEST_S = 15.0  # a spare that did not come up is left alone for so long


class Move(Protocol):
    """Carries decisions out (see RestorationService)."""

    def __call__(self, decide: Decide) -> None: ...


class ChannelActivation:
    """One lighting at a time; nobody waits for a lamp while holding the lock."""

    def __init__(self, context: OperationContext, move: Move, hold_s: float) -> None:
        self._context = context
        self._move = move
        self._holding = dark_channels.Holding(hold_s)
        self._is_busy = False
        self._has_more = False  # somebody else has lost its way meanwhile

    def activate(self) -> bool:
        """Light what helps those without a way or on a fallback, and let them over it; nothing when nothing helps.

        False when somebody else is at it, who will then look after these as well.
        """
        with self._context.lock:
            if self._is_busy:
                self._has_more = True
                return False
            self._is_busy = True
        is_done = False
        try:
            while not is_done:
                is_to_repeat = self._activate_once()
                with self._context.lock:
                    is_done = not is_to_repeat and not self._has_more
                    self._is_busy = not is_done
                    self._has_more = False
        finally:
            if not is_done:
                self._is_busy = False
        return True

    def _activate_once(self) -> bool:
        """True when a spare was broken: another set may help."""
        context, model = self._context, self._context.model
        if context.channel_ports is None:
            return False
        with context.lock:
            plan = self._plan()
            if plan is None:
                return False
            needy = (*security_fallback.waiting(model), *security_fallback.on_fallback(model))
            helped = tuple(sorted(c.id for c in needy if c.request.id in plan.routes))
            for channel in plan.channels:
                model.set_spare(channel, model.spares[channel].become(SpareState.ACTIVATING))
                self._tell(channel, connections=helped)
            pending = context.switches.send(model.install_trial(plan.channels))
        try:
            context.wait_or_repair("trial", pending)
            wrong = context.channel_ports.activate(plan.channels, ACTIVATION_DEADLINE_S) if plan.channels else {}
        finally:
            with context.lock:
                # Whatever the trial came to, traffic does not wait for its rules to be gone.
                context.switches.post(model.withdraw_trial())
        failed = [c for c in plan.channels if wrong[c] is not None]
        with context.lock:
            for channel in plan.channels:
                fault = wrong[channel]
                activating = model.spares[channel]
                if fault is None:
                    model.set_spare(channel, activating.become(SpareState.LIT))
                    self._tell(channel)
                else:
                    log.warning("spare %s: %s", channel, fault)
                    model.set_spare(channel, activating.fail(fault, context.steady()))
                    self._tell(channel, reason=fault)
        if failed:
            context.wait_or_repair("spare", context.channel_ports.deactivate(failed))
            return True
        self._move(lambda model: self._take(model, plan))
        # Who has lost its way since the choice may find one over what is lit now.
        self._move(lambda model: restoration.retry(model, restoration.retriable(model)))
        self._move(lambda model: security_fallback.undo(model, [c.id for c in security_fallback.on_fallback(model)]))
        return False

    def has_news(self) -> bool:
        """Whether a spare that was found broken may be tried again. Call with the lock held."""
        model = self._context.model
        usable = dark_channels.candidates(model.spares, self._context.steady(), RETEST_S)
        return any(model.spares[channel].fault is not None for channel in usable)

    def _plan(self) -> SparePlan | None:
        """Call with the lock held."""
        model = self._context.model
        usable = dark_channels.candidates(model.spares, self._context.steady(), RETEST_S)
        needy = [*security_fallback.waiting(model), *security_fallback.on_fallback(model)]
        if not usable or not needy:
            return None
        network = model.network.copy()
        for connection in needy:
            for lane in connection.lanes:
                network.release(owner_of(connection, lane))
        return dark_channels.choose(network, [c.request for c in needy], usable)

    def _take(self, model: NetworkState, plan: SparePlan) -> list[restoration.Decision]:
        """The ways of the plan for those who still wait for one."""
        decisions = []
        for connection in security_fallback.waiting(model):
            route = plan.routes.get(connection.request.id)
            if route is None:
                continue
            try:
                model.add_lane(connection.id, route)
            except ControllerError as error:
                log.warning("connection %s: %s", connection.id, error)
                continue
            after = model.set_state(connection.id, ConnectionState.REROUTING)
            decisions.append(restoration.Decision(connection, after, Cause.SPARE))
        return decisions

    def deactivate(self) -> None:
        """Put out what has not been needed for the hold time; its traffic goes first."""
        context, model = self._context, self._context.model
        if context.channel_ports is None:
            return
        with context.lock:
            due = self._holding.due(unneeded(model), context.steady())
            if due and replacements(model, due) is None:
                due = due[:1]
        if not due:
            return
        self._move(lambda model: leave(model, due))
        with context.lock:
            lanes = [lane for held in model.held_lanes.values() for lane in held]
            used = {channel for lane in lanes for channel in lane.route.channels}
            out = [c for c in due if c not in used and model.spares[c].state is SpareState.LIT]
            for channel in out:
                model.set_spare(channel, model.spares[channel].become(SpareState.DARK))
                self._tell(channel, reason="not needed any more")
            pending = context.channel_ports.deactivate(out)
        context.wait_or_repair("spare", pending)

    def keep_dark(self, channels: Iterable[str]) -> None:
        """Dark channels whose ports are up, as after a switch has started anew: they are held down again."""
        if self._context.channel_ports is not None:
            self._context.wait_or_repair("spare", self._context.channel_ports.deactivate(channels))

    def _tell(self, channel: str, reason: str | None = None, connections: tuple[str, ...] = ()) -> None:
        state = self._context.model.spares[channel].state
        log.info("spare %s is %s", channel, state.value)
        self._context.events.publish(SpareChanged(channel, state, reason, connections))
