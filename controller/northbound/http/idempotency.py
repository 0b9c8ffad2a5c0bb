"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header): a write that is sent twice is done once.

Kept in memory, for a day, at most :data:`MAX_KEYS` of them, and lost with the process; what a repetition after that
meets is the state itself (409 for a name that is taken, 404 for one that has gone). Only success is kept: a request
that failed has changed nothing and is tried anew.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from http import HTTPStatus

from controller.northbound.http.messages import Answer
from controller.northbound.http.problems import Problem

MAX_KEYS = 1000
KEPT_S = 86_400.0
KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
RETRY_AFTER_S = 1


@dataclass(frozen=True)
class _Entry:
    fingerprint: bytes
    since: float
    answer: Answer | None = None  # None while it is being worked on


class IdempotencyKeys:
    """What was answered to which key."""

    def __init__(self, max_keys: int = MAX_KEYS, kept_s: float = KEPT_S) -> None:
        self._max_keys = max_keys
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def begin(self, key: str, fingerprint: bytes, now: float) -> Answer | None:
        """The answer given before, or None: then do it and call :meth:`end`.

        Raises Problem: 400 for what is no key, 422 for one used with another request, 409 while the first is under way.
        """
        if re.fullmatch(KEY_PATTERN, key) is None:
            raise Problem(HTTPStatus.BAD_REQUEST, "Idempotency-Key: must be 1 to 255 visible ASCII characters")
        with self._lock:
            self._forget_old(now)
            entry = self._entries.get(key)
            if entry is None:
                self._make_room()
                self._entries[key] = _Entry(fingerprint, now)
                return None
        if entry.fingerprint != fingerprint:
            detail = "Idempotency-Key: was used with another request"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        if entry.answer is None:
            detail = "Idempotency-Key: the first request with it is still under way"
            raise Problem(HTTPStatus.CONFLICT, detail, headers=(("Retry-After", str(RETRY_AFTER_S)),))
        return replace(entry.answer, headers=(*entry.answer.headers, ("Idempotency-Replayed", "true")))

    def end(self, key: str, answer: Answer | None) -> None:
        """The request under ``key`` is done: keep its answer, or with None forget that it was made."""
        with self._lock:
            if answer is None:
                self._entries.pop(key, None)
            elif key in self._entries:
                self._entries[key] = replace(self._entries[key], answer=answer)

    def _forget_old(self, now: float) -> None:
        """Those that are done and old; entries stand in the order in which they began."""
        for key, entry in list(self._entries.items()):
            if now - entry.since < self._kept_s:
                break
            if entry.answer is not None:
                del self._entries[key]

    def _make_room(self) -> None:
        if len(self._entries) < self._max_keys:
            return
        oldest = next((key for key, entry in self._entries.items() if entry.answer is not None), None)
        if oldest is None:
            detail = f"Idempotency-Key: {self._max_keys} requests with one are under way"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=(("Retry-After", str(RETRY_AFTER_S)),))
        del self._entries[oldest]


def fingerprint_of(method: str, target: str, body: bytes) -> bytes:
    """What makes two requests the same."""
    return hashlib.sha256(b"\0".join((method.encode(), target.encode(), body))).digest()
