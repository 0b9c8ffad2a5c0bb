"""Key rates from the KMS: HTTP over its administration socket."""

from __future__ import annotations

import http.client
import json
import logging
import math
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from controller.model.errors import DriverError, NotSupported
from controller.model.key_rates import BookingFailed, BookingRefused, KeyBooking, KeyPool, SectionStatus

log = logging.getLogger(__name__)

TIMEOUT_S = 2.0
MAX_ANSWER_BYTES = 4 << 20
OWNER = "controller"
# What tunnels may take above what is booked: renewal is bounded by the controller, and not to be stopped in the middle.
NO_MAXIMUM_BPS = 1e12
# ETSI GS QKD 015's app_priority goes from 0, which is that of whoever booked nothing, to 255; a slice's priority from
# -100 to 100. The order is kept, and every slice comes before whoever booked nothing.
APP_PRIORITY_OF_ZERO = 101
T = TypeVar("T")


class KmsError(DriverError):
    """The KMS did not answer, or not in a form that can be relied on."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


class KmsClient:
    """Implements :class:`controller.operations.drivers.KeyRates`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: dict[str, Any] = {}  # when it was asked last

    def sections(self) -> tuple[SectionStatus, ...]:
        """Every section that the KMS vouches for. Raises KmsError."""
        return self._read("sections", lambda listed: tuple(_section(s) for s in listed))

    def pools(self) -> Mapping[KeyPool, int]:
        """How many keys each pool has ready. Raises KmsError."""
        return self._read("pools", lambda listed: dict(_pool(p) for p in listed))

    def bookings(self) -> Mapping[str, KeyBooking]:
        """See :class:`controller.operations.drivers.KeyRates`. NotSupported by a KMS that knows of no reservations."""
        if "reservations" not in self._told:
            raise NotSupported("the KMS tells of no reservations")
        try:
            ours = [r for r in self._told["reservations"] if r.get("owner") == OWNER]
        except (TypeError, AttributeError) as error:
            raise KmsError(f"KMS: not a list of reservations: {error!r}") from error
        found: dict[str, KeyBooking] = {}
        for raw in ours:
            try:
                booking_id, booking = _booking(raw)
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
                log.warning("KMS: a reservation that cannot be read is left alone: %r", error)
                continue
            found[booking_id] = booking
        return found

    def book(self, booking: KeyBooking, is_new: bool) -> None:
        qos = {"min_bandwidth": float(booking.rate_bps), "max_bandwidth": NO_MAXIMUM_BPS}
        changing: dict[str, Any] = {"app_qos": qos, "app_priority": APP_PRIORITY_OF_ZERO + booking.priority}
        if is_new:
            status, answer = self._ask("POST", "/v1/apps", changing | {
                "app_id": booking.id, "owner": OWNER, "key_source": booking.key_source,
                "server_app_id": f"sae-{booking.a}", "client_app_id": [f"sae-{booking.b}"],
            })  # fmt: skip
        else:
            status, answer = self._ask("PATCH", f"/v1/apps/{booking.id}", changing)
        if status == 409 and "offer" in answer:
            raise BookingRefused(str(answer.get("message")), _offer(answer["offer"]))
        if status not in (200, 201):
            raise BookingFailed(f"KMS answered {status}: {answer.get('message')}")

    def release(self, booking: KeyBooking) -> None:
        status, answer = self._ask("DELETE", f"/v1/apps/{booking.id}")
        if status not in (204, 404):
            raise BookingFailed(f"KMS answered {status}: {answer.get('message')}")

    def _read(self, member: str, parse: Callable[[Any], T]) -> T:
        status, self._told = self._ask("GET", "/v1/keys")
        if status != 200:
            raise KmsError(f"KMS answered {status}")
        try:
            return parse(self._told[member])
        except (ValueError, KeyError, TypeError) as error:
            raise KmsError(f"KMS: not a list of {member}: {error!r}") from error

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and answer, a JSON object or nothing. Raises KmsError."""
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode())
            response = connection.getresponse()
            text = response.read(MAX_ANSWER_BYTES)
            answer = json.loads(text) if text and response.status != 204 else {}
        except (OSError, http.client.HTTPException) as error:
            raise KmsError(f"KMS at {self._path}: {error}") from error
        except ValueError as error:
            raise KmsError(f"KMS: no JSON: {error!r}") from error
        finally:
            connection.close()
        if not isinstance(answer, dict):
            raise KmsError("KMS: the answer is no JSON object")
        return response.status, answer


def _section(raw: dict[str, Any]) -> SectionStatus:
    """A section whose rate or state is not what it should be counts as unusable."""
    rate = raw.get("skr_bps")
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool) and math.isfinite(rate) and rate >= 0
    rate_millibps = int(rate * 1000) if is_number and rate is not None else 0
    qber = raw.get("qber")
    return SectionStatus(
        id=str(raw["id"]),
        rate_millibps=rate_millibps,
        is_usable=is_number and raw.get("state") in USABLE_STATES,
        qber=float(qber) if isinstance(qber, int | float) else None,
        is_starting=raw.get("state") == STARTING_STATE,
    )


def _pool(raw: dict[str, Any]) -> tuple[KeyPool, int]:
    a, b = sorted((str(raw["a"]), str(raw["b"])))
    return KeyPool(a, b, str(raw["source"])), int(raw["stored"])


def _booking(raw: dict[str, Any]) -> tuple[str, KeyBooking]:
    a, b = (str(sae).removeprefix("sae-") for sae in (raw["server_app_id"], raw["client_app_id"][0]))
    rate, priority = int(raw["min_bandwidth"]), int(raw["app_priority"]) - APP_PRIORITY_OF_ZERO
    return str(raw["app_id"]), KeyBooking(a, b, str(raw["key_source"]), rate, priority)


def _offer(raw: Any) -> int:
    """The rate that a refusal offers, in bit/s. BookingFailed when it is none."""
    try:
        offer = int(raw["min_bandwidth"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise BookingFailed(f"KMS: a refusal offers no rate: {error!r}") from error
    if offer < 0:
        raise BookingFailed("KMS: a refusal offers less than nothing")
    return offer


USABLE_STATES = frozenset({"active"})
STARTING_STATE = "starting"
