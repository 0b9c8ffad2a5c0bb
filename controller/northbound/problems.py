"""Errors as RFC 9457 problem documents: one table maps ours to HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from controller.model.errors import (
    ControllerError,
    DriverError,
    DuplicateSlice,
    ProvisioningFailed,
    ReservationExpired,
    SliceBusy,
    Superseded,
    UnknownReservation,
    UnknownSlice,
)
from controller.northbound import views
from controller.operations.context import InfeasibleRequest
from controller.operations.slices.feasibility import UnknownJob
from controller.schema.slice_request import InvalidRequest

PROBLEM = "application/problem+json"


class Problem(ControllerError):
    """An answer other than success; ``members`` stand in the document beside those of RFC 9457."""

    def __init__(self, status: HTTPStatus, detail: str, headers: tuple[tuple[str, str], ...] = (), **members: Any):
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.members = members


# What each of our errors is to a client, the first that matches.
STATUS_OF: tuple[tuple[type[ControllerError], HTTPStatus], ...] = (
    (UnknownSlice, HTTPStatus.NOT_FOUND),
    (UnknownReservation, HTTPStatus.NOT_FOUND),
    (UnknownJob, HTTPStatus.NOT_FOUND),
    (ReservationExpired, HTTPStatus.GONE),
    (DuplicateSlice, HTTPStatus.CONFLICT),
    (SliceBusy, HTTPStatus.CONFLICT),
    (Superseded, HTTPStatus.CONFLICT),
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
        members = views.infeasible_view(error.infeasible)
    elif isinstance(error, InvalidRequest):
        members = {"errors": [{"field": path, "message": what} for path, what in error.problems]}
    return Problem(status, str(error), **members)


def problem_document(status: HTTPStatus, detail: str, instance: str, members: Mapping[str, Any]) -> bytes:
    """The document's bytes; ``instance`` is the path that was asked for (RFC 9457, 3.1.5)."""
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "instance": instance,
        **members,
    }
    return json.dumps(document).encode() + b"\n"
