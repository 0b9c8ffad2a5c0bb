"""Key rates from the KMS: HTTP over its administration socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from controller.model.errors import DriverError, NotSupported
from controller.model.key_rates import BookingFailed, BookingRefused, KeyBooking, KeyPool, SectionStatus
from controller.southbound import kms_answers
from controller.southbound.kms_answers import Unreadable

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

    def sections(self) -> tuple[SectionStatus, ...]:
        """Every section that the KMS vouches for. Raises KmsError."""
        return self._read("sections", kms_answers.sections)

    def pools(self) -> Mapping[KeyPool, int]:
        """How many keys each pool has ready. Raises KmsError."""
        return self._read("pools", kms_answers.pools)

    def bookings(self) -> Mapping[str, KeyBooking]:
        """See :class:`controller.operations.drivers.KeyRates`. NotSupported by a KMS that knows of no reservations."""

        def parse(told: Mapping[str, Any]) -> dict[str, KeyBooking]:
            if "reservations" not in told:
                raise NotSupported("the KMS tells of no reservations")
            return kms_answers.bookings(told, OWNER, APP_PRIORITY_OF_ZERO)

        return self._read("reservations", parse)

    def book(self, booking: KeyBooking, is_new: bool) -> None:
        qos = {"min_bandwidth": float(booking.rate_bps), "max_bandwidth": NO_MAXIMUM_BPS}
        changing: dict[str, Any] = {"app_qos": qos, "app_priority": APP_PRIORITY_OF_ZERO + booking.priority}
        if is_new:
            status, answer = self._ask("POST", "/v1/apps", changing | {
                "app_id": booking.id, "owner": OWNER, "key_source": booking.key_source,
                "server_app_id": booking.holder.sae_at(booking.a),
                "client_app_id": [booking.holder.sae_at(booking.b)],
            })  # fmt: skip
        else:
            status, answer = self._ask("PATCH", f"/v1/apps/{booking.id}", changing)
        if status == 409 and "offer" in answer:
            try:
                offer_bps = kms_answers.offer_bps(answer["offer"])
            except Unreadable as error:
                raise BookingFailed(f"KMS: {error}") from error
            raise BookingRefused(str(answer.get("message")), offer_bps)
        if status not in (200, 201):
            raise BookingFailed(f"KMS answered {status}: {answer.get('message')}")

    def release(self, booking: KeyBooking) -> None:
        status, answer = self._ask("DELETE", f"/v1/apps/{booking.id}")
        if status not in (204, 404):
            raise BookingFailed(f"KMS answered {status}: {answer.get('message')}")

    def _read(self, part: str, parse: Callable[[Mapping[str, Any]], T]) -> T:
        status, told = self._ask("GET", f"/v1/keys?parts={part}")
        if status != 200:
            raise KmsError(f"KMS answered {status}")
        try:
            return parse(told)
        except Unreadable as error:
            raise KmsError(f"KMS: {error}") from error

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and answer, a JSON object or nothing. Raises KmsError."""
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode())
            response = connection.getresponse()
            text = response.read(MAX_ANSWER_BYTES)
            answer = kms_answers.decode(text) if text and response.status != 204 else {}
        except (OSError, http.client.HTTPException) as error:
            raise KmsError(f"KMS at {self._path}: {error}") from error
        except Unreadable as error:
            raise KmsError(f"KMS: {error}") from error
        finally:
            connection.close()
        return response.status, answer
