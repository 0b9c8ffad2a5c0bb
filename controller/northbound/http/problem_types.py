"""Types of problems (RFC 9457, 3.1.1): a name and a title for each code. docs/reference/problems.md explains them."""

from __future__ import annotations

from http import HTTPStatus

URN = "urn:qslice:problem:"
# Name and title of what has a code of its own; every other problem is called, and entitled, as its status is.
TYPES: dict[str, tuple[str, str]] = {
    "invalid_request": ("invalid", "A field of the request has an impossible value"),
    "infeasible": ("infeasible", "The request does not fit"),
    "bound_reached": ("bound-reached", "The search took longer than one may"),
    "key_rate_lacking": ("key-rate-lacking", "QKD sections give too little key for the request"),
    "key_rate_unknown": ("not-known-yet", "Key rates are not known yet"),
    "keys_missing": ("keys-missing", "A tunnel was given no key in time"),
    "set_up_failed": ("set-up-failed", "A switch or tunnel refused, or did not answer"),
    "extension_failed": ("extension-failed", "An extension failed, or its answer was refused"),
    "driver_failed": ("driver-failed", "A part of the system refused, or did not answer"),
    "unknown_slice": ("unknown-slice", "There is no such slice"),
    "unknown_reservation": ("unknown-reservation", "There is no such reservation"),
    "unknown_job": ("unknown-job", "There is no such feasibility job"),
    "reservation_over": ("reservation-over", "The reservation is over"),
    "duplicate_slice": ("duplicate", "The name is taken"),
    "slice_busy": ("busy", "The slice is being changed"),
    "superseded": ("overtaken", "A delete came first"),
    "refused": ("refused", "The request was refused"),
}


def type_of(code: str, status: HTTPStatus) -> tuple[str, str]:
    """The ``type`` and the ``title`` of a problem."""
    name, title = TYPES.get(code, (code.replace("_", "-"), status.phrase))
    return URN + name, title
