"""Errors of the demo: one base, so that a failed measurement can become a failed check."""

from __future__ import annotations


class DemoError(Exception):
    """Base of everything the demo raises."""


class MeasurementError(DemoError):
    """A measurement could not be made, or its tool said something that cannot be read."""


class ApiError(DemoError):
    """The northbound API did not answer as it should have; ``code`` is the problem's, where it answered with one."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code
