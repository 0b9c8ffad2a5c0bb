"""What the controller raises on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from controller.model.provisioning_trace import DeviceTimes


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

    ``lacks_keys``: a tunnel was given no key of its source in time. ``step``: at which it ended, where it was made of
    steps.
    """

    def __init__(self, message: str, cause: ControllerError) -> None:
        super().__init__(message)
        self.lacks_keys = isinstance(cause, KeysMissing)
        self.step = cause.step if isinstance(cause, StepFailed) else None


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


@dataclass(frozen=True)
class FailedStep:
    """``number`` from 1, of so many that were planned."""

    number: int
    of: int
    device: str
    connection: str

    def __str__(self) -> str:
        return f"step {self.number} of {self.of}, device {self.device} for {self.connection}"


class ExtensionFailed(DriverError):
    """An extension gave no answer that may be used; the message names it."""


class DeviceFailed(DriverError):
    """A device refused its configuration, was late, or could not be reached; ``times`` of the attempt."""

    def __init__(self, device: str, message: str, times: DeviceTimes | None = None) -> None:
        super().__init__(message)
        self.device, self.times = device, times


class StepFailed(DriverError):
    """One step of a set-up, which ends here: which device, and which step of how many."""

    def __init__(self, step: FailedStep, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step


class KeysMissing(DriverError):
    """A tunnel was given no key of its source in time."""


class NotSupported(DriverError):
    """The other side is there and cannot do that."""
