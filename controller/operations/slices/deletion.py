"""Taking slices away: by request, at their end, or because they could not be made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from controller.forwarding.tunnel_endpoint import ends_of
from controller.model.connection import Connection
from controller.model.errors import DriverError, SliceBusy
from controller.model.provisioning_trace import Outcome, Task
from controller.model.recurrence import Occurrence
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.operations.concurrency import Call, Operation, Parallel
from controller.operations.context import TUNNEL_DEADLINE_S, OperationContext
from controller.operations.slices.device_sequence import DeviceSequence
from controller.operations.tracing import Stopwatch, trace_of

log = logging.getLogger(__name__)

HOLDING_NOTHING = (SliceState.SCHEDULED, SliceState.RESERVED, SliceState.FAILED)  # on switches and hosts


class Deletion:
    """A delete wins over whatever else is being done to the slice."""

    def __init__(self, context: OperationContext, sequence: DeviceSequence | None = None) -> None:
        self._context = context
        self._sequence = sequence
        self._unstruck: dict[str, SliceState] = {}  # removed, but the journal would not have it; with what they become

    def delete(self, name: str, following: Occurrence | None = None) -> SliceRecord:
        """Remove a slice; one at work that comes again is SCHEDULED then, for ``following``.

        Switches that are away are put right when they come back.

        Raises UnknownSlice, SliceBusy when it is going already, DriverError when the journal refuses.
        """
        context = self._context
        started = context.steady()
        watch = Stopwatch(context.steady, started)
        with context.lock:
            record = context.model.slice(name)
            if record.state is SliceState.DELETING:
                raise SliceBusy(f"slice {name} is {record.state.value}: it cannot be deleted now")
            if record.state in HOLDING_NOTHING:
                context.forget_at_once(record)
            else:
                operation = self._claim(record, following)
        if record.state not in HOLDING_NOTHING:
            context.checkpoint("delete.1-journalled")
            watch.stage("claimed")
            self.remove(name, SliceState.DELETED, operation, watch)
            context.traces.add(
                trace_of(watch, context.new_id(), name, Task.TAKE_DOWN, context.mode, context.clock(), Outcome.DONE)
            )
        took_ms = {"deprovisioned": (context.steady() - started) * 1000}
        return replace(record, state=SliceState.DELETED, timings_ms={**record.timings_ms, **took_ms})

    def _claim(self, record: SliceRecord, following: Occurrence | None) -> Operation | None:
        """Journal that the slice goes, before anything of it does, and stop what else is being done to it."""
        context = self._context
        going = record.become(SliceState.DELETING, occurrence=following)
        context.journal.save((going, context.model.connections_of(record.name)))
        context.model.begin_deleting(record.name, following)
        context.announce(going)
        operation = context.operations.get(record.name)
        if operation is not None:
            operation.supersede()
        return operation

    def roll_back(self, name: str, operation: Operation, watch: Stopwatch) -> bool:
        """Take off a slice that could not be made. False when a delete does so already."""
        with self._context.lock:
            if operation.is_superseded:
                return False
            self._context.model.set_slice_state(name, SliceState.DELETING)
        try:
            self.remove(name, SliceState.FAILED, operation, watch)
        except DriverError as error:
            log.warning("slice %s: %s", name, error)
        return True

    def remove(
        self, name: str, end: SliceState, operation: Operation | None = None, watch: Stopwatch | None = None
    ) -> None:
        """Take a DELETING slice off switches, hosts and journal, whatever stands of it; ``watch`` notes the steps.

        A switch or agent that refuses is repaired later. Raises DriverError when the journal refuses: the slice stays
        DELETING and is struck out later.
        """
        context = self._context
        with context.lock:
            connections = context.model.everything_of(name)
        watch = watch or Stopwatch(context.steady, context.steady())
        if self._sequence is not None:
            self._withdraw_in_sequence(self._sequence, connections, name, operation, watch)
        else:
            self.withdraw(connections, f"slice {name}", operation, context.checkpoint, watch)
        with context.lock:
            self._unstruck[name] = end
            self._strike_out(name)
        watch.stage("struck_out")

    def _withdraw_in_sequence(
        self,
        sequence: DeviceSequence,
        connections: Iterable[Connection],
        name: str,
        operation: Operation | None,
        watch: Stopwatch,
    ) -> None:
        """The tunnels first, then one device after the other: the set-up in reverse order."""
        going = self._going(connections)
        if operation is not None:
            operation.settle(TUNNEL_DEADLINE_S)
        self._join(self._remove_tunnels(going), f"slice {name}")
        watch.stage("tunnels_removed")
        self._context.checkpoint("delete.6-tunnels-removed")
        sequence.withdraw(going, watch)
        self._context.checkpoint("delete.5-transit-confirmed")

    def _going(self, connections: Iterable[Connection]) -> list[Connection]:
        context = self._context
        with context.lock:
            return [
                c if c.state is ConnectionState.REMOVING else context.model.set_state(c.id, ConnectionState.REMOVING)
                for c in context.existing(c.id for c in connections)
            ]

    def _remove_tunnels(self, going: Iterable[Connection]) -> Parallel:
        return Parallel([Call(self._context.tunnels.remove, site, c.id) for c in going for site in ends_of(c)])

    def _join(self, tunnels: Parallel, what: str) -> None:
        try:
            tunnels.join(TUNNEL_DEADLINE_S)
        except DriverError as error:
            log.warning("%s: %s; the agent is put right when it answers again", what, error)

    def withdraw(
        self,
        connections: Iterable[Connection],
        what: str,
        operation: Operation | None = None,
        checkpoint: Callable[[str], None] = lambda name: None,
        watch: Stopwatch | None = None,
    ) -> None:
        """Take connections off switches and hosts: first nothing enters any more, then nothing is left."""
        context = self._context
        watch = watch or Stopwatch(context.steady, context.steady())
        with context.lock:
            going = self._going(connections)
            pending = context.switches.send(context.model.withdraw_ingress(going))
        checkpoint("delete.2-ingress-withdrawn")
        if operation is not None:  # an agent must not be told to add what it has just been told to remove
            operation.settle(TUNNEL_DEADLINE_S)
        tunnels = self._remove_tunnels(going)
        context.wait_or_repair(what, pending)
        watch.stage("ingress_withdrawn")
        checkpoint("delete.3-ingress-confirmed")
        with context.lock:
            pending = context.switches.send(context.model.withdraw_all(going))
        checkpoint("delete.4-transit-withdrawn")
        context.wait_or_repair(what, pending)
        checkpoint("delete.5-transit-confirmed")
        watch.stage("rules_withdrawn")
        self._join(tunnels, what)
        watch.stage("tunnels_removed")
        checkpoint("delete.6-tunnels-removed")

    def strike_out_again(self) -> None:
        """Try again what the journal would not have."""
        with self._context.lock:
            for name in list(self._unstruck):
                self._strike_out(name)

    def _strike_out(self, name: str) -> None:
        """Out of the journal; a recurring slice stays there, with what it waits for."""
        context = self._context
        record = context.model.slice(name)
        waiting = None if record.occurrence is None else record.until_it_comes_again()
        if waiting is None:
            context.journal.forget(name)
        else:
            context.journal.save((waiting, ()))
        context.checkpoint("delete.7-struck-out")
        end = self._unstruck.pop(name)
        context.model.forget(name)
        if waiting is not None:
            context.model.schedule(waiting)
        context.announce(waiting or record.become(end))
