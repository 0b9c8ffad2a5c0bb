"""Feasibility check jobs: would it fit, and may it be held? (3GPP TS 28.531, clause 5.1.21; TS 28.541, clause 6.3.)

Attribute names in the API are those of TS 28.541's FeasibilityCheckAndReservationJob.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from enum import Enum

from controller.model.errors import ControllerError, ReservationExpired, ReservationOutcome
from controller.model.request import SliceRequest
from controller.operations.context import InfeasibleRequest, OperationContext
from controller.operations.slices.provisioning import Provisioning
from controller.operations.slices.reservations import Reservations
from controller.pce.computation import SlicePlan
from controller.pce.infeasibility import Infeasible
from controller.schema.terms import check_times

KEPT_JOBS = 1000


class UnknownJob(ControllerError):
    """There is no feasibility job of that id."""


class ReservationStatus(Enum):
    """What has become of what a job was told to hold (TS 28.541, resourceReservationStatus)."""

    UNRESERVED = "UNRESERVED"
    RESERVED = "RESERVED"
    USED = "USED"


@dataclass(frozen=True)
class FeasibilityJob:
    """The answer to one question, as it was when it was asked. Exactly one of ``plan`` and ``infeasible`` is there."""

    id: str
    request: SliceRequest
    asked_at: float  # seconds since the epoch
    plan: SlicePlan | None
    infeasible: Infeasible | None
    reservation: str | None = None
    expires_at: float | None = None

    @property
    def is_feasible(self) -> bool:
        return self.plan is not None


class FeasibilityJobs:
    """The last jobs, oldest first; they do not outlive the process (reservations do)."""

    def __init__(self, context: OperationContext, provisioning: Provisioning, reservations: Reservations) -> None:
        self._context = context
        self._provisioning = provisioning
        self._reservations = reservations
        self._jobs: OrderedDict[str, FeasibilityJob] = OrderedDict()

    def check(self, request: SliceRequest, *, reserve: bool, ttl_s: float) -> FeasibilityJob:
        """Answer whether the request fits now, and hold what it needs if told to.

        Raises DuplicateSlice, DriverError, KeyRatesUnknown; InvalidRequest when its times or ``ttl_s`` make no sense.
        """
        job = FeasibilityJob(self._context.new_id(), request, self._context.clock(), None, None)
        check_times(request, job.asked_at)
        try:
            if reserve:
                held = self._reservations.reserve(request, ttl_s)
                job = replace(job, plan=held.plan, reservation=held.id, expires_at=held.expires_at)
            else:
                job = replace(job, plan=self._provisioning.plan_then(request, lambda plan: plan))
        except InfeasibleRequest as error:
            job = replace(job, infeasible=error.infeasible)
        with self._context.lock:
            self._jobs[job.id] = job
            while len(self._jobs) > KEPT_JOBS:
                self._jobs.popitem(last=False)
            return job

    def get(self, job_id: str) -> FeasibilityJob:
        """Raises UnknownJob."""
        with self._context.lock:
            try:
                return self._jobs[job_id]
            except KeyError:
                raise UnknownJob(f"there is no feasibility job {job_id!r}") from None

    def all(self) -> tuple[FeasibilityJob, ...]:
        with self._context.lock:
            return tuple(self._jobs.values())

    def reservation_status(self, job: FeasibilityJob) -> ReservationStatus:
        if job.reservation is None:
            return ReservationStatus.UNRESERVED
        try:
            self._reservations.record(job.reservation)
        except ReservationExpired as error:
            is_used = error.outcome is ReservationOutcome.COMMITTED
            return ReservationStatus.USED if is_used else ReservationStatus.UNRESERVED
        return ReservationStatus.RESERVED

    def end(self, job_id: str) -> FeasibilityJob:
        """Forget a job, and give up what it still reserves. Raises UnknownJob, DriverError."""
        with self._context.lock:
            job = self.get(job_id)
            if job.reservation is not None and self.reservation_status(job) is ReservationStatus.RESERVED:
                self._reservations.roll_back(job.reservation)
            del self._jobs[job_id]
            return job
