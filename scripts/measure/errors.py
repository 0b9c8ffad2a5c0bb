"""Errors of the demo: one base, so that a failed measurement can become a failed check."""

from __future__ import annotations

from http import HTTPStatus

KEY_RATE = "key_rate"  # a constraint of the northbound API


class DemoError(Exception):
    """Base of everything the demo raises."""


class MeasurementError(DemoError):
    """A measurement could not be made, or its tool said something that cannot be read."""


class ApiError(DemoError):
    """The northbound API did not answer as it should have."""


class ApiRefusal(ApiError):
    """The northbound API answered with a problem (RFC 9457).

    ``constraints`` are those by which a request is infeasible (``key_rate``, ``bandwidth`` ...), empty for any other
    problem.
    """

    def __init__(self, message: str, status: int, constraints: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.status, self.constraints = status, constraints

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later by itself: no key rate yet, or a service that is not there."""
        return self.status == HTTPStatus.SERVICE_UNAVAILABLE or KEY_RATE in self.constraints
