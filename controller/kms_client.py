"""Key rates from the KMS: HTTP over its administration socket."""

from __future__ import annotations

import http.client
import json
import math
import socket
from pathlib import Path
from typing import Any

from controller.drivers import DriverError, SectionStatus

TIMEOUT_S = 2.0
MAX_ANSWER_BYTES = 4 << 20


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
        connection = _UnixConnection(self._path)
        try:
            connection.request("GET", "/v1/keys")
            response = connection.getresponse()
            body = response.read(MAX_ANSWER_BYTES)
            if response.status != 200:
                raise KmsError(f"KMS answered {response.status}")
            raw = json.loads(body)
            return tuple(_section(s) for s in raw["sections"])
        except (OSError, http.client.HTTPException) as error:
            raise KmsError(f"KMS at {self._path}: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise KmsError(f"KMS: not a list of sections: {error!r}") from error
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
    )


USABLE_STATES = frozenset({"active"})
