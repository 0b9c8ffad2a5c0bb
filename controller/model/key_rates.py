"""Key rates as values: what QKD sections give, which pools there are, what is booked at the KMS."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from controller.model.errors import DriverError


@dataclass(frozen=True)
class SectionStatus:
    """What the KMS says about one QKD section."""

    id: str
    rate_millibps: int  # thousandths of a bit per second
    is_usable: bool
    qber: float | None
    is_known: bool = True  # False while nobody has judged it: gives nothing, and is no loss either
    is_secure: bool | None = None  # None: the KMS has not said


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


class BookingFailed(DriverError):
    """The KMS answered and did not do what was asked about one booking: others are not concerned."""


# Ids of bookings are derived from what they are about (RFC 9562, version 5): the same after a restart.
BOOKINGS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:qslice:controller:key-bookings")


@dataclass(frozen=True)
class KeyBooking:
    """A rate of keys promised by the KMS between two sites (in the order of their names)."""

    a: str
    b: str
    key_source: str
    rate_bps: int
    priority: int  # that of the slices, as they ask for it: -100 to 100

    @property
    def id(self) -> str:
        return str(uuid.uuid5(BOOKINGS, f"{self.a}/{self.b}/{self.key_source}"))

    def __str__(self) -> str:
        return f"{self.a}-{self.b} {self.key_source} {self.rate_bps} bit/s"
