"""Refusals of the core as problem documents: one table maps our errors to HTTP."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from controller.model.errors import (
    BoundReached,
    ControllerError,
    DriverError,
    DuplicateSlice,
    ExtensionFailed,
    KeyRatesUnknown,
    KeysMissing,
    ProvisioningFailed,
    ReservationExpired,
    SliceBusy,
    Superseded,
    UnknownReservation,
    UnknownSlice,
)
from controller.northbound.http.problems import Problem
from controller.northbound.views.problem_codes import ProblemCode
from controller.northbound.views.slices import infeasible_view
from controller.operations.context import InfeasibleRequest
from controller.operations.slices.feasibility import UnknownJob
from controller.schema.slice_request import InvalidRequest

RETRY_AFTER_S = 1  # a section is judged within some seconds of the KMS' start
# What each of our errors is to a client, the first that matches.
MEANINGS: tuple[tuple[type[ControllerError], HTTPStatus, ProblemCode], ...] = (
    (UnknownSlice, HTTPStatus.NOT_FOUND, ProblemCode.UNKNOWN_SLICE),
    (UnknownReservation, HTTPStatus.NOT_FOUND, ProblemCode.UNKNOWN_RESERVATION),
    (UnknownJob, HTTPStatus.NOT_FOUND, ProblemCode.UNKNOWN_JOB),
    (ReservationExpired, HTTPStatus.GONE, ProblemCode.RESERVATION_OVER),
    (DuplicateSlice, HTTPStatus.CONFLICT, ProblemCode.DUPLICATE_SLICE),
    (SliceBusy, HTTPStatus.CONFLICT, ProblemCode.SLICE_BUSY),
    (Superseded, HTTPStatus.CONFLICT, ProblemCode.SUPERSEDED),
    (InvalidRequest, HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.INVALID_REQUEST),
    (KeyRatesUnknown, HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.KEY_RATE_UNKNOWN),
    (InfeasibleRequest, HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.INFEASIBLE),
    (BoundReached, HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.BOUND_REACHED),
    (ProvisioningFailed, HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.SET_UP_FAILED),
    (KeysMissing, HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.KEYS_MISSING),
    (ExtensionFailed, HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.EXTENSION_FAILED),
    (DriverError, HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.DRIVER_FAILED),
    (ControllerError, HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.REFUSED),
)


def problem_of(error: ControllerError) -> Problem:
    """The problem that an error of the core is to a client."""
    if isinstance(error, Problem):
        return error
    status, code = next((status, code) for kind, status, code in MEANINGS if isinstance(error, kind))
    members: dict[str, Any] = {}
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, InfeasibleRequest):
        members = infeasible_view(error.infeasible)
        if error.is_about_keys:
            code = ProblemCode.KEY_RATE_LACKING
    elif isinstance(error, KeyRatesUnknown):
        members = {"sections": list(error.sections)}
        headers = (("Retry-After", str(RETRY_AFTER_S)),)
    elif isinstance(error, InvalidRequest):
        members = {"errors": [{"field": path, "message": what} for path, what in error.problems]}
    elif isinstance(error, ProvisioningFailed) and error.lacks_keys:
        code = ProblemCode.KEYS_MISSING
    if isinstance(error, ProvisioningFailed) and error.step is not None:
        step = error.step
        members = {"device": step.device, "connection": step.connection, "step": step.number, "steps": step.of}
    return Problem(status, str(error), headers, code=code.value, **members)
