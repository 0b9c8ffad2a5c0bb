"""Key rates from the KMS: HTTP over its administration socket."""

from __future__ import annotations

import http.client
import json
import math
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from controller.drivers import DriverError, KeyPool, SectionStatus

TIMEOUT_S = 2.0
MAX_ANSWER_BYTES = 4 << 20
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
    """Implements :class:`controller.drivers.KeyRates`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sections(self) -> tuple[SectionStatus, ...]:
        """Every section that the KMS vouches for. Raises KmsError."""
        return self._read("sections", lambda listed: tuple(_section(s) for s in listed))

    def pools(self) -> Mapping[KeyPool, int]:
        """How many keys each pool has ready. Raises KmsError."""
        return self._read("pools", lambda listed: dict(_pool(p) for p in listed))

    def _read(self, member: str, parse: Callable[[Any], T]) -> T:
        connection = _UnixConnection(self._path)
        try:
            connection.request("GET", "/v1/keys")
            response = connection.getresponse()
            body = response.read(MAX_ANSWER_BYTES)
            if response.status != 200:
                raise KmsError(f"KMS answered {response.status}")
            return parse(json.loads(body)[member])
        except (OSError, http.client.HTTPException) as error:
            raise KmsError(f"KMS at {self._path}: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise KmsError(f"KMS: not a list of {member}: {error!r}") from error
        finally:
            connection.close()


def _section(raw: dict[str, Any]) -> SectionStatus:
    """A section whose rate or state is not what it should be counts as unusable."""
    rate = raw.get("skr_bps")
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool) and math.isfinite(rate) and rate >= 0
    rate_mbps = int(rate * 1000) if is_number and rate is not None else 0
    qber = raw.get("qber")
    return SectionStatus(
        id=str(raw["id"]),
        rate_mbps=rate_mbps,
        is_usable=is_number and raw.get("state") in USABLE_STATES,
        qber=float(qber) if isinstance(qber, int | float) else None,
        is_starting=raw.get("state") == STARTING_STATE,
    )


def _pool(raw: dict[str, Any]) -> tuple[KeyPool, int]:
    a, b = sorted((str(raw["a"]), str(raw["b"])))
    return KeyPool(a, b, str(raw["source"])), int(raw["stored"])


USABLE_STATES = frozenset({"active"})
STARTING_STATE = "starting"
