"""What a refusal is to a program: the ``code`` of a problem document, where the status alone does not say it."""

from __future__ import annotations

from enum import Enum


class ProblemCode(Enum):
    """Codes of what the core refuses; every other problem has its status' name, such as ``not_found``."""

    INVALID_REQUEST = "invalid_request"  # `errors` names the fields
    INFEASIBLE = "infeasible"  # `reasons` and `nearest` say why, and what would fit
    BOUND_REACHED = "bound_reached"  # the search took longer than one may: whether it fits, or why not, is not known
    KEY_RATE_LACKING = "key_rate_lacking"  # infeasible, and QKD sections that give more key would make it fit
    KEY_RATE_UNKNOWN = "key_rate_unknown"  # whether it fits hangs on `sections` that are not judged yet: try again
    KEYS_MISSING = "keys_missing"  # a tunnel was given no key in time; all is as before
    SET_UP_FAILED = "set_up_failed"  # a switch or tunnel refused or did not answer; all is as before
    DRIVER_FAILED = "driver_failed"  # the journal, a switch, an agent or the KMS refused or did not answer
    EXTENSION_FAILED = "extension_failed"  # an extension in force failed, or its answer was refused; all is as before
    UNKNOWN_SLICE = "unknown_slice"
    UNKNOWN_RESERVATION = "unknown_reservation"
    UNKNOWN_JOB = "unknown_job"
    RESERVATION_OVER = "reservation_over"
    DUPLICATE_SLICE = "duplicate_slice"
    SLICE_BUSY = "slice_busy"
    SUPERSEDED = "superseded"  # a delete came first
    REFUSED = "refused"
