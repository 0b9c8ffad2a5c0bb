"""Key rates as values: what QKD sections give, which pools there are, what is booked at the KMS."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import Enum

from controller.model.errors import DriverError

# A rate is a forecast from a measured error rate, which varies by some per cent; buffers bear the difference.
RATE_TOLERANCE = 1.1


@dataclass(frozen=True)
class SectionStatus:
    """What the KMS says about one QKD section."""

    id: str
    rate_millibps: int  # thousandths of a bit per second
    is_usable: bool
    qber: float | None
    is_known: bool = True  # False while nobody has judged it: gives nothing, and is no loss either
    is_secure: bool | None = None  # None: the KMS has not said
    is_restarting: bool = False  # what stopped it is over, and its devices make no key yet


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


class Holder(Enum):
    """Who takes keys at a site; the value begins the name of its SAE."""

    HOST = "sae"
    CARD = "card"

    def sae_at(self, site: str) -> str:
        return f"{self.value}-{site}"

    @classmethod
    def of(cls, sae: str) -> tuple[Holder, str]:
        """Who that SAE is, and at which site; a name of any other form is a host's."""
        begin, dash, site = sae.partition("-")
        return (Holder.CARD, site) if dash and begin == Holder.CARD.value else (Holder.HOST, sae.removeprefix("sae-"))


@dataclass(frozen=True)
class KeyBooking:
    """A rate of keys promised by the KMS between two sites (in the order of their names)."""

    a: str
    b: str
    key_source: str
    rate_bps: int
    priority: int  # that of the slices, as they ask for it: -100 to 100
    holder: Holder = Holder.HOST

    @property
    def id(self) -> str:
        cards = "cards/" if self.holder is Holder.CARD else ""
        return str(uuid.uuid5(BOOKINGS, f"{cards}{self.a}/{self.b}/{self.key_source}"))

    def __str__(self) -> str:
        cards = " (cards)" if self.holder is Holder.CARD else ""
        return f"{self.a}-{self.b}{cards} {self.key_source} {self.rate_bps} bit/s"
