"""What a KME is asked, one question after the other; later ones name keys that earlier answers gave."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

from kms.conformance.exchange import (
    Failure,
    Handshake,
    Identities,
    Outcome,
    Question,
    Role,
    Silence,
    Transcript,
    keys_of,
)

UNKNOWN_EXTENSION = "qslice_conformance_check"
DEFAULT_KEY_SIZE = 256
_PATIENCE = 2  # silences after which the rest is not asked: each costs the whole time allowed for an answer


def interview(
    identities: Identities, handshake: Handshake | Silence, unknown_id: str
) -> Generator[Question, Outcome, Transcript]:
    """Yields questions, wants their outcomes, and returns the transcript.

    ``unknown_id`` is a random UUID, of which the KME cannot know a key.
    """
    questions: dict[str, Question] = {}
    outcomes: dict[str, Outcome] = {}
    transcript = Transcript(identities, handshake, questions, outcomes, unknown_id)
    if isinstance(handshake, Silence):
        return transcript
    silences = 0

    def ask(name: str, role: Role, path: str, body: Any = None) -> Generator[Question, Outcome, Outcome | None]:
        nonlocal silences
        if silences >= _PATIENCE:
            return None
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        questions[name] = Question(name, role, path, payload)
        outcome = outcomes[name] = yield questions[name]
        silences += isinstance(outcome, Silence) and outcome.failure in (Failure.TIMEOUT, Failure.UNREACHABLE)
        return outcome

    master, slave = quote(identities.master, safe=""), quote(identities.slave, safe="")
    order, fetch = f"{slave}/enc_keys", f"{master}/dec_keys"
    yield from ask("status", Role.MASTER, f"{slave}/status")
    yield from ask("status-without-certificate", Role.NOBODY, f"{slave}/status")
    number, size, default = _sizes(transcript.status() or {})
    plain = yield from ask("enc-default", Role.MASTER, order, {})
    many = yield from ask("enc-many", Role.MASTER, order, {"number": number, "size": size})
    got = yield from ask("enc-get", Role.MASTER, f"{order}?number=1&size={default}")
    yield from ask("size-no-octets", Role.MASTER, order, {"size": default + 1})
    yield from ask(
        "mandatory-unknown", Role.MASTER, order, {"extension_mandatory": [{UNKNOWN_EXTENSION: {"a": 1}}]}
    )  # fmt: skip
    yield from ask("optional-unknown", Role.MASTER, order, {"extension_optional": [{UNKNOWN_EXTENSION: {"a": 1}}]})
    yield from ask("malformed", Role.MASTER, order, b'{"number": 1')
    ids = [key.key_id for key in keys_of(many) if isinstance(key.key_id, str)]
    single = [key.key_id for key in keys_of(plain) if isinstance(key.key_id, str)]
    other = [key.key_id for key in keys_of(got) if isinstance(key.key_id, str)]
    if other and identities.master != identities.slave:
        # The master was not named as one who may fetch: the key is the slave's.
        yield from ask("dec-not-named", Role.MASTER, fetch, _key_ids(other[0]))
    if identities.slave_asks:
        yield from ask("dec-unknown", Role.SLAVE, fetch, _key_ids(unknown_id))
        if other:
            yield from ask("dec-one-missing", Role.SLAVE, fetch, _key_ids(other[0], unknown_id))
        if ids:
            yield from ask("dec-many", Role.SLAVE, fetch, _key_ids(*ids))
            yield from ask("dec-again", Role.SLAVE, fetch, _key_ids(ids[0]))
        if single:
            yield from ask("dec-get", Role.SLAVE, f"{fetch}?key_ID={quote(single[0], safe='')}")
    return transcript


def asked_size(transcript: Transcript, name: str) -> int:
    """The size in bits that the keys of an answer must have."""
    _, size, default = _sizes(transcript.status() or {})
    return size if name in ("enc-many", "dec-many") else default


def asked_number(transcript: Transcript, name: str) -> int:
    """How many keys an answer must hold."""
    return _sizes(transcript.status() or {})[0] if name == "enc-many" else 1


def _sizes(status: dict[str, Any]) -> tuple[int, int, int]:
    """Keys a request, a size that is not the default where the KME has another, and the default size."""
    default = _integer(status, "key_size", DEFAULT_KEY_SIZE)
    others = (_integer(status, "max_key_size", default), _integer(status, "min_key_size", default))
    size = next((each for each in others if each != default and each > 0 and each % 8 == 0), default)
    return min(2, max(1, _integer(status, "max_key_per_request", 2))), size, default


def _integer(status: dict[str, Any], name: str, otherwise: int) -> int:
    value = status.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise


def _key_ids(*ids: str) -> dict[str, Any]:
    return {"key_IDs": [{"key_ID": key_id} for key_id in ids]}
