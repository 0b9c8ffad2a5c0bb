"""Two phases and feasibility: hold what a slice needs, then make it or let it go; ask whether it would fit."""

from __future__ import annotations

from http import HTTPStatus

from controller.northbound.bodies import parse_feasibility, parse_reservation
from controller.northbound.http.auth import Role
from controller.northbound.http.messages import Answer, Request, json_answer
from controller.northbound.http.operations import Body, Operation, Reply
from controller.northbound.views.slices import job_view, reservation_view, slice_view
from controller.operations.slices.slice_service import SliceService

WRITE = ("IdempotencyKey",)
TO_RESERVATION = (("getReservation", "id"), ("commitReservation", "id"), ("rollBackReservation", "id"))
TO_JOB = (("getFeasibilityJob", "id"), ("endFeasibilityJob", "id"))


class ReservationHandlers:
    """Answers for ``/v1/reservations`` and ``/v1/feasibility-jobs``."""

    def __init__(self, slices: SliceService) -> None:
        self._slices = slices

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "GET", "/v1/reservations", "listReservations", "What is reserved", self.list,
                (Reply(200, "The reservations", "ReservationList"),), is_conditional=True,
            ),
            Operation(
                "POST", "/v1/reservations", "reserveSlice", "Hold what a slice needs, for a time", self.reserve,
                (Reply(201, "The reservation", "Reservation", leads_to=TO_RESERVATION),), (409, 503),
                body=Body("ReservationRequest"), role=Role.OPERATOR, headers=WRITE,
            ),
            Operation(
                "GET", "/v1/reservations/{id}", "getReservation", "One reservation", self.show,
                (Reply(200, "The reservation", "Reservation"),), (404, 410), is_conditional=True,
            ),
            Operation(
                "DELETE", "/v1/reservations/{id}", "rollBackReservation", "Give a reservation up", self.roll_back,
                (Reply(200, "The reservation that was", "Reservation"),), (404, 410, 503),
                role=Role.OPERATOR, headers=WRITE,
            ),
            Operation(
                "POST", "/v1/reservations/{id}/commit", "commitReservation", "Make the slice that was reserved",
                self.commit, (Reply(201, "The slice, ACTIVE", "Slice"),), (404, 409, 410, 503),
                role=Role.OPERATOR, headers=WRITE,
            ),
            Operation(
                "GET", "/v1/feasibility-jobs", "listFeasibilityJobs", "The last feasibility jobs", self.list_jobs,
                (Reply(200, "The jobs", "FeasibilityJobList"),),
            ),
            Operation(
                "POST", "/v1/feasibility-jobs", "checkFeasibility",
                "Ask whether a slice would fit, and hold it if told to (3GPP TS 28.531, 5.1.21)", self.ask,
                (Reply(201, "The job, done", "FeasibilityJob", leads_to=TO_JOB),), (409, 503),
                body=Body("FeasibilityRequest"), role=Role.OPERATOR, headers=WRITE,
            ),
            Operation(
                "GET", "/v1/feasibility-jobs/{id}", "getFeasibilityJob", "One feasibility job", self.show_job,
                (Reply(200, "The job", "FeasibilityJob"),), (404,),
            ),
            Operation(
                "DELETE", "/v1/feasibility-jobs/{id}", "endFeasibilityJob",
                "Forget a job, and give up what it still reserves", self.end_job,
                (Reply(200, "The job that was", "FeasibilityJob"),), (404, 503), role=Role.OPERATOR, headers=WRITE,
            ),
        )  # fmt: skip

    def list(self, request: Request) -> Answer:
        records = sorted(self._slices.reservations(), key=lambda record: record.name)
        with self._slices.lock:
            model = self._slices.model
            return json_answer(HTTPStatus.OK, {"reservations": [reservation_view(model, r) for r in records]})

    def reserve(self, request: Request) -> Answer:
        wanted = parse_reservation(request.json(), self._slices.terms)
        held = self._slices.reserve(wanted.request, wanted.expires_in_s)
        with self._slices.lock:
            view = reservation_view(self._slices.model, self._slices.reservation(held.id))
        return json_answer(HTTPStatus.CREATED, view, headers=(("Location", f"/v1/reservations/{held.id}"),))

    def show(self, request: Request) -> Answer:
        with self._slices.lock:
            record = self._slices.reservation(request.parameters["id"])
            return json_answer(HTTPStatus.OK, reservation_view(self._slices.model, record))

    def roll_back(self, request: Request) -> Answer:
        with self._slices.lock:
            record = self._slices.reservation(request.parameters["id"])
            view = reservation_view(self._slices.model, record)
            self._slices.roll_back(request.parameters["id"])
        return json_answer(HTTPStatus.OK, view)

    def commit(self, request: Request) -> Answer:
        record = self._slices.commit(request.parameters["id"])
        with self._slices.lock:
            view = slice_view(self._slices.model, record)
        return json_answer(HTTPStatus.CREATED, view, headers=(("Location", f"/v1/slices/{record.name}"),))

    def list_jobs(self, request: Request) -> Answer:
        jobs = [job_view(j, self._slices.reservation_status(j)) for j in self._slices.feasibility_jobs()]
        return json_answer(HTTPStatus.OK, {"jobs": jobs})

    def ask(self, request: Request) -> Answer:
        wanted = parse_feasibility(request.json(), self._slices.terms)
        job = self._slices.check_feasibility(wanted.request, reserve=wanted.reserve, ttl_s=wanted.expires_in_s)
        view = job_view(job, self._slices.reservation_status(job))
        return json_answer(HTTPStatus.CREATED, view, headers=(("Location", f"/v1/feasibility-jobs/{job.id}"),))

    def show_job(self, request: Request) -> Answer:
        job = self._slices.feasibility_job(request.parameters["id"])
        return json_answer(HTTPStatus.OK, job_view(job, self._slices.reservation_status(job)))

    def end_job(self, request: Request) -> Answer:
        job = self._slices.end_feasibility_job(request.parameters["id"])
        return json_answer(HTTPStatus.OK, job_view(job, self._slices.reservation_status(job)))
