"""Healing carried out: what :mod:`controller.policy.restoration` decides, pushed to switches and journalled."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from controller.forwarding.intended import join
from controller.forwarding.rules import connection_number
from controller.forwarding.tunnel_endpoint import ends_of
from controller.model.connection import Connection
from controller.model.events import FallbackUndone, FallbackUsed, LinkChanged, LinkState, Rerouted, Violation
from controller.model.reroute import Cause
from controller.model.states import ConnectionState
from controller.operations.channel_activation import Relighting
from controller.operations.concurrency import Call, Parallel
from controller.operations.context import BARRIER_DEADLINE_S, Engine, log_faults, wait_for
from controller.operations.drivers import Pending, SwitchFault
from controller.operations.reconciliation import Recovery
from controller.policy import reroute_audit, restoration, security_fallback
from controller.policy.reversion import Reversion, original_routes
from controller.schema.config import DEFAULT_HOLD_S
from controller.state.network_state import Orchestrator

log = logging.getLogger(__name__)

MAX_REROUTE_ATTEMPTS = 3
LAST_ATTEMPT_S = 8.0  # no further attempt begins later: switches that do not answer are waited for, each time anew
# A connection that moves counts as REROUTING until its keys are there. Those that take longer come by themselves, or
# the move to their level is tried again.
REKEY_DEADLINE_S = 5.0
MIN_WAIT_S = 0.1
# Connections whose rules are sent first and together. Each batch costs a barrier per switch, and Open vSwitch looks
# over all that it has cached: few of them, therefore.
FIRST_BATCH = 4
TRY_AGAIN_S = 5.0  # what waits or runs on a fallback is also tried again without news
REFUSED = "refused by switches"
UNLIMITED_KEY_RATE = 1 << 62  # millibit/s
UNCONFIRMED = "moved to another way, on which its probes have not passed yet"


class Rerouting:
    """Moves what is hit, and tries again what waits."""

    def __init__(self, engine: Engine, recovery: Recovery, spare_hold_s: float = DEFAULT_HOLD_S) -> None:
        self._engine = engine
        self._recovery = recovery
        self._reversion = Reversion()
        self._relighting = Relighting(engine, self._move, spare_hold_s)
        self._try_again_at = 0.0
        self._tried: object = None  # how the network looked when all that waits was last tried by the clock

    def channels_changed(self, changes: dict[str, bool], silent: frozenset[str] = frozenset()) -> None:
        """Channels went down or came up: move what is hit, try again what waits. ``silent`` are down by BFD alone."""
        engine = self._engine
        with engine.lock:
            suspected, engine.model.silent = engine.model.silent, silent
            news = [c for c, is_up in changes.items() if engine.model.network.set_channel_up(c, is_up)]
            for channel in news:
                log.info("channel %s is %s", channel, "up" if changes[channel] else "down")
                engine.events.publish(LinkChanged(channel, LinkState.of(changes[channel])))
            is_certain = any(not engine.model.network.is_channel_up(c) for c in suspected - silent)
        if is_certain or not all(changes[c] for c in news):
            self.heal()
        if any(changes[c] for c in news):
            self.retry()

    def heal(self) -> None:
        """Reroute everything that is hit."""
        engine = self._engine
        self._move(lambda: restoration.heal(engine.model, restoration.hit(engine.model)))
        self._resort()
        self._explain()

    def retry(self) -> None:
        """Something has come back: try again everything that waits.

        Not while no switch is there, as after a restart: none would take a new way, and the first to come asks again.
        """
        model, switches = self._engine.model, self._engine.switches
        if not any(switches.is_ready(site) for site in model.topology.site_names):
            return
        self._move(
            lambda: [
                *restoration.retry(model, restoration.retriable(model)),
                *restoration.protect(model, restoration.unprotected(model)),
            ]
        )
        self._undo_fallbacks()
        self._resort()
        self._explain()

    def care(self) -> None:
        """What is due by the clock: back to original paths, spares put out, and what waits tried again."""
        engine = self._engine
        self._move(self._revert)
        self._relighting.put_out()
        with engine.lock:
            now = engine.steady()
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
        model = self._engine.model
        waiting = [model.connections[i] for i in restoration.retriable(model)]
        if self._relighting.has_news():
            return True
        if not waiting and not security_fallback.keyless(model):
            return False
        seen, tried = model.network.fingerprint(), self._tried
        self._tried = seen
        return seen != tried or any((c.reason or "").startswith(REFUSED) for c in waiting)

    def hold_down(self, channels: Iterable[str]) -> None:
        """Dark channels whose ports are up: they are held down again."""
        self._relighting.hold_down(channels)

    def _undo_fallbacks(self) -> None:
        model = self._engine.model
        self._move(lambda: security_fallback.undo(model, [c.id for c in security_fallback.on_fallback(model)]))

    def _resort(self) -> None:
        """For those that cannot be served as they asked: dark channels where they may help, then fallbacks."""
        model = self._engine.model
        self._move(lambda: security_fallback.fall_back(model, [c.id for c in security_fallback.keyless(model)]))
        if self._relighting.light():
            self._move(lambda: security_fallback.fall_back(model, [c.id for c in security_fallback.waiting(model)]))

    def _revert(self) -> list[restoration.Decision]:
        model = self._engine.model
        decisions = []
        for connection_id in self._reversion.due(model, self._engine.steady()):
            before = model.connections[connection_id]
            routes = original_routes(model, before)
            if routes is None or before.request.slice_name in model.retained:
                continue
            model.swap_lanes(connection_id, routes, None)
            after = model.set_state(connection_id, ConnectionState.REROUTING)
            decisions.append(restoration.Decision(before, after, Cause.REVERT))
        return decisions

    def leave(self, decide: Callable[[], list[restoration.Decision]]) -> None:
        """Carry out moves away from ways that everybody but the probes believes to be good."""
        self._move(decide)

    def _explain(self) -> None:
        """Find out why what waits has to wait; the lock is not held meanwhile, so that nothing waits for the answer."""
        engine = self._engine
        with engine.lock:
            network, supplied = engine.model.network.copy(), engine.model.network.copy()
            waiting = [c for c in engine.model.connections.values() if c.reason == restoration.UNEXPLAINED]
            for section in engine.model.unknown_sections:
                supplied.set_section(section, UNLIMITED_KEY_RATE, usable=True)
            keeping = {c.id for c in waiting if engine.model.kept_relay(c.id) is not None}  # it is not keys they lack
        for connection in waiting:
            reason = restoration.explain(supplied if connection.id in keeping else network, connection.request)
            with engine.lock:
                if reason is not None and engine.model.connections.get(connection.id) is connection:
                    engine.model.connections[connection.id] = replace(connection, reason=reason)
                    engine.save_slices_of([connection.id])

    def _move(
        self, decide: Callable[[], list[restoration.Decision]], attempt: int = 1, started: float | None = None
    ) -> None:
        engine = self._engine
        started = engine.steady() if started is None else started
        with engine.lock:
            decisions = decide()
            if not decisions:
                return
            for decision in decisions:
                log.info("connection %s: %s %s", decision.id, decision.after.state.value, decision.after.reason or "")
            lost = [d.id for d in decisions if not d.is_reroute]
            moving = {d.id: d.after for d in decisions if d.is_reroute}
            before = {d.id: d.before for d in decisions}
            causes = {d.id: d.cause for d in decisions}
            # What is lost is taken off at once; new ways are laid beside the old ones. Where the old one is dead there
            # is nothing to wait for: what enters before the new one is whole would have been lost all the same.
            at_once = [i for i in moving if not _carries(engine.model, before[i])]
            laid = self._lay(lost, list(moving), frozenset(at_once))
            for decision in decisions:
                engine.announce_connection(decision.after)
        refused = self._refused(wait_for(laid, BARRIER_DEADLINE_S), moving)
        with engine.lock:
            ready = [i for i in self._unchanged(moving) if i not in refused]
            pending = engine.switches.send(engine.model.enter([i for i in ready if i not in at_once]))
            engine.save_slices_of([*lost, *ready])
        refused |= self._refused(pending.wait(BARRIER_DEADLINE_S), {i: moving[i] for i in ready})
        unkeyed = self._rekey([c for i, c in moving.items() if i in ready and i not in refused], before)
        with engine.lock:
            done = [i for i in self._unchanged(moving) if i not in refused]
            for connection_id in done:
                reason = moving[connection_id].reason
                if connection_id in unkeyed and causes[connection_id] is Cause.FALLBACK_UNDONE:
                    # The better keys did not come: it is still what it was, on another way.
                    reason = before[connection_id].reason
                    self._keep_fallback(before[connection_id])
                if engine.model.is_denied(connection_id):
                    engine.model.set_state(connection_id, ConnectionState.DEGRADED, UNCONFIRMED)
                else:
                    engine.model.set_state(connection_id, ConnectionState.ACTIVE, reason)
                self._note(before[connection_id], connection_id, causes[connection_id])
            for connection in engine.existing(done):
                engine.announce_connection(connection)
            engine.save_slices_of(done)
            for name in sorted({c.request.slice_name for c in (*moving.values(), *engine.existing(lost))}):
                if name in engine.model.slices:
                    engine.judge(name)
            again = {i: sites for i, sites in refused.items() if i in self._unchanged(moving)}
        if again:
            is_last = attempt >= MAX_REROUTE_ATTEMPTS or engine.steady() - started >= LAST_ATTEMPT_S
            self._after_refusal(again, attempt, started, is_last=is_last)
        self._clear_up(done)

    def _lay(self, lost: list[str], moving: list[str], at_once: frozenset[str]) -> list[Pending]:
        """Take ways off that are lost and lay new ones. Call with the lock held.

        The most urgent leave for the switches while rules for the others are being made. With nothing to be laid there
        is nothing to wait for either.
        """
        engine, model = self._engine, self._engine.model
        gone = model.settle([i for i in lost if not model.connections[i].lanes])
        if not moving:
            engine.switches.post(gone)
        pending = []
        for batch in batches(moving):
            laid = [model.prepare(batch), model.enter([i for i in batch if i in at_once])]
            pending.append(engine.switches.send(join([gone, *laid])))
            gone = {}
            time.sleep(0)  # lets the senders run
        return pending

    def _rekey(self, moved: Iterable[Connection], before: Mapping[str, Connection]) -> frozenset[str]:
        """Tell the agents of those whose keys come from elsewhere now; who did not get such keys."""
        calls: dict[str, Call] = {}
        for connection in moved:
            had = before[connection.id]
            # What was DEGRADED in between has forgotten on what level it was: the agents know.
            is_open = had.state is ConnectionState.DEGRADED and bool(connection.request.spec.fallback)
            if had.key_source != connection.key_source or is_open:
                calls[connection.id] = Call(self._rekey_one, connection)
        Parallel(tuple(calls.values())).settle(REKEY_DEADLINE_S)
        for connection_id, call in calls.items():
            if not call.has_ended or call.error is not None:
                log.warning("connection %s: no keys of its source yet: %s", connection_id, call.error or "no answer")
        return frozenset(i for i, call in calls.items() if not call.has_ended or call.error is not None)

    def _rekey_one(self, connection: Connection) -> None:
        until = self._engine.steady() + REKEY_DEADLINE_S
        self._recovery.restore_ends(connection)
        for site in ends_of(connection):
            left_s = max(MIN_WAIT_S, until - self._engine.steady())
            self._engine.tunnels.wait_up(site, connection.id, left_s)

    def _keep_fallback(self, before: Connection) -> None:
        model = self._engine.model
        model.connections[before.id] = replace(model.connections[before.id], fallback=before.fallback)

    def _note(self, before: Connection, connection_id: str, cause: Cause) -> None:
        """Keep what the reroute came to, and check it apart from those who decided it. Call with the lock held."""
        model = self._engine.model
        after = model.connections[connection_id]
        name, spec = after.request.slice_name, after.request.spec
        reroute = reroute_audit.note(model.topology, before, after, self._engine.clock(), cause)
        is_same_way = (reroute.new_path, reroute.new_key_links) == (reroute.old_path, reroute.old_key_links)
        if is_same_way and after.key_source == before.key_source:
            return  # another backup, the same way
        for wrong in reroute_audit.check(model.topology, reroute_audit.Asked.of(after.request), reroute):
            log.error("connection %s: its new way is not what was asked for: %s", connection_id, wrong)
            self._engine.events.publish(Violation(connection_id, name, wrong))
        model.connections[connection_id] = replace(after, reroutes=reroute_audit.add(after, reroute))
        self._engine.events.publish(Rerouted(connection_id, name, reroute))
        if before.fallback is not after.fallback:
            kind = FallbackUndone if after.fallback is None else FallbackUsed
            required, level = spec.security.level.label, after.in_force.security.level.label
            self._engine.events.publish(kind(connection_id, name, required, level, after.key_source))

    def _clear_up(self, ids: list[str]) -> None:
        """Take the ways that were left off the switches, once nothing is on its way over them any more."""
        engine = self._engine
        if not ids:
            return
        engine.drain()
        with engine.lock:
            # What has moved on meanwhile is cleared up after by whoever moved it.
            at_rest = (ConnectionState.ACTIVE, ConnectionState.DEGRADED)
            quiet = [c.id for c in engine.existing(ids) if c.state in at_rest]
            pending = engine.switches.send(engine.model.settle(quiet))
        log_faults("reroute", pending.wait(BARRIER_DEADLINE_S))

    def _after_refusal(
        self, refused: dict[str, frozenset[str]], attempt: int, started: float, *, is_last: bool
    ) -> None:
        """Go round the switches that refused, while there is a way round and attempts are left; else give up."""
        engine = self._engine
        with engine.lock:
            connections = engine.existing(refused)
        avoid = {c.id: refused[c.id] - set(ends_of(c)) for c in connections}
        avoid = {i: sites for i, sites in avoid.items() if sites and not is_last}
        with engine.lock:
            present = [c for c in engine.existing(refused) if c.state is ConnectionState.REROUTING]
            given_up = [c for c in present if c.id not in avoid]
            for connection in given_up:
                reason = f"{REFUSED}: {', '.join(sorted(refused[connection.id]))}"
                engine.model.drop_lanes(connection.id, connection.lanes)
                engine.announce_connection(engine.model.set_state(connection.id, ConnectionState.DEGRADED, reason))
                engine.judge(connection.request.slice_name)
            # The next attempt need not wait for what is taken off for good.
            engine.switches.post(engine.model.settle([c.id for c in given_up]))
        if avoid:
            ids = avoid.keys()
            self._move(
                lambda: restoration.heal(engine.model, [c.id for c in engine.existing(ids)], avoid),
                attempt + 1,
                started,
            )

    def _refused(self, faults: tuple[SwitchFault, ...], moving: dict[str, Connection]) -> dict[str, frozenset[str]]:
        """Which of the connections on the move each fault concerns, with the sites at fault."""
        refused: dict[str, frozenset[str]] = {}
        for fault in faults:
            log.warning("switch %s: %s", fault.site, fault.message)
            number = None if fault.cookie is None else connection_number(fault.cookie)
            for connection in moving.values():
                if number is None:
                    is_concerned = any(fault.site in lane.route.sites for lane in connection.lanes)
                else:
                    is_concerned = connection.number == number
                if is_concerned:
                    refused[connection.id] = refused.get(connection.id, frozenset()) | {fault.site}
        return refused

    def _unchanged(self, moving: dict[str, Connection]) -> list[str]:
        """Those that nothing else (a delete, a second failure) has taken over since the decision."""
        engine = self._engine
        return [i for i, c in moving.items() if engine.model.connections.get(i) is c]


def batches(ids: list[str]) -> list[list[str]]:
    """In the order given, the first of :data:`FIRST_BATCH`, each further one twice as large as the one before."""
    found, start, size = [], 0, FIRST_BATCH
    while start < len(ids):
        found.append(ids[start : start + size])
        start, size = start + size, 2 * size
    return found


def _carries(model: Orchestrator, before: Connection) -> bool:
    """Whether the way that traffic took until now may still carry it."""
    return bool(before.lanes) and restoration.is_route_up(model, before.lanes[0].route)
