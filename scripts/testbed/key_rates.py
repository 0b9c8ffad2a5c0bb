"""Key rates that are not known yet: a QKD section is judged, and gives key, some seconds after the KMS has started."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from scripts.errors import EnvironmentLacks
from scripts.testbed.clients import Answer, KmsAdmin

log = logging.getLogger(__name__)

UNKNOWN = "key_rate_unknown"
"""The code of the controller's refusals while rates are not known."""

ASK_AGAIN_S = 0.5
LOOK_EVERY_S = 0.02
FIRST_KEYS_S = 3.0
JUDGED_S = 60.0
UNJUDGED, GIVING = "starting", "active"  # what the KMS says of a section
FIRST_KEY_BITS = 256  # what a connection takes first


def without_first_key(sections: Iterable[Mapping[str, Any]], *, has_time: bool = True) -> tuple[str, ...]:
    """Sections of the KMS' answer that have not been judged; with ``has_time`` also good ones without a key yet."""
    return tuple(
        str(s["id"])
        for s in sections
        if s["state"] == UNJUDGED or (has_time and s["state"] == GIVING and s["available_bits"] < FIRST_KEY_BITS)
    )


def await_first_keys(kms: KmsAdmin) -> None:
    """Until every QKD section has been judged and, unless that takes seconds, those that are good have given key.

    What waits for key later is served first. A section so poor that its judgement takes minutes holds nobody up: what
    it can give is told as not known yet. Raises EnvironmentLacks when the KMS does not answer.
    """
    began = time.monotonic()
    while True:
        waited_s = time.monotonic() - began
        status, keys = kms.call("GET", "/v1/keys?parts=sections")
        if status != HTTPStatus.OK:
            raise EnvironmentLacks(f"the KMS answered {status} when it was asked for its key rates")
        late = without_first_key(keys["sections"], has_time=waited_s < FIRST_KEYS_S)
        if not late:
            return
        if waited_s > JUDGED_S:
            log.warning("QKD sections not judged after %g s: %s", JUDGED_S, ", ".join(late))
            return
        time.sleep(LOOK_EVERY_S)


def ask_when_known(ask: Callable[[], Answer], wait_s: float, waiting: Callable[[str], None]) -> Answer:
    """Ask the controller, and again for at most ``wait_s`` seconds while it does not know the key rates.

    ``waiting`` is told, each time, what for. The last answer is returned, whatever it is.
    """
    until = time.monotonic() + wait_s
    while True:
        status, body = ask()
        is_unknown = status == HTTPStatus.SERVICE_UNAVAILABLE and isinstance(body, dict) and body.get("code") == UNKNOWN
        if not is_unknown or time.monotonic() >= until:
            return status, body
        waiting(str(body.get("detail")))
        time.sleep(ASK_AGAIN_S)
