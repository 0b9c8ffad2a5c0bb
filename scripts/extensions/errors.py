"""What goes wrong with an extension, each by a code that events, metrics and results name."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """What an extension did instead of answering. The value is the code in events, metrics and results."""

    NOT_THERE = "not-there"  # no such module, file, name or short name
    BROKEN = "broken"  # its source raises, or ends the process, while it is imported
    INCOMPLETE = "incomplete"  # a method, its name, version or the version of the interface is missing or wrong
    RAISED = "raised"  # a method raised an exception
    CRASHED = "crashed"  # its process ended
    LATE = "late"  # no answer before the deadline: its process was killed
    MALFORMED = "malformed"  # the answer is not of the type that the protocol says
    MUTATED = "mutated"  # it changed the values that it was given
    RESTING = "resting"  # its process was lost just now and is not started again yet
    REFUSED = "refused"  # the auditor refused the answer; a suite did not pass its trials
    MISSED = "missed"  # it found nothing where there is something


class ExtensionError(Exception):
    """An extension gave no answer that can be used."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


class WrongUse(Exception):
    """``KIND=TARGET`` that makes no sense; the message says what would."""
