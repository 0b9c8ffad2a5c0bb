"""States confirmed by the data plane: the agents' probes watched, and what follows from them carried out."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.model.connection import UNCONFIRMED_KEYS, Connection
from controller.model.connectivity import Finding
from controller.model.errors import DriverError, NotSupported
from controller.model.events import ConditionsChanged
from controller.model.moment import moment
from controller.model.states import ConnectionState
from controller.monitoring.connectivity import Reachability
from controller.operations.concurrency import Call, Parallel
from controller.operations.context import OperationContext
from controller.operations.healing.restoration_service import RestorationService
from controller.policy.fault_localization import Doubts
from controller.policy.restoration import Decision
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)

WATCH_TIMEOUT_S = 2.0  # an agent that hangs shows after twice that
UNSUPPORTED_AGAIN_S = 10.0
AGAIN_S = 0.25  # an agent that does not answer is asked again after this
PAUSE_S = 0.02  # after an answer without news: an agent that gives them at once must not have the processor
CHECK_DEADLINE_S = 5.0
SWITCH_GRACE_S = 2.0


class ConnectivityMonitor:
    """Keeps states true to what the probes say. ``check_switch`` compares and repairs one: True when it was right."""

    def __init__(
        self, context: OperationContext, restoration: RestorationService, agent_came: Callable[[str], None]
    ) -> None:
        self._context = context
        self._restoration = restoration
        self._agent_came = agent_came
        self._reachability = Reachability()
        self._doubts = Doubts()
        self._tokens: dict[str, str | None] = {}
        self._turn = threading.Lock()

    def poll_agent(self, site: str) -> float:
        """Wait for the next word of an agent, and take it in; how long to wait before the next call (s)."""
        context = self._context
        token = self._tokens.get(site)
        try:
            new_token, told = context.tunnels.watch(site, token, WATCH_TIMEOUT_S)
        except NotSupported as error:
            log.debug("%s", error)
            return UNSUPPORTED_AGAIN_S
        except DriverError as error:
            if token is not None:
                log.warning("%s", error)
            self._tokens[site] = None
            with context.lock:
                self._reachability.silent(site, context.steady())
            return AGAIN_S
        is_new = token is None or token.partition(".")[0] != new_token.partition(".")[0]
        with context.lock:
            self._reachability.tell(site, told, context.steady(), is_all=is_new)
        self._tokens[site] = new_token
        if is_new:
            self._agent_came(site)
        return 0.0 if told else PAUSE_S

    def something_came_back(self) -> None:
        """A channel works again: there may be other ways for what is in doubt."""
        with self._context.lock:
            self._doubts.something_came_back(self._context.steady())

    def run_due(self, check_switch: Callable[[str], bool]) -> None:
        """Judge everything, and do what is due; never twice at once. To be called several times a second."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._run_due(check_switch)
        finally:
            self._turn.release()

    def _run_due(self, check_switch: Callable[[str], bool]) -> None:
        context, model = self._context, self._context.model
        with context.lock:
            now = context.steady()
            context.look_at_switches()
            epoch = context.clock() - now
            self._reachability.judge(model.connections.values(), now, epoch)
            model.observe_findings(self._reachability.findings)
            advice = self._doubts.advise(model, model.findings, now)
            touched = {*self._each(advice.deny, self._deny), *self._each(advice.clear, self._clear)}
            for name in sorted(touched):
                context.refresh_state(name)
            self._tell_conditions(now, epoch)
        if advice.check:
            self._check(advice.check, check_switch)
        if advice.move:
            self._restoration.leave(lambda model: self._move(model, advice.move))

    def _each(self, ids: tuple[str, ...], act: Callable[[str], str]) -> set[str]:
        """The slices of those with which it could be done: what goes wrong with one connection is that one's."""
        touched = set()
        for connection_id in ids:
            try:
                touched.add(act(connection_id))
            except Exception:  # our own mistake with one must not leave the others unjudged
                log.exception("connection %s: what its probes say cannot be carried out", connection_id)
        return touched

    def _move(self, model: NetworkState, ids: tuple[str, ...]) -> list[Decision]:
        """The moves on the model; on a copy of it, the doubts are copies too."""
        doubts = self._doubts if model is self._context.model else copy.deepcopy(self._doubts)
        return doubts.move(model, ids, model.findings, self._context.steady())

    def _deny(self, connection_id: str) -> str:
        context, model = self._context, self._context.model
        connection = model.connections[connection_id]
        reason = self._doubts.reason(connection, model.findings[connection_id])
        if connection.state is ConnectionState.ACTIVE:
            log.warning("connection %s: %s", connection_id, reason)
            denied = model.set_state(connection_id, ConnectionState.DEGRADED, reason)
        else:
            denied = model.note_reason(connection_id, reason)
        context.announce_connection(denied)
        return connection.request.slice_name

    def _clear(self, connection_id: str) -> str:
        context, model = self._context, self._context.model
        log.info("connection %s: its probes pass", connection_id)
        active = model.set_state(connection_id, ConnectionState.ACTIVE)
        last = active.reroutes[-1] if active.reroutes else None
        if last is not None and last.key_source == UNCONFIRMED_KEYS:  # the agents have said now what they use
            model.record_reroute(connection_id, replace(last, at=context.clock(), key_source=active.key_source))
        context.announce_connection(active)
        return active.request.slice_name

    def _check(self, ids: tuple[str, ...], check_switch: Callable[[str], bool]) -> None:
        """Compare the switches on these connections' ways with what they shall hold, and repair them."""
        context = self._context
        with context.lock:
            connections = context.existing(ids)
        sites = sorted({s for c in connections for lane in c.lanes for s in lane.route.sites})
        wrong: set[str] = set()

        def check(site: str) -> None:
            if not check_switch(site):
                wrong.add(site)

        calls = [Call(check, site) for site in sites if context.switches.is_ready(site)]
        try:
            Parallel(calls).join(CHECK_DEADLINE_S)
        except DriverError as error:
            log.warning("looking for what keeps probes from passing: %s", error)
        with context.lock:
            now = context.steady()
            for connection in connections:
                was_wrong = any(not wrong.isdisjoint(lane.route.sites) for lane in connection.lanes)
                self._doubts.checked(connection.id, now, was_wrong=was_wrong)

    # --- conditions ----------------------------------------------------------------------------------------------

    def _tell_conditions(self, now: float, epoch: float) -> None:
        """An event for every connection about which something is to be known now that was not before."""
        context, model = self._context, self._context.model
        present = {c.id: conditions_of(c, model.findings.get(c.id), model.switches_away, now, epoch)
                   for c in model.connections.values()}  # fmt: skip
        for connection_id, conditions in present.items():
            if conditions != model.conditions.get(connection_id, ()):
                name = model.connections[connection_id].request.slice_name
                context.events.publish(ConditionsChanged(connection_id, name, conditions))
        model.note_conditions(present)


def conditions_of(
    connection: Connection, finding: Finding | None, switches_away: Mapping[str, float], now: float, epoch: float
) -> tuple[str, ...]:
    """What is to be known about a connection beside its state. Pure."""
    conditions = []
    if finding is not None and finding.text is not None:
        conditions.append(finding.text)
    for site in dict.fromkeys(s for lane in connection.lanes for s in lane.route.sites):
        since = switches_away.get(site)
        if since is not None and now - since >= SWITCH_GRACE_S:
            text = f"the switch at {site} is not connected to the controller since {moment(epoch + since)}"
            conditions.append(f"{text}; it forwards by the rules it has")
    return tuple(conditions)
