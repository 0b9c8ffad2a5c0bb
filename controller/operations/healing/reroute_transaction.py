"""One reroute from its decision to its clean-up, carried out on switches and tunnels, journalled and audited."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.forwarding.intended import join
from controller.forwarding.rules import connection_number
from controller.forwarding.tunnel_endpoint import ends_of
from controller.model.connection import UNCONFIRMED_KEYS, Connection
from controller.model.events import FallbackUndone, FallbackUsed, Rerouted, Violation
from controller.model.reason import Reason, ReasonCode
from controller.model.reroute import Cause
from controller.model.states import ConnectionState
from controller.operations.concurrency import Call, Parallel
from controller.operations.context import BARRIER_DEADLINE_S, OperationContext, wait_for
from controller.operations.drivers import Pending, SwitchFault
from controller.operations.healing.rehearsal import Decide, decided
from controller.operations.reconciliation import Reconciliation
from controller.policy import failure, reroute_audit
from controller.policy.restoration import Decision, is_route_up
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
LAST_ATTEMPT_S = 8.0  # no further attempt begins later: switches that do not answer are waited for, each time anew
# A connection that moves counts as REROUTING until its keys are there. Those that take longer come by themselves, or
# the move to their level is tried again.
REKEY_DEADLINE_S = 5.0
MIN_WAIT_S = 0.1
# Connections whose rules are sent first and together. Each batch costs a barrier per switch, and Open vSwitch looks
# over all that it has cached: few of them, therefore.
FIRST_BATCH = 4
UNCONFIRMED = Reason(ReasonCode.UNCONFIRMED, "moved to another way, on which its probes have not passed yet")


@dataclass
class Attempt:
    """What one decision moves, and what came of it."""

    decisions: list[Decision]
    refused: dict[str, frozenset[str]] = field(default_factory=dict)  # connection -> sites that refused its rules
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.moving = {d.id: d.after for d in self.decisions if d.is_reroute}
        self.lost = [d.id for d in self.decisions if not d.is_reroute]
        self.before = {d.id: d.before for d in self.decisions}
        self.causes = {d.id: d.cause for d in self.decisions}

    def refuse(self, faults: tuple[SwitchFault, ...], ids: list[str]) -> None:
        """Note which of the connections ``ids`` each fault concerns."""
        for fault in faults:
            log.warning("switch %s: %s", fault.site, fault.message)
            for connection in (self.moving[i] for i in ids):
                if _concerns(fault, connection):
                    self.refused[connection.id] = self.refused.get(connection.id, frozenset()) | {fault.site}

    def accepted(self, ids: list[str]) -> list[str]:
        return [i for i in ids if i not in self.refused]


class RerouteTransaction:
    """Decide, lay, switch, rekey, confirm; where switches refused, go round them; then clean up. Used once.

    Deciding and sending happen with the lock held, waiting never does. So whatever else happens to a connection
    meanwhile (a delete, a second failure) takes it over: each stage goes on with those alone that are still what the
    stage before made of them.
    """

    def __init__(self, context: OperationContext, reconciliation: Reconciliation) -> None:
        self._context = context
        self._reconciliation = reconciliation
        self._moved: list[str] = []  # what they left is to be taken off

    def run(self, decide: Decide) -> None:
        """Carry out what ``decide`` decides (with the lock held); nothing where that is nothing.

        Where an extension finds paths, the decision is tried on a copy of the model first, without the lock.
        """
        started = self._context.steady()
        for number in range(1, MAX_ATTEMPTS + 1):
            attempt = self._decide_and_lay(decide)
            if attempt is None:
                break
            self._switch(attempt)
            again = self._confirm(attempt, self._rekey(attempt))
            is_last = number == MAX_ATTEMPTS or self._context.steady() - started >= LAST_ATTEMPT_S
            round_them = self._give_up(again) if is_last else self._give_up_at_the_ends(again)
            if not round_them:
                break
            decide = self._go_round(round_them)
        self._clean_up()

    # --- the stages ----------------------------------------------------------------------------------------------

    def _decide_and_lay(self, decide: Decide) -> Attempt | None:
        """What is lost is taken off at once; new paths are laid beside the old ones.

        Where the old path is dead there is nothing to wait for: what enters the new one before it is whole would have
        been lost all the same.
        """
        context = self._context
        with decided(context, decide) as decisions:
            if not decisions:
                return None
            for decision in decisions:
                log.info("connection %s: %s %s", decision.id, decision.after.state.value, decision.after.reason or "")
            attempt = Attempt(decisions)
            self._at_once = [i for i in attempt.moving if not _carries(context.model, attempt.before[i])]
            laid = self._lay(attempt.lost, list(attempt.moving), frozenset(self._at_once))
            for decision in decisions:
                context.announce_connection(decision.after)
        attempt.refuse(wait_for(laid, BARRIER_DEADLINE_S), list(attempt.moving))
        return attempt

    def _lay(self, lost: list[str], moving: list[str], at_once: frozenset[str]) -> list[Pending]:
        """Take paths off that are lost and lay new ones. Call with the lock held.

        The most urgent leave for the switches while rules for the others are being made. With nothing to be laid there
        is nothing to wait for either.
        """
        context, model = self._context, self._context.model
        gone = model.remove_old([i for i in lost if not model.connections[i].lanes])
        if not moving:
            context.switches.post(gone)
        pending = []
        for batch in batches(moving):
            laid = [model.install_transit(batch), model.switch_ingress([i for i in batch if i in at_once])]
            pending.append(context.switches.send(join([gone, *laid])))
            gone = {}
            time.sleep(0)  # lets the senders run
        return pending

    def _switch(self, attempt: Attempt) -> None:
        """Let traffic enter the new paths that are whole."""
        context = self._context
        with context.lock:
            ready = attempt.accepted(self._unchanged(attempt.moving))
            pending = context.switches.send(context.model.switch_ingress([i for i in ready if i not in self._at_once]))
            context.save_slices_of([*attempt.lost, *ready])
        attempt.refuse(pending.wait(BARRIER_DEADLINE_S), ready)
        attempt.done = attempt.accepted(ready)

    def _rekey(self, attempt: Attempt) -> dict[str, str | None]:
        """Tell the agents of those whose keys come from elsewhere now.

        Who did not get such keys, and the source of those that both agents say are in use instead; None where they do
        not say so, or not the same.
        """
        calls: dict[str, Call] = {}
        for connection in (attempt.moving[i] for i in attempt.done):
            if not connection.request.spec.hosts_seal:
                continue  # cards renew their keys whoever goes over them
            had = attempt.before[connection.id]
            # What was DEGRADED in between has forgotten on what level it was: the agents know.
            has_others = had.reason is not None and had.reason.code is ReasonCode.OTHER_KEYS
            is_open = had.state is ConnectionState.DEGRADED and (has_others or bool(connection.request.spec.fallback))
            if had.key_source != connection.key_source or is_open:
                calls[connection.id] = Call(self._rekey_one, connection)
        Parallel(tuple(calls.values())).settle(REKEY_DEADLINE_S)
        unkeyed: dict[str, str | None] = {}
        for connection_id, call in calls.items():
            if not call.has_ended or call.error is not None:
                log.warning("connection %s: no keys of its source yet: %s", connection_id, call.error or "no answer")
                unkeyed[connection_id] = None
        asking = [Call(self._ask_keys, attempt.moving[i], unkeyed) for i in unkeyed]
        Parallel(asking).settle(REKEY_DEADLINE_S)
        return dict(unkeyed)

    def _ask_keys(self, connection: Connection, found: dict[str, str | None]) -> None:
        """Note in ``found`` the source of the keys that both agents say are in use."""
        held = (self._context.tunnels.held(site).get(connection.id, {}) for site in ends_of(connection))
        sources = {end.get("keys_in_use") for end in held}
        source = sources.pop() if len(sources) == 1 else None
        if isinstance(source, str):
            found[connection.id] = source

    def _rekey_one(self, connection: Connection) -> None:
        until = self._context.steady() + REKEY_DEADLINE_S
        self._reconciliation.restore_ends(connection)
        for site in ends_of(connection):
            left_s = max(MIN_WAIT_S, until - self._context.steady())
            self._context.tunnels.wait_up(site, connection.id, left_s)

    def _confirm(self, attempt: Attempt, unkeyed: Mapping[str, str | None]) -> dict[str, frozenset[str]]:
        """Set states to what has been confirmed, audit and journal; who is to be tried again, and which sites refused.

        All of it in one decision: nobody sees a slice between two of them.
        """
        context = self._context
        with context.lock:
            attempt.done = attempt.accepted(self._unchanged(attempt.moving))
            for connection_id in attempt.done:
                self._conclude(attempt, connection_id, unkeyed)
            for connection in context.existing(attempt.done):
                context.announce_connection(connection)
            context.save_slices_of(attempt.done)
            concerned = (*attempt.moving.values(), *context.existing(attempt.lost))
            for name in sorted({c.request.slice_name for c in concerned} & context.model.slices.keys()):
                context.refresh_state(name)
            self._moved += attempt.done
            return {i: sites for i, sites in attempt.refused.items() if i in self._unchanged(attempt.moving)}

    def _conclude(self, attempt: Attempt, connection_id: str, unkeyed: Mapping[str, str | None]) -> None:
        """Its state and level are what the agents have in use, whatever was decided. Call with the lock held."""
        model = self._context.model
        before, connection = attempt.before[connection_id], model.connections[connection_id]
        reason, is_keyed = attempt.moving[connection_id].reason, connection_id not in unkeyed
        in_use = unkeyed.get(connection_id)
        if in_use == connection.key_source:  # they have come since they were waited for
            is_keyed = True
        elif not is_keyed:
            listed = next((level for level in connection.request.spec.fallback if level.label == in_use), None)
            if listed is not None and connection.fallback is None:
                # The better keys did not come: it is on the lower level still, by another way.
                kept = model.keep_fallback(connection_id, listed)
                asked = connection.request.spec.security.key_source
                detail = f"uses the fallback {kept.key_source}: its tunnels have no keys of {asked} yet"
                reason, is_keyed = before.reason or Reason(ReasonCode.FALLBACK, detail), True
        if not is_keyed:
            others = "" if in_use is None else f": keys of {in_use} are in use"
            detail = f"its tunnels have not confirmed keys of {connection.key_source}{others}"
            model.set_state(connection_id, ConnectionState.DEGRADED, Reason(ReasonCode.OTHER_KEYS, detail))
        elif model.is_denied(connection_id):
            model.set_state(connection_id, ConnectionState.DEGRADED, UNCONFIRMED)
        else:
            model.set_state(connection_id, ConnectionState.ACTIVE, reason)
        self._record(before, connection_id, attempt.causes[connection_id], is_keyed=is_keyed)

    def _record(self, before: Connection, connection_id: str, cause: Cause, *, is_keyed: bool) -> None:
        """Keep what the reroute came to, and audit it apart from those who decided it. Call with the lock held."""
        context, model = self._context, self._context.model
        after = model.connections[connection_id]
        name, spec = after.request.slice_name, after.request.spec
        reroute = reroute_audit.note(model.topology, before, after, context.clock(), cause, is_keyed=is_keyed)
        is_same_way = (reroute.new_path, reroute.new_key_links) == (reroute.old_path, reroute.old_key_links)
        had = reroute_audit.keys_of(model.topology, before)
        told = before.reroutes[-1].key_source if before.reroutes else had
        is_same_source = reroute.key_source == had and told != UNCONFIRMED_KEYS
        if is_same_way and (is_same_source or reroute.key_source == told):
            return  # another backup, the same way
        for wrong in reroute_audit.check(model.topology, reroute_audit.Asked.of(after.request), reroute):
            log.error("connection %s: its new way is not what was asked for: %s", connection_id, wrong)
            context.events.publish(Violation(connection_id, name, wrong))
        model.record_reroute(connection_id, reroute)
        context.events.publish(Rerouted(connection_id, name, reroute))
        if is_keyed and before.fallback is not after.fallback:
            kind = FallbackUndone if after.fallback is None else FallbackUsed
            required, level = spec.security.level.label, after.in_force.security.level.label
            context.events.publish(kind(connection_id, name, required, level, reroute.key_source))

    def _clean_up(self) -> None:
        """Take the paths that were left off the switches, once nothing is on its way over them any more."""
        context = self._context
        if not self._moved:
            return
        context.drain()
        with context.lock:
            # What has moved on meanwhile is cleaned up after by whoever moved it.
            at_rest = (ConnectionState.ACTIVE, ConnectionState.DEGRADED)
            quiet = [c.id for c in context.existing(self._moved) if c.state in at_rest]
            pending = context.switches.send(context.model.remove_old(quiet))
        context.wait_or_repair("reroute", pending)

    # --- refusals ------------------------------------------------------------------------------------------------

    def _give_up_at_the_ends(self, refused: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        """No path goes round a connection's own ends: give up those; sites to go round for the others."""
        context = self._context
        with context.lock:
            avoid = {c.id: refused[c.id] - set(ends_of(c)) for c in context.existing(refused)}
        self._give_up({i: refused[i] for i, sites in avoid.items() if not sites})
        return {i: sites for i, sites in avoid.items() if sites}

    def _give_up(self, refused: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        """DEGRADED without a path; nothing is left to be tried."""
        context = self._context
        if refused:
            with context.lock:
                given_up = [c for c in context.existing(refused) if c.state is ConnectionState.REROUTING]
                for connection in given_up:
                    sites = tuple(sorted(refused[connection.id]))
                    reason = Reason(ReasonCode.REFUSED, f"refused by switches: {', '.join(sites)}", sites)
                    context.model.drop_lanes(connection.id, connection.lanes)
                    context.announce_connection(
                        context.model.set_state(connection.id, ConnectionState.DEGRADED, reason)
                    )
                    context.refresh_state(connection.request.slice_name)
                # The next attempt need not wait for what is taken off for good.
                context.switches.post(context.model.remove_old([c.id for c in given_up]))
        return {}

    def _go_round(self, avoid: Mapping[str, frozenset[str]]) -> Decide:
        return lambda model: failure.decide(model, [i for i in avoid if i in model.connections], avoid)

    def _unchanged(self, moving: Mapping[str, Connection]) -> list[str]:
        """Those that nothing else (a delete, a second failure) has taken over since the decision."""
        context = self._context
        return [i for i, c in moving.items() if context.model.connections.get(i) is c]


def batches(ids: list[str]) -> list[list[str]]:
    """In the order given, the first of :data:`FIRST_BATCH`, each further one twice as large as the one before."""
    found, start, size = [], 0, FIRST_BATCH
    while start < len(ids):
        found.append(ids[start : start + size])
        start, size = start + size, 2 * size
    return found


def _concerns(fault: SwitchFault, connection: Connection) -> bool:
    if fault.cookie is None:
        return any(fault.site in lane.route.sites for lane in connection.lanes)
    return connection.number == connection_number(fault.cookie)


def _carries(model: NetworkState, before: Connection) -> bool:
    """Whether the path that traffic took until now may still carry it."""
    return bool(before.lanes) and is_route_up(model, before.lanes[0].route)
