"""What the controller raises on purpose."""

from __future__ import annotations

from enum import Enum


class ControllerError(Exception):
    """Base of everything this package raises on purpose."""


class IllegalTransition(ControllerError):
    """Our own misuse: a state change that the transition table does not list."""


class UnknownSlice(ControllerError):
    """There is no slice of that name."""


class DuplicateSlice(ControllerError):
    """A slice of that name exists."""


class SliceBusy(ControllerError):
    """The slice is in a state in which it cannot be asked for that."""


class ConnectionsExhausted(ControllerError):
    """Every inner address pair is taken."""


class BoundReached(ControllerError):
    """A search has cost as much as one may: whether there is an answer is not known."""

    def __init__(self, message: str = "the search has reached its bound: whether this fits is not known") -> None:
        super().__init__(message)


class KeyRatesUnknown(ControllerError):
    """Whether it fits hangs on QKD sections whose rates are not known yet: to be asked again soon.

    ``silence`` says why none is known, if the KMS does not tell any.
    """

    def __init__(self, name: str, sections: tuple[str, ...], silence: str | None) -> None:
        self.sections = sections
        why = silence or f"the KMS has not judged QKD {', '.join(sections)} since it started"
        super().__init__(f"slice {name}: whether it fits is not known yet, as key rates are unknown: {why}")


class ProvisioningFailed(ControllerError):
    """A switch or a tunnel refused or did not answer; everything was rolled back.

    ``lacks_keys``: a tunnel was given no key of its source in time.
    """

    def __init__(self, message: str, cause: ControllerError) -> None:
        super().__init__(message)
        self.lacks_keys = isinstance(cause, KeysMissing)


class UnknownReservation(ControllerError):
    """There is no reservation of that id."""


class ReservationOutcome(Enum):
    """How a reservation ended; the value completes "reservation ID ..."."""

    EXPIRED = "has expired"
    ROLLED_BACK = "has been rolled back"
    COMMITTED = "has been committed"


class ReservationExpired(ControllerError):
    """The reservation is over: expired, rolled back or committed already."""

    def __init__(self, reservation_id: str, outcome: ReservationOutcome) -> None:
        super().__init__(f"reservation {reservation_id} {outcome.value}")
        self.outcome = outcome


class Superseded(ControllerError):
    """Something that goes first, such as a delete, has taken the slice over."""


class ConfigError(ControllerError):
    """A configuration that cannot be used; the message names the field."""


class DriverError(ControllerError):
    """Something outside the controller refused or did not answer."""


class ExtensionFailed(DriverError):
    """An extension gave no answer that may be used; the message names it."""


class KeysMissing(DriverError):
    """A tunnel was given no key of its source in time."""


class NotSupported(DriverError):
    """The other side is there and cannot do that."""
