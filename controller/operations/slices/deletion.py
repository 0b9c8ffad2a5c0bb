"""Taking slices away: by request, at their end, or because they could not be made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from controller.forwarding.tunnel_endpoint import ends_of
from controller.model.connection import Connection
from controller.model.errors import DriverError, SliceBusy
from controller.model.recurrence import Occurrence
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.operations.concurrency import Call, Operation, Parallel
from controller.operations.context import TUNNEL_DEADLINE_S, OperationContext

log = logging.getLogger(__name__)

HOLDING_NOTHING = (SliceState.SCHEDULED, SliceState.RESERVED, SliceState.FAILED)  # on switches and hosts


class Deletion:
    """A delete wins over whatever else is being done to the slice."""

    def __init__(self, context: OperationContext) -> None:
        self._context = context
        self._unstruck: dict[str, SliceState] = {}  # removed, but the journal would not have it; with what they become

    def delete(self, name: str, following: Occurrence | None = None) -> SliceRecord:
        """Remove a slice; one at work that comes again is SCHEDULED then, for ``following``.

        Switches that are away are put right when they come back.

        Raises UnknownSlice, SliceBusy when it is going already, DriverError when the journal refuses.
        """
        context = self._context
        started = context.steady()
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
            self.remove(name, SliceState.DELETED, operation)
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

    def roll_back(self, name: str, operation: Operation) -> bool:
        """Take off a slice that could not be made. False when a delete does so already."""
        with self._context.lock:
            if operation.is_superseded:
                return False
            self._context.model.set_slice_state(name, SliceState.DELETING)
        try:
            self.remove(name, SliceState.FAILED, operation)
        except DriverError as error:
            log.warning("slice %s: %s", name, error)
        return True

    def remove(self, name: str, end: SliceState, operation: Operation | None = None) -> None:
        """Take a DELETING slice off switches, hosts and journal, whatever stands of it.

        A switch or agent that refuses is repaired later. Raises DriverError when the journal refuses: the slice stays
        DELETING and is struck out later.
        """
        context = self._context
        with context.lock:
            connections = context.model.everything_of(name)
        self.withdraw(connections, f"slice {name}", operation, checkpoint=context.checkpoint)
        with context.lock:
            self._unstruck[name] = end
            self._strike_out(name)

    def withdraw(
        self,
        connections: Iterable[Connection],
        what: str,
        operation: Operation | None = None,
        checkpoint: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Take connections off switches and hosts: first nothing enters any more, then nothing is left."""
        context = self._context
        with context.lock:
            going = [
                c if c.state is ConnectionState.REMOVING else context.model.set_state(c.id, ConnectionState.REMOVING)
                for c in context.existing(c.id for c in connections)
            ]
            pending = context.switches.send(context.model.withdraw_ingress(going))
        checkpoint("delete.2-ingress-withdrawn")
        if operation is not None:  # an agent must not be told to add what it has just been told to remove
            operation.settle(TUNNEL_DEADLINE_S)
        tunnels = Parallel([Call(context.tunnels.remove, site, c.id) for c in going for site in ends_of(c)])
        context.wait_or_repair(what, pending)
        checkpoint("delete.3-ingress-confirmed")
        with context.lock:
            pending = context.switches.send(context.model.withdraw_all(going))
        checkpoint("delete.4-transit-withdrawn")
        context.wait_or_repair(what, pending)
        checkpoint("delete.5-transit-confirmed")
        try:
            tunnels.join(TUNNEL_DEADLINE_S)
        except DriverError as error:
            log.warning("%s: %s; the agent is put right when it answers again", what, error)
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
