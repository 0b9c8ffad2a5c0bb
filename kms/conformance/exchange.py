"""Questions to a KME and what came of them, as values. Bodies hold keys: they are never shown."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Role(Enum):
    """Who asks: the SAE that orders keys, the one that fetches their twins, or somebody without a certificate."""

    MASTER = "master"
    SLAVE = "slave"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Question:
    """One request. ``path`` is what follows ``/api/v1/keys/``; ``body`` is sent as it is, None for a GET."""

    name: str
    role: Role
    path: str
    body: bytes | None = field(default=None, repr=False)

    @property
    def verb(self) -> str:
        return "GET" if self.body is None else "POST"


class Failure(Enum):
    """Why there is no answer."""

    UNREACHABLE = "no connection"
    TIMEOUT = "no answer in time"
    WRONG_NAME = "the certificate bears another name"
    UNTRUSTED = "the certificate is not trusted"
    TLS_REFUSED = "TLS was refused"
    TORN = "the connection ended before the answer did"
    TOO_LARGE = "the answer is too large"


@dataclass(frozen=True)
class Answer:
    """What the KME said; ``took_s`` is from sending the question to the last octet."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    took_s: float = 0.0

    def document(self) -> Any:
        """The JSON value of the body; None when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True)
class Silence:
    """No answer: why, in one word, and in what the machine said."""

    failure: Failure
    detail: str


Outcome = Answer | Silence


@dataclass(frozen=True)
class Handshake:
    """A TLS connection that came about: its version as OpenSSL names it."""

    version: str


@dataclass(frozen=True)
class Identities:
    """Who asks for what. ``slave_asks``: whether the slave's certificate is there, so that twins can be fetched."""

    master: str
    slave: str
    slave_asks: bool


@dataclass(frozen=True)
class ReceivedKey:
    """One entry of a Key container (6.3) as it was sent: nothing of it is believed."""

    key_id: Any
    key: Any = field(repr=False)

    @property
    def octets(self) -> bytes | None:
        """None when it is no base64 (RFC 4648, 4)."""
        if not isinstance(self.key, str):
            return None
        try:
            return base64.b64decode(self.key, validate=True)
        except (binascii.Error, ValueError):
            return None


@dataclass(frozen=True)
class Transcript:
    """Everything that was asked and answered, by the questions' names."""

    identities: Identities
    handshake: Handshake | Silence
    questions: Mapping[str, Question]
    outcomes: Mapping[str, Outcome]
    unknown_id: str

    def answer(self, name: str) -> Answer | None:
        outcome = self.outcomes.get(name)
        return outcome if isinstance(outcome, Answer) else None

    def status(self) -> dict[str, Any] | None:
        """The Status object, where one was given."""
        answer = self.answer("status")
        document = answer.document() if answer is not None and answer.status == 200 else None
        return document if isinstance(document, dict) else None

    def keys(self, name: str) -> tuple[ReceivedKey, ...]:
        """The keys in an answer; none where it holds no Key container."""
        return keys_of(self.outcomes.get(name))


def keys_of(outcome: Outcome | None) -> tuple[ReceivedKey, ...]:
    """The entries of a Key container; those without a key or an id among them have None there."""
    if not isinstance(outcome, Answer) or outcome.status != 200:
        return ()
    document = outcome.document()
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return ()
    return tuple(ReceivedKey(e.get("key_ID"), e.get("key")) for e in entries if isinstance(e, dict))
