"""Changes of a slice at work, carried out: make before break, proven before the old form is given up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from controller.forwarding.intended import Changes
from controller.forwarding.tunnel_endpoint import MODIFIABLE, TunnelEndpoint, as_wire, endpoint_at, ends_of
from controller.model.connection import Connection
from controller.model.errors import (
    ControllerError,
    DriverError,
    KeyRatesUnknown,
    ProvisioningFailed,
    SliceBusy,
    Superseded,
)
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.operations.bounded_search import search_then
from controller.operations.concurrency import Call, Operation, Parallel
from controller.operations.context import (
    BARRIER_DEADLINE_S,
    TUNNEL_DEADLINE_S,
    InfeasibleRequest,
    OperationContext,
    raise_faults,
)
from controller.operations.slices.deletion import Deletion
from controller.operations.tracing import Stopwatch
from controller.pce.computation import SlicePlan, UnknownKeyRates
from controller.pce.infeasibility import Infeasible
from controller.policy.slice_change import SliceChange, begin, plan_change, revert
from controller.schema.slice_request import patch_slice_request
from controller.schema.terms import check_times
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)
Done = TypeVar("Done")


@dataclass(frozen=True)
class _End:
    """One end of a connection that gets other keys: what its agent was told, and what it is told now."""

    connection: Connection
    site: str
    old: TunnelEndpoint
    new: TunnelEndpoint

    @property
    def is_swap(self) -> bool:
        """Between clear and encrypted there is no going over: the one must go for the other to come. Nor is there
        between kinds of padding, which are part of the keys."""
        return not self.new.differing(as_wire(self.old)) <= MODIFIABLE


class Modification:
    """Changes a slice at work by a merge patch of its request."""

    def __init__(self, context: OperationContext, deletion: Deletion) -> None:
        self._context = context
        self._deletion = deletion

    def plan_then(self, name: str, patch: Any, use: Callable[[SlicePlan], Done]) -> Done:
        """Use what the slice would get by a merge patch, with the lock held; call without it.

        Raises UnknownSlice, SliceBusy, InvalidRequest, InfeasibleRequest, KeyRatesUnknown, BoundReached.
        """
        seen: list[tuple[SliceRecord, tuple[Connection, ...]]] = []

        def search(model: NetworkState) -> SlicePlan:
            seen[:] = [(model.slice(name), model.connections_of(name))]
            return self._plan(model, name, patch)

        def check_and_use(plan: SlicePlan) -> Done:
            model = self._context.model
            if (model.slice(name), model.connections_of(name)) != seen[0]:
                raise SliceBusy(f"slice {name} has been changed meanwhile")
            return use(plan)

        return search_then(self._context, search, check_and_use)

    def _plan(self, model: NetworkState, name: str, patch: Any) -> SlicePlan:
        context = self._context
        record = model.slice(name)
        if record.state not in (SliceState.ACTIVE, SliceState.DEGRADED):
            raise SliceBusy(f"slice {name} is {record.state.value}: it cannot be changed now")
        request = context.terms.accept(patch_slice_request(record.request, patch))
        check_times(request, context.clock())
        plan = plan_change(model, request, is_placement_open="compute" in patch)
        if isinstance(plan, Infeasible):
            raise InfeasibleRequest(name, plan)
        if isinstance(plan, UnknownKeyRates):
            raise KeyRatesUnknown(name, plan.sections, self._context.kms_silence)
        return plan

    def modify(self, name: str, patch: Any, received: float) -> SliceRecord:
        """The slice in its new form. When that cannot be had, the old form is what it was.

        Raises what :meth:`plan_then` does, Superseded when a delete won, ProvisioningFailed when all was put back.
        """
        context = self._context
        change, operation = self.plan_then(name, patch, self._begin)
        context.checkpoint("change.2-journalled")
        stopwatch = Stopwatch(context.steady, received)
        try:
            return self._carry_out(change, operation, stopwatch)
        finally:
            context.end_operation(name, operation)

    def _begin(self, plan: SlicePlan) -> tuple[SliceChange, Operation]:
        """Take the plan over, and journal that it is being carried out. Raises DriverError."""
        context, name = self._context, plan.request.name
        before = context.model.slice(name)
        change = begin(context.model, plan)
        context.checkpoint("change.1-reserved")
        try:
            context.journal.save((before.become(SliceState.MODIFYING), change.connections_before))
        except DriverError:
            self._put_back(change)
            raise
        operation = context.begin_operation(name, "changed")
        context.announce(context.model.slice(name))
        return change, operation

    def _put_back(self, change: SliceChange) -> None:
        """Nothing has left the controller yet: as if it had never been."""
        model = self._context.model
        added = revert(model, change)
        model.remove_old(change.changed)
        model.forget_connections(c.id for c in added)
        model.release_retained(change.name)
        model.put_back(change.before, change.connections_before)

    def _carry_out(self, change: SliceChange, operation: Operation, stopwatch: Stopwatch) -> SliceRecord:
        rekeyed = self._rekeyed(change)
        try:
            self._make(change, operation, rekeyed, stopwatch)
            record = self._accept(change, operation)
        except Superseded:
            raise
        except ControllerError as error:
            operation.settle(TUNNEL_DEADLINE_S)
            self._undo(change, operation, rekeyed)
            log.warning("slice %s: change undone: %s", change.name, error)
            raise ProvisioningFailed(f"slice {change.name}: {error}; it is what it was", error) from error
        self._break(change, operation)
        with self._context.lock:
            operation.check()
            self._context.model.release_retained(change.name)
            stopwatch.lap("modified")
            self._context.model.add_timings(change.name, stopwatch.laps_ms)
            record = self._context.model.settled(change.name)
            self._context.save_if_possible(change.name)
            self._context.checkpoint("change.12-journalled-active")
            self._context.announce(record)
            return record

    # --- stages --------------------------------------------------------------------------------------------------

    def _make(self, change: SliceChange, operation: Operation, rekeyed: list[_End], stopwatch: Stopwatch) -> None:
        """Everything new, beside everything old, until it works."""
        self._lay(change, operation, stopwatch)
        self._context.checkpoint("change.5-tunnels-added")
        self._switch(change, operation)
        self._context.checkpoint("change.7-ingress-confirmed")
        stopwatch.lap("change_barriers")
        with self._context.lock:
            added = [(site, c.id) for c in self._context.existing(change.added) for site in ends_of(c)]
        self._wait_up(operation, added)
        self._rekey(operation, rekeyed)
        stopwatch.lap("change_tunnels")
        self._context.checkpoint("change.8-keys-changed")

    def _lay(self, change: SliceChange, operation: Operation, stopwatch: Stopwatch) -> None:
        """Transit rules of the new paths, and at the same time the new tunnels."""
        context, model = self._context, self._context.model
        with context.lock:
            operation.check()
            moving = context.existing((*change.changed, *change.added))
            pending = context.switches.send(model.install_transit(c.id for c in moving if c.lanes))
            added = [(site, c) for c in context.existing(change.added) for site in ends_of(c)]
            adds = operation.run(
                [Call(context.tunnels.add, site, endpoint_at(model.topology, c, site)) for site, c in added]
            )
        context.checkpoint("change.3-transit-sent")
        raise_faults(pending.wait(BARRIER_DEADLINE_S))
        context.checkpoint("change.4-transit-confirmed")
        stopwatch.lap("change_transit")
        adds.join(TUNNEL_DEADLINE_S)

    def _switch(self, change: SliceChange, operation: Operation) -> None:
        """Traffic enters the new paths."""
        context = self._context
        entering = (ConnectionState.REROUTING, ConnectionState.INSTALLING)
        with context.lock:
            operation.check()
            ids = [c.id for c in context.existing((*change.changed, *change.added)) if c.state in entering]
            pending = context.switches.send(context.model.switch_ingress(ids))
        context.checkpoint("change.6-ingress-sent")
        raise_faults(pending.wait(BARRIER_DEADLINE_S))

    def _accept(self, change: SliceChange, operation: Operation) -> SliceRecord:
        """The point of no return: from here on a restart finds the new form."""
        context, model = self._context, self._context.model
        with context.lock:
            operation.check()
            before = model.connections_of(change.name)
            for connection in context.existing((*change.changed, *change.added)):
                if connection.state in (ConnectionState.REROUTING, ConnectionState.INSTALLING):
                    model.set_state(connection.id, ConnectionState.ACTIVE)
            record = model.slice(change.name)
            try:
                context.journal.save((record, model.connections_of(record.name)))
            except DriverError:
                model.put_back(record, before)
                raise
        context.checkpoint("change.9-journalled-new")
        return record

    def _break(self, change: SliceChange, operation: Operation) -> None:
        """Everything old goes; what a switch or agent does not do now, reconciliation does."""
        context, model = self._context, self._context.model
        context.drain()
        with context.lock:
            operation.check()
            leaving = context.existing(change.leaving)
            # What is held beside the new form stays held until it is off the switches; the old labels become free now.
            model.release_old_lanes(change.name)
            pending = context.switches.send(model.remove_old(c.id for c in context.existing(change.changed)))
        context.checkpoint("change.10-old-ways-withdrawn")
        context.wait_or_repair(f"slice {change.name}", pending)
        self._take_off(leaving, change.name)
        context.checkpoint("change.11-old-tunnels-removed")

    def _take_off(self, connections: Iterable[Connection], name: str) -> None:
        going = list(connections)
        if not going:
            return
        self._deletion.withdraw(going, f"slice {name}")
        with self._context.lock:
            self._context.model.forget_connections(c.id for c in self._context.existing(c.id for c in going))

    def _undo(self, change: SliceChange, operation: Operation, rekeyed: list[_End]) -> None:
        """Back to the old form, by the same stages; a delete that comes in between takes over."""
        context, model = self._context, self._context.model
        restored = (*change.changed, *change.leaving)
        with context.lock:
            operation.check()
            added = revert(model, change)
            old = [c.id for c in context.existing(restored) if c.lanes]
            pending = context.switches.send(model.install_transit(old))
        context.wait_or_repair("undoing a change", pending)
        self._undo_stage(operation, lambda: model.switch_ingress(c.id for c in context.existing(old)))
        try:
            self._rekey(operation, [_End(e.connection, e.site, e.new, e.old) for e in rekeyed])
        except DriverError as error:
            log.warning("undoing a change: %s; the agent is put right when it answers again", error)
        self._undo_stage(operation, lambda: self._return(restored))
        self._take_off(added, change.name)
        with context.lock:
            operation.check()
            model.release_retained(change.name)
            record = model.settled(change.name)
            context.save_if_possible(change.name)
            context.announce(record)

    def _undo_stage(self, operation: Operation, decide: Callable[[], Mapping[str, Changes]]) -> None:
        with self._context.lock:
            operation.check()
            pending = self._context.switches.send(decide())
        self._context.wait_or_repair("undoing a change", pending)

    def _return(self, restored: Iterable[str]) -> Mapping[str, Changes]:
        """The old paths are in use again; what the new ones left goes."""
        context, model = self._context, self._context.model
        connections = context.existing(restored)
        for connection in connections:
            if connection.state is ConnectionState.REROUTING:
                model.set_state(connection.id, ConnectionState.ACTIVE)
        return model.remove_old(c.id for c in connections)

    # --- keys ----------------------------------------------------------------------------------------------------

    def _rekeyed(self, change: SliceChange) -> list[_End]:
        """The ends that need other keys under the same addresses."""
        model = self._context.model
        with self._context.lock:
            ends = [
                _End(
                    new,
                    site,
                    endpoint_at(model.topology, change.old(new.id), site),
                    endpoint_at(model.topology, new, site),
                )
                for new in self._context.existing(change.changed)
                for site in reversed(ends_of(new))  # the responder first: it follows whatever the initiator offers
            ]
        return [end for end in ends if end.old != end.new]

    def _rekey(self, operation: Operation, ends: list[_End]) -> None:
        """Other keys for connections that go on, the responder's end before the initiator's."""
        tunnels = self._context.tunnels
        for role in ("responder", "initiator"):
            turn = [end for end in ends if end.new.role == role and not end.is_swap]
            self._run(operation, [Call(tunnels.modify, end.site, end.new) for end in turn])
        swaps = [end for end in ends if end.is_swap]
        self._run(operation, [Call(tunnels.remove, end.site, end.connection.id) for end in swaps])
        self._run(operation, [Call(tunnels.add, end.site, end.new) for end in swaps])
        self._wait_up(operation, [(end.site, end.connection.id) for end in ends])

    def _run(self, operation: Operation, calls: list[Call]) -> None:
        with self._context.lock:
            running: Parallel = operation.run(calls)
        running.join(TUNNEL_DEADLINE_S)

    def _wait_up(self, operation: Operation, ends: Iterable[tuple[str, str]]) -> None:
        with self._context.lock:
            calls = [Call(self._context.tunnels.wait_up, site, i, TUNNEL_DEADLINE_S) for site, i in ends]
            waiting = operation.watch(calls)
        waiting.join(TUNNEL_DEADLINE_S + 1.0)
