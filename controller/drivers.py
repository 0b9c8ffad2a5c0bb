"""What the life cycle needs from the outside world: switches, tunnels, key rates, a journal, an audience."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from controller.intended import Changes
from controller.model import ControllerError
from controller.records import Connection, SliceRecord
from controller.watching import Pace


class DriverError(ControllerError):
    """Something outside the controller refused or did not answer."""


class NotSupported(DriverError):
    """The other side is there and cannot do that."""


@dataclass(frozen=True)
class SwitchFault:
    """What went wrong on one switch; ``cookie`` None when it concerns all that was sent to it."""

    site: str
    cookie: int | None
    message: str


class Pending(Protocol):
    """Changes on their way to the switches."""

    def wait(self, deadline_s: float) -> tuple[SwitchFault, ...]:
        """Until every switch has confirmed by a barrier, or the deadline; empty when all went well."""


class Switches(Protocol):
    """Sends changes; what is sent first arrives first at any one switch."""

    def send(self, changes: Mapping[str, Changes]) -> Pending:
        """Send without waiting."""

    def is_ready(self, site: str) -> bool:
        """Whether the switch is connected and holds what it shall."""


class Tunnels(Protocol):
    """The tunnel agents of the hosts. Raises DriverError."""

    def add(self, site: str, connection: Mapping[str, Any]) -> None: ...

    def modify(self, site: str, connection: Mapping[str, Any]) -> None:
        """Other keys for a connection that goes on: the one in use serves until one of the new kind is agreed."""

    def remove(self, site: str, connection_id: str) -> None: ...

    def wait_up(self, site: str, connection_id: str, timeout_s: float) -> None:
        """Until the connection carries traffic both ways under keys of the kind it was last told."""

    def held(self, site: str) -> Mapping[str, Mapping[str, Any]]:
        """What the agent was told, by connection id."""

    def watch(self, site: str, token: str | None, timeout_s: float) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
        """A new token, and what has changed since ``token`` (None: everything), as soon as something has.

        NotSupported when the agent is too old to tell.
        """


class Watches(Protocol):
    """How often the ends of channels prove to each other that they are there. Raises DriverError."""

    def set_paces(self, paces: Mapping[str, Pace]) -> None:
        """By interface."""


class Lamps(Protocol):
    """Dark channels' light."""

    def light(self, channels: Iterable[str], deadline_s: float) -> Mapping[str, str | None]:
        """Raise both ends' ports, wait for carrier and try each channel: None when it works, else what is wrong.

        The rules of :mod:`controller.trial` must stand. What does not work is left as it is, to be put out.
        """

    def darken(self, channels: Iterable[str]) -> Pending:
        """Hold both ends' ports down. Doing so twice is harmless."""


@dataclass(frozen=True)
class SectionStatus:
    """What the KMS says about one QKD section."""

    id: str
    rate_mbps: int  # thousandths of a bit per second
    is_usable: bool
    qber: float | None
    is_starting: bool = False  # not judged yet: gives nothing, and is no loss either


@dataclass(frozen=True)
class KeyPool:
    """The keys that two sites (in the order of their names) have ready from one source."""

    a: str
    b: str
    key_source: str


class BookingRefused(DriverError):
    """The KMS cannot promise the rate; ``offer_bps`` is what it could."""

    def __init__(self, message: str, offer_bps: int) -> None:
        super().__init__(message)
        self.offer_bps = offer_bps


# Ids of bookings are derived from what they are about (RFC 9562, version 5): the same after a restart.
BOOKINGS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:qslice:controller:key-bookings")


@dataclass(frozen=True)
class KeyBooking:
    """A rate of keys promised by the KMS between two sites (in the order of their names)."""

    a: str
    b: str
    key_source: str
    rate_bps: int
    priority: int

    @property
    def id(self) -> str:
        return str(uuid.uuid5(BOOKINGS, f"{self.a}/{self.b}/{self.key_source}"))

    def __str__(self) -> str:
        return f"{self.a}-{self.b} {self.key_source} {self.rate_bps} bit/s"


class KeyRates(Protocol):
    """Key rates of the QKD sections. Raises DriverError."""

    def sections(self) -> tuple[SectionStatus, ...]: ...

    def pools(self) -> Mapping[KeyPool, int]:
        """How many keys are ready."""

    def bookings(self) -> Mapping[str, KeyBooking]:
        """What the KMS has promised the controller, by id, when its sections were asked for last."""

    def book(self, booking: KeyBooking, is_new: bool) -> None:
        """Reserve, or change what is reserved. BookingRefused when the rate is not there."""

    def release(self, booking: KeyBooking) -> None: ...


class Journal(Protocol):
    """Where slices survive the process. Raises DriverError when nothing was written."""

    def save(self, *entries: tuple[SliceRecord, Iterable[Connection]]) -> None:
        """Write slices with exactly these connections, all or none."""

    def forget(self, name: str) -> None: ...

    def load(self) -> tuple[tuple[SliceRecord, tuple[Connection, ...]], ...]: ...
