"""Making slices: reserve, commit, roll back; one slice, several at once, or what was reserved before."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

from controller.forwarding.tunnel_endpoint import ends_of, tunnel_end
from controller.model.errors import (
    ControllerError,
    DriverError,
    Overtaken,
    ProvisioningFailed,
    ReservationExpired,
    ReservationOutcome,
    UnknownReservation,
)
from controller.model.request import SliceRequest
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState
from controller.operations.concurrency import Call, Operation, Parallel, Stopwatch
from controller.operations.context import BARRIER_DEADLINE_S, TUNNEL_DEADLINE_S, Engine, InfeasibleRequest, raise_faults
from controller.operations.deletion import Removal
from controller.operations.reservation import Reservation
from controller.pce.computation import SlicePlan
from controller.pce.infeasibility import Infeasible
from controller.schema.slice_request import InvalidRequest
from controller.schema.terms import check_times

log = logging.getLogger(__name__)

PROVISIONING_DEADLINE_S = 2 * BARRIER_DEADLINE_S + 2 * TUNNEL_DEADLINE_S + 1.0
MAX_RESERVATION_S = 3600.0
REMEMBERED_RESERVATIONS = 1000


class Provisioning:
    """Everything of a slice, or nothing."""

    def __init__(self, engine: Engine, removal: Removal) -> None:
        self._engine = engine
        self._removal = removal
        self._over: OrderedDict[str, ReservationOutcome] = OrderedDict()  # reservation -> why it is over

    # --- one slice -----------------------------------------------------------------------------------------------

    def plan(self, request: SliceRequest) -> SlicePlan:
        """What a request would get. Call with the lock held. Raises InfeasibleRequest, DuplicateSlice."""
        plan = self._engine.model.plan(request)
        if isinstance(plan, Infeasible):
            raise InfeasibleRequest(request.name, plan, self._engine.kms_silence)
        return plan

    def create(
        self, requests: Sequence[SliceRequest], received: float, scheduled: SliceRecord | None = None
    ) -> tuple[SliceRecord, ...]:
        """Slices that are ACTIVE when this returns: all of them, or none. One may take the place of a SCHEDULED one."""
        engine = self._engine
        watches = {request.name: Stopwatch(engine.steady, received) for request in requests}
        with engine.lock:
            made: list[SliceRecord] = []
            try:
                if scheduled is not None:
                    engine.model.unschedule(scheduled.name)
                for request in requests:
                    watches[request.name].lap("checked")
                    plan = self.plan(request)
                    watches[request.name].lap("planned")
                    made.append(engine.model.reserve(plan, engine.clock()))
                engine.reached("create.1-reserved")
                operations = self._install([record.name for record in made])
            except ControllerError:
                for record in made:
                    engine.model.forget(record.name)
                if scheduled is not None:
                    engine.model.schedule(scheduled)
                raise
        return self._carry_out(operations, watches)

    def _install(self, names: Sequence[str]) -> dict[str, Operation]:
        """RESERVED slices become PROVISIONING, and journalled. Call with the lock held. Raises DriverError."""
        engine = self._engine
        for name in names:
            engine.model.begin_provisioning(name)
            for connection in engine.model.connections_of(name):
                engine.model.set_state(connection.id, ConnectionState.INSTALLING)
        engine.save(*names)
        for name in names:
            engine.announce(engine.model.slice(name))
        return {name: engine.begin_operation(name, "created") for name in names}

    def _carry_out(self, operations: dict[str, Operation], watches: dict[str, Stopwatch]) -> tuple[SliceRecord, ...]:
        engine = self._engine
        engine.reached("create.2-journalled")
        try:
            try:
                if len(operations) == 1:
                    ((name, operation),) = operations.items()
                    self._provision(name, operation, watches[name])
                else:
                    calls = [Call(self._provision, name, o, watches[name]) for name, o in operations.items()]
                    Parallel(calls).join(PROVISIONING_DEADLINE_S)
                return self._activate(operations, watches)
            except ControllerError as error:
                raise self._rolled_back(operations, error) from error
        finally:
            for name, operation in operations.items():
                engine.end_operation(name, operation)

    def _rolled_back(self, operations: dict[str, Operation], error: ControllerError) -> ControllerError:
        """Undo everything that nobody else undoes; the error to end with."""
        for operation in operations.values():
            if not operation.is_overtaken:
                operation.settle(TUNNEL_DEADLINE_S)
        undone = [name for name, operation in operations.items() if self._removal.roll_back(name, operation)]
        if not undone:  # whatever else went wrong, the delete that won is what the client must know
            return error if isinstance(error, Overtaken) else Overtaken("deleted while it was being created")
        names = ", ".join(operations)
        log.warning("slice %s: rolled back: %s", names, error)
        return ProvisioningFailed(f"slice {names}: {error}; rolled back", error)

    def _provision(self, name: str, operation: Operation, stopwatch: Stopwatch) -> None:
        engine = self._engine
        stopwatch.lap("reserved")
        with engine.lock:
            operation.check()
            connections = engine.model.connections_of(name)
            pending = engine.switches.send(engine.model.install_transit(c.id for c in connections))
        engine.reached("create.3-transit-sent")
        raise_faults(pending.wait(BARRIER_DEADLINE_S))
        stopwatch.lap("transit")
        engine.reached("create.4-transit-confirmed")
        with engine.lock:
            operation.check()
            # What healing has moved meanwhile it also enters by itself.
            ids = [c.id for c in engine.model.connections_of(name) if c.state is ConnectionState.INSTALLING]
            pending = engine.switches.send(engine.model.switch_ingress(ids))
        engine.reached("create.5-ingress-sent")
        raise_faults(pending.wait(BARRIER_DEADLINE_S))
        stopwatch.lap("barriers")
        engine.reached("create.6-ingress-confirmed")
        # Not earlier: telling the agents meanwhile would hold the switches up, and their first words would be lost.
        with engine.lock:
            operation.check()
            tunnels = operation.run(
                [
                    Call(engine.tunnels.add, site, tunnel_end(engine.model.topology, c, site))
                    for c in connections
                    for site in ends_of(c)
                ]
            )
        tunnels.join(TUNNEL_DEADLINE_S)
        stopwatch.lap("tunnels")
        engine.reached("create.7-tunnels-told")
        with engine.lock:
            up = operation.watch(
                [Call(engine.tunnels.wait_up, s, c.id, TUNNEL_DEADLINE_S) for c in connections for s in ends_of(c)]
            )
        up.join(TUNNEL_DEADLINE_S + 1.0)
        stopwatch.lap("active")
        engine.reached("create.8-tunnels-up")

    def _activate(self, operations: dict[str, Operation], watches: dict[str, Stopwatch]) -> tuple[SliceRecord, ...]:
        """The end of a creation: in one transaction of the journal, then told."""
        engine, model = self._engine, self._engine.model
        with engine.lock:
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
                engine.save(*operations)
            except DriverError:
                for record, connections in before:
                    model.put_back(record, connections)
                raise
            engine.reached("create.9-journalled-active")
            for name in operations:
                engine.announce(model.slice(name))
            return tuple(model.slice(name) for name in operations)

    # --- two phases ----------------------------------------------------------------------------------------------

    def reserve(self, request: SliceRequest, ttl_s: float) -> Reservation:
        """Hold everything the slice needs until it is committed or ``ttl_s`` has passed; nothing goes to switches."""
        if not 0 < ttl_s <= MAX_RESERVATION_S:
            raise InvalidRequest((("expires_in_s", f"must be above 0 and at most {MAX_RESERVATION_S:g}"),))
        engine = self._engine
        with engine.lock:
            now = engine.clock()
            check_times(request, now)
            plan = self.plan(request)
            record = engine.model.reserve(plan, now)
            reservation = Reservation(engine.new_id(), now + ttl_s, plan)
            engine.model.hold_reservation(record.name, reservation.id, reservation.expires_at)
            try:
                engine.save(record.name)
            except DriverError:
                engine.model.forget(record.name)
                raise
            engine.announce(engine.model.slice(record.name))
            return reservation

    def reservations(self) -> tuple[SliceRecord, ...]:
        """What is reserved and has not expired. Call with the lock held."""
        return tuple(r for r in self._engine.model.slices.values() if r.reservation is not None)

    def reserved(self, reservation_id: str) -> SliceRecord:
        """The slice of a reservation. Call with the lock held. Raises UnknownReservation, ReservationExpired."""
        self.expire()
        for record in self.reservations():
            if record.reservation == reservation_id:
                return record
        if reservation_id in self._over:
            raise ReservationExpired(reservation_id, self._over[reservation_id])
        raise UnknownReservation(f"there is no reservation {reservation_id!r}")

    def commit(self, reservation_id: str, received: float) -> SliceRecord:
        """The reserved slice, ACTIVE. When that fails, everything is rolled back and the reservation is over too."""
        with self._engine.lock:
            record = self.reserved(reservation_id)
            connections = self._engine.model.connections_of(record.name)
            try:
                operations = self._install([record.name])
            except DriverError:  # the reservation stands as it was
                self._engine.model.put_back(record, connections)
                raise
            self._note_over(reservation_id, ReservationOutcome.COMMITTED)
        watches = {name: Stopwatch(self._engine.steady, received) for name in operations}
        return self._carry_out(operations, watches)[0]

    def roll_back(self, reservation_id: str) -> SliceRecord:
        """Give a reservation up. Raises UnknownReservation, ReservationExpired, DriverError."""
        with self._engine.lock:
            record = self.reserved(reservation_id)
            self._engine.forget_at_once(record, reason="the reservation was rolled back")
            self._note_over(reservation_id, ReservationOutcome.ROLLED_BACK)
            return record

    def expire(self) -> None:
        """Give up what has expired. Call with the lock held."""
        now = self._engine.clock()
        for record in self.reservations():
            if record.expires_at is not None and record.expires_at <= now:
                assert record.reservation is not None
                try:
                    self._engine.forget_at_once(record, reason="the reservation expired")
                except DriverError as error:
                    log.warning("slice %s: reservation not given up yet: %s", record.name, error)
                    continue
                self._note_over(record.reservation, ReservationOutcome.EXPIRED)

    def _note_over(self, reservation_id: str, outcome: ReservationOutcome) -> None:
        self._over[reservation_id] = outcome
        while len(self._over) > REMEMBERED_RESERVATIONS:
            self._over.popitem(last=False)
