"""What the northbound API may ask for: slices made, changed, deleted, reserved, tried out and looked up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from controller.model.key_rates import SectionStatus
from controller.model.provisioning_trace import ProvisioningTrace
from controller.model.request import SliceRequest
from controller.model.slice_record import SliceRecord
from controller.operations.context import OperationContext
from controller.operations.keys.key_rate_polling import KeyRatePolling
from controller.operations.slices.deletion import Deletion
from controller.operations.slices.dry_run import Preview, preview, preview_change
from controller.operations.slices.feasibility import FeasibilityJob, FeasibilityJobs, ReservationStatus
from controller.operations.slices.modification import Modification
from controller.operations.slices.provisioning import Provisioning
from controller.operations.slices.reservations import DEFAULT_RESERVATION_S, Reservation, Reservations
from controller.operations.slices.scheduling import Scheduling
from controller.operations.supervision import TaskReport
from controller.pce.computation import SlicePlan
from controller.schema.slice_request import InvalidRequest
from controller.schema.terms import Terms, check_times
from controller.state.network_state import NetworkState

Done = TypeVar("Done")


@dataclass(frozen=True)
class SliceOperations:
    """The operations behind the service, one object each."""

    provisioning: Provisioning
    """Makes slices."""

    modification: Modification
    """Changes slices at work."""

    deletion: Deletion
    """Removes slices."""

    reservations: Reservations
    """Holds resources for slices that are to be committed."""

    scheduling: Scheduling
    """Keeps slices whose start is to come."""

    feasibility: FeasibilityJobs
    """Answers whether a slice would fit."""

    key_rates: KeyRatePolling
    """Asks the KMS for its rates before a slice is planned on them."""


class SliceService:
    """Every method may be called from any thread."""

    def __init__(self, context: OperationContext, operations: SliceOperations) -> None:
        self._context = context
        self._operations = operations

    # --- queries -------------------------------------------------------------------------------------------------

    @property
    def terms(self) -> Terms:
        """What requests are held against."""
        return self._context.terms

    @property
    def model(self) -> NetworkState:
        """To be read with :attr:`lock` held."""
        return self._context.model

    @property
    def lock(self) -> threading.RLock:
        return self._context.lock

    @property
    def sections(self) -> dict[str, SectionStatus]:
        """QKD sections by id, as the KMS told of them last. To be read with :attr:`lock` held."""
        return self._context.sections

    def switch_count(self) -> tuple[int, int]:
        """Switches that are connected and repaired, and those that there are."""
        sites = self.model.topology.site_names
        return sum(self._context.switches.is_ready(site) for site in sites), len(sites)

    def traces(self, slice_name: str | None = None) -> tuple[ProvisioningTrace, ...]:
        """The last set-ups and tear-downs, of one slice or of all, the newest last."""
        return self._context.traces.all(slice_name)

    @property
    def background(self) -> tuple[TaskReport, ...]:
        """How what goes on by itself fares."""
        return self._context.supervisor.reports

    # --- one slice -----------------------------------------------------------------------------------------------

    def plan(self, request: SliceRequest) -> SlicePlan:
        """What a request would get, on fresh key rates.

        Raises InvalidRequest, InfeasibleRequest, KeyRatesUnknown, DuplicateSlice.
        """
        return self._plan_then(request, lambda plan: plan)

    def _plan_then(self, request: SliceRequest, use: Callable[[SlicePlan], Done]) -> Done:
        self._operations.key_rates.refresh()
        check_times(request, self._context.clock())
        return self._operations.provisioning.plan_then(request, use)

    def create(self, request: SliceRequest) -> SliceRecord:
        """A slice that is ACTIVE when this returns, or SCHEDULED when its start is to come or it recurs.

        Raises InvalidRequest, InfeasibleRequest, KeyRatesUnknown, DuplicateSlice, Superseded when a delete won,
        DriverError, or ProvisioningFailed when everything has been rolled back.
        """
        received = self._context.steady()
        check_times(request, self._context.clock())
        if self._operations.scheduling.is_to_come(request):
            return self._operations.scheduling.schedule(request)
        self._operations.key_rates.refresh()
        return self._operations.provisioning.create((request,), received)[0]

    def create_batch(self, requests: Sequence[SliceRequest]) -> tuple[SliceRecord, ...]:
        """All of them ACTIVE, or none made; planned in the order given. Errors as for :meth:`create`."""
        received = self._context.steady()
        for position, request in enumerate(requests):
            check_times(request, self._context.clock())
            if self._operations.scheduling.is_to_come(request):
                field = "start" if request.recurrence is None else "schedule"
                raise InvalidRequest(((f"slices.{position}.{field}", "a batch starts at once"),))
        self._operations.key_rates.refresh()
        return self._operations.provisioning.create(requests, received) if requests else ()

    def plan_change(self, name: str, patch: Any) -> SlicePlan:
        """What :meth:`modify` would make of the slice; nothing is changed."""
        self._operations.key_rates.refresh()
        return self._operations.modification.plan_then(name, patch, lambda plan: plan)

    def modify(self, name: str, patch: Any) -> SliceRecord:
        """Change a slice by a JSON merge patch (RFC 7396) of its request, make before break.

        A SCHEDULED slice stays SCHEDULED, and its start can be changed too.

        Raises UnknownSlice, SliceBusy, InvalidRequest, InfeasibleRequest, KeyRatesUnknown, Superseded, DriverError,
        ProvisioningFailed; after each but Superseded the slice is what it was.
        """
        received = self._context.steady()
        if self._operations.scheduling.is_scheduled(name):
            return self._operations.scheduling.change(name, patch)
        self._operations.key_rates.refresh()
        return self._operations.modification.modify(name, patch, received)

    def delete(self, name: str) -> SliceRecord:
        """Remove a slice, whatever is being done to it. Raises UnknownSlice, SliceBusy, DriverError."""
        return self._operations.deletion.delete(name)

    # --- dry runs ------------------------------------------------------------------------------------------------

    def preview(self, request: SliceRequest) -> Preview:
        """What :meth:`create` would reserve and send; nothing is changed. Errors as for :meth:`plan`."""
        return self._plan_then(request, partial(preview, self.model))

    def preview_change(self, name: str, patch: Any) -> Preview:
        """What :meth:`modify` would reserve and send; nothing is changed. Errors as for :meth:`plan_change`."""
        self._operations.key_rates.refresh()
        if self._operations.scheduling.is_scheduled(name):
            return self._operations.scheduling.preview_change(name, patch)
        return self._operations.modification.plan_then(name, patch, partial(preview_change, self.model))

    # --- two phases ----------------------------------------------------------------------------------------------

    def reserve(self, request: SliceRequest, ttl_s: float = DEFAULT_RESERVATION_S) -> Reservation:
        """Hold what the slice needs for ``ttl_s`` seconds. Errors as for :meth:`plan`, and DriverError."""
        self._operations.key_rates.refresh()
        return self._operations.reservations.reserve(request, ttl_s)

    def commit(self, reservation_id: str) -> SliceRecord:
        """The reserved slice, ACTIVE. Raises UnknownReservation, ReservationExpired, and what :meth:`create` does."""
        return self._operations.reservations.commit(reservation_id, self._context.steady())

    def roll_back(self, reservation_id: str) -> SliceRecord:
        """Give a reservation up. Raises UnknownReservation, ReservationExpired, DriverError."""
        return self._operations.reservations.roll_back(reservation_id)

    def reservation(self, reservation_id: str) -> SliceRecord:
        """The RESERVED slice of a reservation. Raises UnknownReservation, ReservationExpired."""
        return self._operations.reservations.record(reservation_id)

    def reservations(self) -> tuple[SliceRecord, ...]:
        """The slices that are reserved."""
        return self._operations.reservations.records()

    # --- feasibility ---------------------------------------------------------------------------------------------

    def check_feasibility(
        self, request: SliceRequest, *, reserve: bool = False, ttl_s: float = DEFAULT_RESERVATION_S
    ) -> FeasibilityJob:
        """A job that says whether the request fits now, and holds what it needs if told to. Raises DuplicateSlice."""
        self._operations.key_rates.refresh()
        return self._operations.feasibility.check(request, reserve=reserve, ttl_s=ttl_s)

    def feasibility_job(self, job_id: str) -> FeasibilityJob:
        """Raises UnknownJob."""
        return self._operations.feasibility.get(job_id)

    def feasibility_jobs(self) -> tuple[FeasibilityJob, ...]:
        return self._operations.feasibility.all()

    def reservation_status(self, job: FeasibilityJob) -> ReservationStatus:
        return self._operations.feasibility.reservation_status(job)

    def end_feasibility_job(self, job_id: str) -> FeasibilityJob:
        """Forget a job, and give up what it still reserves. Raises UnknownJob, DriverError."""
        return self._operations.feasibility.end(job_id)
