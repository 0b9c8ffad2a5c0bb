"""Errors of the demo: one base, so that a failed measurement can become a failed check."""

from __future__ import annotations

from http import HTTPStatus

# Codes of problems for want of keys.
WANT_OF_KEYS = frozenset({"key_rate_lacking", "key_rate_unknown", "keys_missing"})


class DemoError(Exception):
    """Base of what goes wrong while something is measured."""


class MeasurementError(DemoError):
    """A measurement could not be made, or its tool said something that cannot be read."""


class ApiError(DemoError):
    """The northbound API did not answer as it should have."""


class ApiRefusal(ApiError):
    """The northbound API answered with a problem (RFC 9457); ``code`` says what it is, None where it has none."""

    def __init__(self, message: str, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later by itself: no key rate yet, or a service that is not there."""
        return self.status == HTTPStatus.SERVICE_UNAVAILABLE or self.code in WANT_OF_KEYS
