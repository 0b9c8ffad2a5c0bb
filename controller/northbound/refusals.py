"""Refusals of the core as problem documents: one table maps our errors to HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from controller.model.errors import (
    ControllerError,
    DriverError,
    DuplicateSlice,
    Overtaken,
    ReservationExpired,
    SliceBusy,
    UnknownReservation,
    UnknownSlice,
)
from controller.northbound.http.problems import Problem
from controller.northbound.views.slices import infeasible_view
from controller.operations.feasibility import UnknownJob
from controller.operations.slice_service import InfeasibleRequest, ProvisioningFailed
from controller.schema.slice_request import InvalidRequest

# What each of our errors is to a client, the first that matches.
STATUS_OF: tuple[tuple[type[ControllerError], HTTPStatus], ...] = (
    (UnknownSlice, HTTPStatus.NOT_FOUND),
    (UnknownReservation, HTTPStatus.NOT_FOUND),
    (UnknownJob, HTTPStatus.NOT_FOUND),
    (ReservationExpired, HTTPStatus.GONE),
    (DuplicateSlice, HTTPStatus.CONFLICT),
    (SliceBusy, HTTPStatus.CONFLICT),
    (Overtaken, HTTPStatus.CONFLICT),
    (InvalidRequest, HTTPStatus.UNPROCESSABLE_ENTITY),
    (InfeasibleRequest, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ProvisioningFailed, HTTPStatus.SERVICE_UNAVAILABLE),
    (DriverError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ControllerError, HTTPStatus.UNPROCESSABLE_ENTITY),
)


def problem_of(error: ControllerError) -> Problem:
    """The problem that an error of the core is to a client."""
    if isinstance(error, Problem):
        return error
    status = next(status for kind, status in STATUS_OF if isinstance(error, kind))
    members: Mapping[str, Any] = {}
    if isinstance(error, InfeasibleRequest):
        members = infeasible_view(error.infeasible)
    elif isinstance(error, InvalidRequest):
        members = {"errors": [{"field": path, "message": what} for path, what in error.problems]}
    return Problem(status, str(error), **members)
