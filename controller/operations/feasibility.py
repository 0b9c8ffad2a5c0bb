"""Feasibility check jobs: would it fit, and may it be held? (3GPP TS 28.531, clause 5.1.21; TS 28.541, clause 6.3.)

Attribute names in the API are those of TS 28.541's FeasibilityCheckAndReservationJob.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from controller.model.errors import ControllerError
from controller.model.request import SliceRequest
from controller.pce.computation import SlicePlan
from controller.pce.infeasibility import Infeasible

KEPT_JOBS = 1000


class UnknownJob(ControllerError):
    """There is no feasibility job of that id."""


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

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, FeasibilityJob] = OrderedDict()

    def add(self, job: FeasibilityJob) -> FeasibilityJob:
        self._jobs[job.id] = job
        while len(self._jobs) > KEPT_JOBS:
            self._jobs.popitem(last=False)
        return job

    def get(self, job_id: str) -> FeasibilityJob:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise UnknownJob(f"there is no feasibility job {job_id!r}") from None

    def remove(self, job_id: str) -> FeasibilityJob:
        job = self.get(job_id)
        del self._jobs[job_id]
        return job

    def all(self) -> tuple[FeasibilityJob, ...]:
        return tuple(self._jobs.values())
