"""Taking slices away: by request, at their end, or because they could not be made."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from controller.forwarding.tunnel_endpoint import ends_of
from controller.model.connection import Connection
from controller.model.errors import DriverError, SliceBusy
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.operations.concurrency import Call, Operation, Parallel
from controller.operations.context import BARRIER_DEADLINE_S, TUNNEL_DEADLINE_S, Engine, log_faults

log = logging.getLogger(__name__)

HOLDING_NOTHING = (SliceState.SCHEDULED, SliceState.RESERVED, SliceState.FAILED)  # on switches and hosts


class Removal:
    """A delete wins over whatever else is being done to the slice."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._unstruck: dict[str, SliceState] = {}  # removed, but the journal would not have it; with what they become

    def delete(self, name: str) -> SliceRecord:
        """Remove a slice. Switches that are away are put right when they come back.

        Raises UnknownSlice, SliceBusy when it is going already, DriverError when the journal refuses.
        """
        engine = self._engine
        started = engine.steady()
        with engine.lock:
            record = engine.model.slice(name)
            if record.state is SliceState.DELETING:
                raise SliceBusy(f"slice {name} is {record.state.value}: it cannot be deleted now")
            if record.state in HOLDING_NOTHING:
                engine.forget_at_once(record)
            else:
                operation = self._claim(record)
        if record.state not in HOLDING_NOTHING:
            engine.reached("delete.1-journalled")
            self.remove(name, SliceState.DELETED, operation)
        took_ms = {"deprovisioned": (engine.steady() - started) * 1000}
        return replace(record, state=SliceState.DELETED, timings_ms={**record.timings_ms, **took_ms})

    def _claim(self, record: SliceRecord) -> Operation | None:
        """Journal that the slice goes, before anything of it does, and stop what else is being done to it."""
        engine = self._engine
        going = record.become(SliceState.DELETING)
        engine.journal.save((going, engine.model.connections_of(record.name)))
        engine.model.set_slice_state(record.name, SliceState.DELETING)
        engine.announce(going)
        operation = engine.operations.get(record.name)
        if operation is not None:
            operation.overtake()
        return operation

    def roll_back(self, name: str, operation: Operation) -> bool:
        """Take off a slice that could not be made. False when a delete does so already."""
        with self._engine.lock:
            if operation.is_overtaken:
                return False
            self._engine.model.set_slice_state(name, SliceState.DELETING)
        try:
            self.remove(name, SliceState.FAILED, operation)
        except DriverError as error:
            log.warning("slice %s: %s", name, error)
        return True

    def remove(self, name: str, end: SliceState, operation: Operation | None = None) -> None:
        """Take a DELETING slice off switches, hosts and journal, whatever stands of it; faults there are logged.

        Raises DriverError when the journal refuses: the slice stays DELETING and is struck out later.
        """
        engine = self._engine
        with engine.lock:
            connections = engine.model.everything_of(name)
        self.withdraw(connections, f"slice {name}", operation, steps="delete")
        with engine.lock:
            self._unstruck[name] = end
            self._strike_out(name)

    def withdraw(
        self, connections: Iterable[Connection], what: str, operation: Operation | None = None, steps: str | None = None
    ) -> None:
        """Take connections off switches and hosts: first nothing enters any more, then nothing is left."""
        engine = self._engine
        reached = engine.reached if steps == "delete" else lambda step: None
        with engine.lock:
            going = [
                c if c.state is ConnectionState.REMOVING else engine.model.set_state(c.id, ConnectionState.REMOVING)
                for c in engine.existing(c.id for c in connections)
            ]
            pending = engine.switches.send(engine.model.withdraw_ingress(going))
        reached("delete.2-ingress-withdrawn")
        if operation is not None:  # an agent must not be told to add what it has just been told to remove
            operation.settle(TUNNEL_DEADLINE_S)
        tunnels = Parallel([Call(engine.tunnels.remove, site, c.id) for c in going for site in ends_of(c)])
        log_faults(what, pending.wait(BARRIER_DEADLINE_S))
        reached("delete.3-ingress-confirmed")
        with engine.lock:
            pending = engine.switches.send(engine.model.withdraw_all(going))
        reached("delete.4-transit-withdrawn")
        log_faults(what, pending.wait(BARRIER_DEADLINE_S))
        reached("delete.5-transit-confirmed")
        try:
            tunnels.join(TUNNEL_DEADLINE_S)
        except DriverError as error:
            log.warning("%s: %s; the agent is put right when it answers again", what, error)
        reached("delete.6-tunnels-removed")

    def strike_out_again(self) -> None:
        """Try again what the journal would not have."""
        with self._engine.lock:
            for name in list(self._unstruck):
                self._strike_out(name)

    def _strike_out(self, name: str) -> None:
        engine = self._engine
        engine.journal.forget(name)
        engine.reached("delete.7-struck-out")
        end = self._unstruck.pop(name)
        record = engine.model.slice(name)
        engine.model.forget(name)
        engine.announce(record.become(end))
