"""Slices made: one, several at once, or what was reserved before; all of them, or none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from controller.forwarding.tunnel_endpoint import endpoint_at, ends_of
from controller.model.errors import (
    ControllerError,
    DriverError,
    KeyRatesUnknown,
    ProvisioningFailed,
    Superseded,
)
from controller.model.provisioning_trace import Outcome, Task
from controller.model.request import SliceRequest
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState
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
from controller.operations.slices.device_sequence import DeviceSequence
from controller.operations.tracing import Stopwatch, trace_of
from controller.pce.computation import SlicePlan, UnknownKeyRates
from controller.pce.infeasibility import Infeasible
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)
Done = TypeVar("Done")

PROVISIONING_DEADLINE_S = 2 * BARRIER_DEADLINE_S + 2 * TUNNEL_DEADLINE_S + 1.0


class Provisioning:
    """Everything of a slice, or nothing."""

    def __init__(self, context: OperationContext, deletion: Deletion, sequence: DeviceSequence | None = None) -> None:
        self._context = context
        self._deletion = deletion
        self._sequence = sequence

    def plan_then(
        self, request: SliceRequest, use: Callable[[SlicePlan], Done], scheduled: SliceRecord | None = None
    ) -> Done:
        """Use what a request would get, with the lock held; call without it. A SCHEDULED slice gives way to it.

        Raises InfeasibleRequest, KeyRatesUnknown, DuplicateSlice, BoundReached.
        """

        def search(model: NetworkState) -> SlicePlan:
            return self._plan(_without(model, scheduled), request)

        return search_then(self._context, search, use)

    def _plan(self, model: NetworkState, request: SliceRequest) -> SlicePlan:
        plan = model.plan(request)
        if isinstance(plan, Infeasible):
            away = model.needed_switches_away(request)
            if away:
                raise DriverError("; ".join(f"switch {site}: not connected" for site in away))
            raise InfeasibleRequest(request.name, plan)
        if isinstance(plan, UnknownKeyRates):
            raise KeyRatesUnknown(request.name, plan.sections, self._context.kms_silence)
        return plan

    def _plan_all(
        self,
        requests: Sequence[SliceRequest],
        watches: Mapping[str, Stopwatch],
        scheduled: SliceRecord | None,
        model: NetworkState,
    ) -> list[SlicePlan]:
        """Plans that fit together, each made on what those before it leave."""
        model = _without(model, scheduled)
        if len(requests) > 1:
            model = model.fork()
        plans = []
        for request in requests:
            watches[request.name].lap("checked")
            plans.append(self._plan(model, request))
            watches[request.name].lap("planned")
            if len(requests) > 1:
                model.reserve(plans[-1], self._context.clock())
        return plans

    def create(
        self, requests: Sequence[SliceRequest], received: float, scheduled: SliceRecord | None = None
    ) -> tuple[SliceRecord, ...]:
        """Slices that are ACTIVE when this returns: all of them, or none. One may take the place of a SCHEDULED one."""
        watches = {request.name: Stopwatch(self._context.steady, received) for request in requests}
        operations = search_then(
            self._context,
            partial(self._plan_all, requests, watches, scheduled),
            lambda plans: self._begin(plans, scheduled),
        )
        return self.carry_out(operations, watches)

    def _begin(self, plans: Sequence[SlicePlan], scheduled: SliceRecord | None) -> dict[str, Operation]:
        """From plans to PROVISIONING slices: all of them, or none."""
        context = self._context
        made: list[SliceRecord] = []
        if scheduled is not None:
            if context.model.slices.get(scheduled.name) is not scheduled:
                raise Superseded(f"slice {scheduled.name} has been changed or deleted")
            context.model.unschedule(scheduled.name)
        try:
            made.extend(context.model.reserve(plan, context.clock()) for plan in plans)
            if scheduled is not None and scheduled.occurrence is not None:
                context.model.take_occurrence(scheduled.name, scheduled.occurrence)
            context.checkpoint("create.1-reserved")
            return self.install([record.name for record in made])
        except ControllerError:
            for record in made:
                context.model.forget(record.name)
            if scheduled is not None:
                context.model.schedule(scheduled)
            raise

    def install(self, names: Sequence[str]) -> dict[str, Operation]:
        """RESERVED slices become PROVISIONING, and journalled. Call with the lock held. Raises DriverError."""
        context = self._context
        for name in names:
            context.model.begin_provisioning(name)
            for connection in context.model.connections_of(name):
                context.model.set_state(connection.id, ConnectionState.INSTALLING)
        context.save(*names)
        for name in names:
            context.announce(context.model.slice(name))
        return {name: context.begin_operation(name, "created") for name in names}

    def carry_out(self, operations: dict[str, Operation], watches: dict[str, Stopwatch]) -> tuple[SliceRecord, ...]:
        """PROVISIONING slices become ACTIVE. Call without the lock. Raises Superseded, or ProvisioningFailed."""
        context = self._context
        context.checkpoint("create.2-journalled")
        try:
            try:
                if len(operations) == 1 or self._sequence is not None:
                    for name, operation in operations.items():
                        self._provision(name, operation, watches[name])
                else:
                    calls = [Call(self._provision, name, o, watches[name]) for name, o in operations.items()]
                    Parallel(calls).join(PROVISIONING_DEADLINE_S)
                records = self._activate(operations, watches)
            except ControllerError as error:
                ended = self._rolled_back(operations, error, watches)
                self._keep_traces(operations, watches, ended)
                raise ended from error
            self._keep_traces(operations, watches, None)
            return records
        finally:
            for name, operation in operations.items():
                context.end_operation(name, operation)

    def _keep_traces(
        self, operations: dict[str, Operation], watches: dict[str, Stopwatch], error: ControllerError | None
    ) -> None:
        context = self._context
        outcome = Outcome.DONE
        if error is not None:
            outcome = Outcome.SUPERSEDED if isinstance(error, Superseded) else Outcome.ROLLED_BACK
        for name in operations:
            watches[name].stage("journalled" if error is None else "rolled_back")
            told = None if error is None else str(error)
            context.traces.add(
                trace_of(
                    watches[name], context.new_id(), name, Task.SET_UP, context.mode, context.clock(), outcome, told
                )
            )

    def _rolled_back(
        self, operations: dict[str, Operation], error: ControllerError, watches: dict[str, Stopwatch]
    ) -> ControllerError:
        """Undo everything that nobody else undoes; the error to end with."""
        for operation in operations.values():
            if not operation.is_superseded:
                operation.settle(TUNNEL_DEADLINE_S)
        undone = [
            name for name, operation in operations.items() if self._deletion.roll_back(name, operation, watches[name])
        ]
        if not undone:  # whatever else went wrong, the delete that won is what the client must know
            return error if isinstance(error, Superseded) else Superseded("deleted while it was being created")
        names = ", ".join(operations)
        log.warning("slice %s: rolled back: %s", names, error)
        return ProvisioningFailed(f"slice {names}: {error}; rolled back", error)

    def _provision(self, name: str, operation: Operation, stopwatch: Stopwatch) -> None:
        """From PROVISIONING to what the data plane says works; raises what went wrong."""
        stopwatch.lap("reserved")
        if self._sequence is not None:
            self._sequence.install(name, operation, stopwatch)
        else:
            self._install_transit(name, operation)
            stopwatch.lap("transit")
            self._context.checkpoint("create.4-transit-confirmed")
            self._switch_ingress(name, operation)
        stopwatch.lap("barriers")
        self._context.checkpoint("create.6-ingress-confirmed")
        # Not earlier: telling the agents meanwhile would hold the switches up, and their first words would be lost.
        self._tell_agents(name, operation)
        stopwatch.lap("tunnels")
        self._context.checkpoint("create.7-tunnels-told")
        self._wait_up(name, operation)
        stopwatch.lap("active")
        self._context.checkpoint("create.8-tunnels-up")

    def _install_transit(self, name: str, operation: Operation) -> None:
        context = self._context
        with context.lock:
            operation.check()
            ids = [c.id for c in context.model.connections_of(name)]
            pending = context.switches.send(context.model.install_transit(ids))
        context.checkpoint("create.3-transit-sent")
        raise_faults(pending.wait(BARRIER_DEADLINE_S))

    def _switch_ingress(self, name: str, operation: Operation) -> None:
        context = self._context
        with context.lock:
            operation.check()
            # What healing has moved meanwhile it also enters by itself.
            ids = [c.id for c in context.model.connections_of(name) if c.state is ConnectionState.INSTALLING]
            pending = context.switches.send(context.model.switch_ingress(ids))
        context.checkpoint("create.5-ingress-sent")
        raise_faults(pending.wait(BARRIER_DEADLINE_S))

    def _tell_agents(self, name: str, operation: Operation) -> None:
        context = self._context
        with context.lock:
            operation.check()
            ends = [(site, c) for c in context.model.connections_of(name) for site in ends_of(c)]
            adds = [Call(context.tunnels.add, site, endpoint_at(context.model.topology, c, site)) for site, c in ends]
            telling = operation.run(adds)
        telling.join(TUNNEL_DEADLINE_S)

    def _wait_up(self, name: str, operation: Operation) -> None:
        context = self._context
        with context.lock:
            operation.check()
            ends = [(site, c.id) for c in context.model.connections_of(name) for site in ends_of(c)]
            waiting = operation.watch([Call(context.tunnels.wait_up, *end, TUNNEL_DEADLINE_S) for end in ends])
        waiting.join(TUNNEL_DEADLINE_S + 1.0)

    def _activate(self, operations: dict[str, Operation], watches: dict[str, Stopwatch]) -> tuple[SliceRecord, ...]:
        """The end of a creation: in one transaction of the journal, then told."""
        context, model = self._context, self._context.model
        with context.lock:
            for operation in operations.values():
                operation.check()
            before = [(model.slice(name), model.connections_of(name)) for name in operations]
            for name in operations:
                model.add_timings(name, watches[name].laps_ms)
                for connection in model.connections_of(name):
                    if connection.state is ConnectionState.INSTALLING:
                        model.set_state(connection.id, ConnectionState.ACTIVE)
                model.settled(name)
            try:
                context.save(*operations)
            except DriverError:
                for record, connections in before:
                    model.put_back(record, connections)
                raise
            context.checkpoint("create.9-journalled-active")
            for name in operations:
                context.announce(model.slice(name))
            return tuple(model.slice(name) for name in operations)


def _without(model: NetworkState, scheduled: SliceRecord | None) -> NetworkState:
    """The model, or one like it in which the SCHEDULED slice is not there. Raises Superseded when it is another."""
    if scheduled is None:
        return model
    if model.slices.get(scheduled.name) is not scheduled:
        raise Superseded(f"slice {scheduled.name} has been changed or deleted")
    fork = model.fork()
    fork.unschedule(scheduled.name)
    return fork
