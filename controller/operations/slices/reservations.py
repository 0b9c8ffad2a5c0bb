"""Resources held for slices that are to be committed: reserve, commit, roll back, expire."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass

from controller.model.errors import DriverError, ReservationExpired, ReservationOutcome, UnknownReservation
from controller.model.request import SliceRequest
from controller.model.slice_record import SliceRecord
from controller.operations.concurrency import Operation
from controller.operations.context import OperationContext
from controller.operations.slices.provisioning import Provisioning
from controller.operations.tracing import Stopwatch
from controller.pce.computation import SlicePlan
from controller.schema.slice_request import InvalidRequest
from controller.schema.terms import check_times

log = logging.getLogger(__name__)

DEFAULT_RESERVATION_S = 60.0
MAX_RESERVATION_S = 3600.0
REMEMBERED_RESERVATIONS = 1000


@dataclass(frozen=True)
class Reservation:
    """Resources held for a slice until ``expires_at`` (seconds since the epoch)."""

    id: str
    expires_at: float
    plan: SlicePlan

    @property
    def name(self) -> str:
        return self.plan.request.name


class Reservations:
    """Every method takes the lock by itself. :meth:`reserve` and :meth:`commit` must not be called with it held."""

    def __init__(self, context: OperationContext, provisioning: Provisioning) -> None:
        self._context = context
        self._provisioning = provisioning
        self._over: OrderedDict[str, ReservationOutcome] = OrderedDict()  # reservation -> why it is over
        self._deadlines: dict[str, float] = {}  # reservation -> when it expires, by the clock that is never set

    def reserve(self, request: SliceRequest, ttl_s: float) -> Reservation:
        """Hold everything the slice needs until it is committed or ``ttl_s`` has passed; nothing goes to switches."""
        if not 0 < ttl_s <= MAX_RESERVATION_S:
            raise InvalidRequest((("expires_in_s", f"must be above 0 and at most {MAX_RESERVATION_S:g}"),))
        if request.recurrence is not None:
            raise InvalidRequest((("slice.schedule", "what is reserved is made once; create a recurring slice"),))
        check_times(request, self._context.clock())
        return self._provisioning.plan_then(request, lambda plan: self._hold(plan, ttl_s))

    def _hold(self, plan: SlicePlan, ttl_s: float) -> Reservation:
        """Call with the lock held."""
        context, now = self._context, self._context.clock()
        record = context.model.reserve(plan, now)
        reservation = Reservation(context.new_id(), now + ttl_s, plan)
        context.model.hold_reservation(record.name, reservation.id, reservation.expires_at)
        try:
            context.save(record.name)
        except DriverError:
            context.model.forget(record.name)
            raise
        self._deadlines[reservation.id] = context.steady() + ttl_s
        context.announce(context.model.slice(record.name))
        return reservation

    def records(self) -> tuple[SliceRecord, ...]:
        """The slices that are reserved now."""
        with self._context.lock:
            self.expire()
            return self._held()

    def record(self, reservation_id: str) -> SliceRecord:
        """The RESERVED slice of a reservation. Raises UnknownReservation, ReservationExpired."""
        with self._context.lock:
            for record in self.records():
                if record.reservation == reservation_id:
                    return record
            if reservation_id in self._over:
                raise ReservationExpired(reservation_id, self._over[reservation_id])
            raise UnknownReservation(f"there is no reservation {reservation_id!r}")

    def commit(self, reservation_id: str, received: float) -> SliceRecord:
        """The reserved slice, ACTIVE. When that fails, everything is rolled back and the reservation is over too."""
        operations = self._begin(reservation_id)
        watches = {name: Stopwatch(self._context.steady, received) for name in operations}
        return self._provisioning.carry_out(operations, watches)[0]

    def _begin(self, reservation_id: str) -> dict[str, Operation]:
        """From RESERVED to PROVISIONING. When the journal refuses, the reservation stands as it was."""
        model = self._context.model
        with self._context.lock:
            record = self.record(reservation_id)
            connections = model.connections_of(record.name)
            try:
                operations = self._provisioning.install([record.name])
            except DriverError:
                model.put_back(record, connections)
                raise
            self._note_over(reservation_id, ReservationOutcome.COMMITTED)
            return operations

    def roll_back(self, reservation_id: str) -> SliceRecord:
        """Give a reservation up. Raises UnknownReservation, ReservationExpired, DriverError."""
        with self._context.lock:
            record = self.record(reservation_id)
            self._context.forget_at_once(record, reason="the reservation was rolled back")
            self._note_over(reservation_id, ReservationOutcome.ROLLED_BACK)
            return record

    def expire(self) -> None:
        """Give up what has expired; what the journal does not let go is tried again at the next call."""
        with self._context.lock:
            held = self._held()
            for record in held:
                if self._remaining_s(record) <= 0:
                    self._expire(record)
            for gone in self._deadlines.keys() - {record.reservation for record in held}:  # deleted as slices
                del self._deadlines[gone]

    def _remaining_s(self, record: SliceRecord) -> float:
        """How long a reservation still holds. Setting the clock does not change that, but for what an earlier process
        left: of that only the date is known, and it lasts no longer than any reservation may.
        """
        now, reservation = self._context.steady(), record.reservation
        if reservation is None or record.expires_at is None:
            return float("inf")
        if reservation not in self._deadlines:
            by_date = record.expires_at - self._context.clock()
            self._deadlines[reservation] = now + min(by_date, MAX_RESERVATION_S)
        return self._deadlines[reservation] - now

    def _expire(self, record: SliceRecord) -> None:
        assert record.reservation is not None
        try:
            self._context.forget_at_once(record, reason="the reservation expired")
        except DriverError as error:
            log.warning("slice %s: reservation not given up yet: %s", record.name, error)
        else:
            self._note_over(record.reservation, ReservationOutcome.EXPIRED)

    def _held(self) -> tuple[SliceRecord, ...]:
        return tuple(r for r in self._context.model.slices.values() if r.reservation is not None)

    def _note_over(self, reservation_id: str, outcome: ReservationOutcome) -> None:
        self._over[reservation_id] = outcome
        self._deadlines.pop(reservation_id, None)
        while len(self._over) > REMEMBERED_RESERVATIONS:
            self._over.popitem(last=False)
