"""Changes of a slice at work, carried out: make before break, proven before the old form is given up."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from controller.forwarding.tunnel_endpoint import ends_of, tunnel_end
from controller.model.connection import Connection
from controller.model.errors import ControllerError, DriverError, Overtaken, ProvisioningFailed, SliceBusy
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.operations.concurrency import Call, Operation, Parallel, Stopwatch
from controller.operations.context import (
    BARRIER_DEADLINE_S,
    TUNNEL_DEADLINE_S,
    Engine,
    InfeasibleRequest,
    log_faults,
    raise_faults,
)
from controller.operations.deletion import Removal
from controller.pce.computation import SlicePlan
from controller.pce.infeasibility import Infeasible
from controller.policy.slice_change import Modification, begin, plan_change, revert
from controller.schema.slice_request import patch_slice_request
from controller.schema.terms import Terms, check_times

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _End:
    """One end of a connection that gets other keys: what its agent was told, and what it is told now."""

    connection: Connection
    site: str
    old: dict[str, Any]
    new: dict[str, Any]

    @property
    def is_swap(self) -> bool:
        """Between clear and encrypted there is no going over: the one must go for the other to come. Nor is there
        between kinds of padding, which are part of the keys."""
        return any(self.old.get(name) != self.new.get(name) for name in ("mode", "padding", "padding_pps"))


class Modifying:
    """PATCH."""

    def __init__(self, engine: Engine, removal: Removal) -> None:
        self._engine = engine
        self._removal = removal

    def plan(self, name: str, patch: Any) -> SlicePlan:
        """What the slice would get by a merge patch. Call with the lock held.

        Raises UnknownSlice, SliceBusy, InvalidRequest, InfeasibleRequest; nothing is changed.
        """
        engine = self._engine
        record = engine.model.slice(name)
        if record.state not in (SliceState.ACTIVE, SliceState.DEGRADED):
            raise SliceBusy(f"slice {name} is {record.state.value}: it cannot be changed now")
        request = patch_slice_request(record.request, patch)
        Terms(engine.model.topology, engine.model.forbidden_suites).check(request)
        check_times(request, engine.clock())
        plan = plan_change(engine.model, request, is_placement_open="compute" in patch)
        if isinstance(plan, Infeasible):
            raise InfeasibleRequest(name, plan, self._engine.kms_silence)
        return plan

    def modify(self, name: str, patch: Any, received: float) -> SliceRecord:
        """The slice in its new form. When that cannot be had, the old form is what it was.

        Raises what :meth:`plan` does, Overtaken when a delete won, ProvisioningFailed when all was put back.
        """
        engine = self._engine
        with engine.lock:
            before = engine.model.slice(name)
            plan = self.plan(name, patch)
            modification = begin(engine.model, plan)
            engine.reached("change.1-reserved")
            try:
                engine.journal.save((before.become(SliceState.MODIFYING), modification.connections_before))
            except DriverError:
                self._put_back(modification)
                raise
            operation = engine.begin_operation(name, "changed")
            engine.announce(engine.model.slice(name))
        engine.reached("change.2-journalled")
        stopwatch = Stopwatch(engine.steady, received)
        try:
            return self._carry_out(modification, operation, stopwatch)
        finally:
            engine.end_operation(name, operation)

    def _put_back(self, modification: Modification) -> None:
        """Nothing has left the controller yet: as if it had never been."""
        model = self._engine.model
        added = revert(model, modification)
        model.remove_old(modification.changed)
        model.forget_connections(c.id for c in added)
        model.release_retained(modification.name)
        model.put_back(modification.before, modification.connections_before)

    def _carry_out(self, modification: Modification, operation: Operation, stopwatch: Stopwatch) -> SliceRecord:
        rekeyed = self._rekeyed(modification)
        try:
            self._make(modification, operation, rekeyed, stopwatch)
            record = self._accept(modification, operation)
        except Overtaken:
            raise
        except ControllerError as error:
            operation.settle(TUNNEL_DEADLINE_S)
            self._undo(modification, operation, rekeyed)
            log.warning("slice %s: change undone: %s", modification.name, error)
            raise ProvisioningFailed(f"slice {modification.name}: {error}; it is what it was", error) from error
        self._break(modification, operation)
        with self._engine.lock:
            operation.check()
            self._engine.model.release_retained(modification.name)
            stopwatch.lap("modified")
            self._engine.model.add_timings(modification.name, stopwatch.laps_ms)
            record = self._engine.model.settled(modification.name)
            self._engine.save_if_possible(modification.name)
            self._engine.reached("change.12-journalled-active")
            self._engine.announce(record)
            return record

    # --- stages --------------------------------------------------------------------------------------------------

    def _make(
        self, modification: Modification, operation: Operation, rekeyed: list[_End], stopwatch: Stopwatch
    ) -> None:
        """Everything new, beside everything old, until it works."""
        engine, model = self._engine, self._engine.model
        ids = (*modification.changed, *modification.added)
        with engine.lock:
            operation.check()
            moving = engine.existing(ids)
            pending = engine.switches.send(model.install_transit(c.id for c in moving if c.lanes))
            added = [c for c in moving if c.id in modification.added]
            adds = operation.run(
                [Call(engine.tunnels.add, s, tunnel_end(model.topology, c, s)) for c in added for s in ends_of(c)]
            )
        engine.reached("change.3-transit-sent")
        raise_faults(pending.wait(BARRIER_DEADLINE_S))
        engine.reached("change.4-transit-confirmed")
        stopwatch.lap("change_transit")
        adds.join(TUNNEL_DEADLINE_S)
        engine.reached("change.5-tunnels-added")
        with engine.lock:
            operation.check()
            entering = (ConnectionState.REROUTING, ConnectionState.INSTALLING)
            pending = engine.switches.send(
                model.switch_ingress(c.id for c in engine.existing(ids) if c.state in entering)
            )
        engine.reached("change.6-ingress-sent")
        raise_faults(pending.wait(BARRIER_DEADLINE_S))
        engine.reached("change.7-ingress-confirmed")
        stopwatch.lap("change_barriers")
        self._wait_up(operation, [(s, c.id) for c in added for s in ends_of(c)])
        self._rekey(operation, rekeyed)
        stopwatch.lap("change_tunnels")
        engine.reached("change.8-keys-changed")

    def _accept(self, modification: Modification, operation: Operation) -> SliceRecord:
        """The point of no return: from here on a restart finds the new form."""
        engine, model = self._engine, self._engine.model
        with engine.lock:
            operation.check()
            before = model.connections_of(modification.name)
            for connection in engine.existing((*modification.changed, *modification.added)):
                if connection.state in (ConnectionState.REROUTING, ConnectionState.INSTALLING):
                    model.set_state(connection.id, ConnectionState.ACTIVE)
            record = model.slice(modification.name)
            try:
                engine.journal.save((record, model.connections_of(record.name)))
            except DriverError:
                model.put_back(record, before)
                raise
        engine.reached("change.9-journalled-new")
        return record

    def _break(self, modification: Modification, operation: Operation) -> None:
        """Everything old goes; what a switch or agent does not do now, reconciliation does."""
        engine, model = self._engine, self._engine.model
        engine.drain()
        with engine.lock:
            operation.check()
            leaving = engine.existing(modification.leaving)
            # What is held beside the new form stays held until it is off the switches; the old labels become free now.
            model.release_old_lanes(modification.name)
            pending = engine.switches.send(model.remove_old(c.id for c in engine.existing(modification.changed)))
        engine.reached("change.10-old-ways-withdrawn")
        log_faults(f"slice {modification.name}", pending.wait(BARRIER_DEADLINE_S))
        self._take_off(leaving, modification.name)
        engine.reached("change.11-old-tunnels-removed")

    def _take_off(self, connections: Iterable[Connection], name: str) -> None:
        going = list(connections)
        if not going:
            return
        self._removal.withdraw(going, f"slice {name}")
        with self._engine.lock:
            self._engine.model.forget_connections(c.id for c in self._engine.existing(c.id for c in going))

    def _undo(self, modification: Modification, operation: Operation, rekeyed: list[_End]) -> None:
        """Back to the old form, by the same stages; a delete that comes in between takes over."""
        engine, model = self._engine, self._engine.model
        restored = (*modification.changed, *modification.leaving)
        with engine.lock:
            operation.check()
            added = revert(model, modification)
            old = [c for c in engine.existing(restored) if c.lanes]
            pending = engine.switches.send(model.install_transit(c.id for c in old))
        log_faults("undoing a change", pending.wait(BARRIER_DEADLINE_S))
        with engine.lock:
            operation.check()
            pending = engine.switches.send(model.switch_ingress(c.id for c in engine.existing(c.id for c in old)))
        log_faults("undoing a change", pending.wait(BARRIER_DEADLINE_S))
        try:
            self._rekey(operation, [_End(e.connection, e.site, e.new, e.old) for e in rekeyed])
        except DriverError as error:
            log.warning("undoing a change: %s; the agent is put right when it answers again", error)
        with engine.lock:
            operation.check()
            for connection in engine.existing(restored):
                if connection.state is ConnectionState.REROUTING:
                    model.set_state(connection.id, ConnectionState.ACTIVE)
            pending = engine.switches.send(model.remove_old(c.id for c in engine.existing(restored)))
        log_faults("undoing a change", pending.wait(BARRIER_DEADLINE_S))
        self._take_off(added, modification.name)
        with engine.lock:
            operation.check()
            model.release_retained(modification.name)
            record = model.settled(modification.name)
            engine.save_if_possible(modification.name)
            engine.announce(record)

    # --- keys ----------------------------------------------------------------------------------------------------

    def _rekeyed(self, modification: Modification) -> list[_End]:
        """The ends that need other keys under the same addresses."""
        model = self._engine.model
        with self._engine.lock:
            ends = [
                _End(
                    new,
                    site,
                    tunnel_end(model.topology, modification.old(new.id), site),
                    tunnel_end(model.topology, new, site),
                )
                for new in self._engine.existing(modification.changed)
                for site in reversed(ends_of(new))  # the responder first: it follows whatever the initiator offers
            ]
        return [end for end in ends if end.old != end.new]

    def _rekey(self, operation: Operation, ends: list[_End]) -> None:
        """Other keys for connections that go on, the responder's end before the initiator's."""
        tunnels = self._engine.tunnels
        for role in ("responder", "initiator"):
            turn = [end for end in ends if end.new["role"] == role and not end.is_swap]
            self._run(operation, [Call(tunnels.modify, end.site, end.new) for end in turn])
        swaps = [end for end in ends if end.is_swap]
        self._run(operation, [Call(tunnels.remove, end.site, end.connection.id) for end in swaps])
        self._run(operation, [Call(tunnels.add, end.site, end.new) for end in swaps])
        self._wait_up(operation, [(end.site, end.connection.id) for end in ends])

    def _run(self, operation: Operation, calls: list[Call]) -> None:
        with self._engine.lock:
            running: Parallel = operation.run(calls)
        running.join(TUNNEL_DEADLINE_S)

    def _wait_up(self, operation: Operation, ends: Iterable[tuple[str, str]]) -> None:
        with self._engine.lock:
            calls = [Call(self._engine.tunnels.wait_up, site, i, TUNNEL_DEADLINE_S) for site, i in ends]
            waiting = operation.watch(calls)
        waiting.join(TUNNEL_DEADLINE_S + 1.0)
