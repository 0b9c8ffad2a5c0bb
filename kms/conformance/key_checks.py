"""Checks of Get key (5.2), Get key with key IDs (5.3) and the Key container (6.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from kms.conformance.exchange import Answer, ReceivedKey, Transcript
from kms.conformance.findings import (
    HOLDS,
    TWINS_NOT_ASKED,
    Check,
    Judgement,
    Verdict,
    answered_with,
    brief,
    fails,
    unanswered,
)
from kms.conformance.interview import asked_number, asked_size

_ORDERS = ("enc-default", "enc-many", "enc-get")
_FETCHES = ("dec-many", "dec-get")
_UUID = re.compile("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def _delivered(transcript: Transcript) -> Iterator[tuple[str, ReceivedKey]]:
    """Every key that was ordered, with the question that ordered it."""
    for name in _ORDERS:
        for key in transcript.keys(name):
            yield name, key


def _answered(name: str) -> Check:
    said = {
        "enc-default": "an empty Key request is answered with one key of the default size",
        "enc-many": "a POST with number and size is answered",
        "enc-get": "a GET with number and size is answered",
    }[name]

    def judge(transcript: Transcript) -> Judgement:
        answer = transcript.answer(name)
        if answer is None or answer.status == 503:
            return unanswered(transcript, name)
        return HOLDS if answer.status == 200 else fails(brief(answer))

    return Check(name, "5.2", said, judge)


def _container(transcript: Transcript) -> Judgement:
    seen = [name for name in (*_ORDERS, *_FETCHES) if _is_success(transcript, name)]
    if not seen:
        return unanswered(transcript, *_ORDERS)
    for name in seen:
        answer = transcript.answer(name)
        assert answer is not None
        document = answer.document()
        if not isinstance(document, dict) or not isinstance(document.get("keys"), list) or not document["keys"]:
            return fails(f"{name}: no array `keys` with a key in it")
        for entry in document["keys"]:
            wrong = [each for each in ("key_ID", "key") if not isinstance(entry, dict) or each not in entry]
            if wrong:
                return fails(f"{name}: a key without {' and '.join(wrong)}")
    return HOLDS


def _number(transcript: Transcript) -> Judgement:
    seen = [name for name in _ORDERS if transcript.keys(name)]
    if not seen:
        return unanswered(transcript, *_ORDERS)
    for name in seen:
        wanted, found = asked_number(transcript, name), len(transcript.keys(name))
        if wanted != found:
            return fails(f"{name}: {found} keys instead of {wanted}")
    return HOLDS


def _no_uuid(key: ReceivedKey) -> str | None:
    if isinstance(key.key_id, str) and _UUID.fullmatch(key.key_id):
        return None
    return f"key_ID {str(key.key_id)[:40]!r} is no UUID"


def _no_base64(key: ReceivedKey) -> str | None:
    return "a key that is no base64 (RFC 4648, 4)" if key.octets is None else None


def _each(wrong_with: Callable[[ReceivedKey], str | None]) -> Callable[[Transcript], Judgement]:
    """That nothing is wrong with any key that was delivered."""

    def judge(transcript: Transcript) -> Judgement:
        keys = list(_delivered(transcript))
        for name, key in keys:
            wrong = wrong_with(key)
            if wrong is not None:
                return fails(f"{name}: {wrong}")
        return HOLDS if keys else unanswered(transcript, *_ORDERS)

    return judge


def _size(transcript: Transcript) -> Judgement:
    keys = [(name, key.octets) for name, key in _delivered(transcript) if key.octets is not None]
    if not keys:
        return unanswered(transcript, *_ORDERS)
    for name, octets in keys:
        wanted = asked_size(transcript, name)
        if len(octets) * 8 != wanted:
            return fails(f"{name}: a key of {len(octets) * 8} bits instead of {wanted}")
    return HOLDS


def _distinct_ids(transcript: Transcript) -> Judgement:
    ids = [key.key_id.lower() for _, key in _delivered(transcript) if isinstance(key.key_id, str)]
    if not ids:
        return unanswered(transcript, *_ORDERS)
    return HOLDS if len(set(ids)) == len(ids) else fails(f"{len(ids)} keys have {len(set(ids))} key_IDs")


def _distinct_keys(transcript: Transcript) -> Judgement:
    keys = [key.key for _, key in _delivered(transcript) if isinstance(key.key, str)]
    if not keys:
        return unanswered(transcript, *_ORDERS)
    return HOLDS if len(set(keys)) == len(keys) else fails(f"{len(keys)} keys have {len(set(keys))} values")


def _fetched(transcript: Transcript) -> Judgement:
    if not transcript.identities.slave_asks:
        return TWINS_NOT_ASKED
    answers = {name: transcript.answer(name) for name in _FETCHES}
    for name, answer in answers.items():
        if answer is not None and answer.status not in (200, 503):
            return fails(f"{name}: {brief(answer)}")
    if not any(answer is not None and answer.status == 200 for answer in answers.values()):
        return unanswered(transcript, *_FETCHES, *_ORDERS)
    return HOLDS


def _twins(transcript: Transcript) -> Judgement:
    if not transcript.identities.slave_asks:
        return TWINS_NOT_ASKED
    compared = 0
    for order, fetch in (("enc-many", "dec-many"), ("enc-default", "dec-get")):
        if not transcript.keys(fetch):
            continue
        ordered = {str(key.key_id).lower(): key for key in transcript.keys(order)}
        fetched = {str(key.key_id).lower(): key for key in transcript.keys(fetch)}
        if set(fetched) != set(ordered):
            return fails(f"{fetch}: {len(set(fetched) - set(ordered))} key_IDs that were not asked for, "
                         f"{len(set(ordered) - set(fetched))} missing")  # fmt: skip
        for key_id, key in ordered.items():
            compared += 1
            if _value(key) != _value(fetched[key_id]):
                return fails(f"{fetch}: master and slave hold different keys under one key_ID")
    return HOLDS if compared else unanswered(transcript, *_FETCHES, *_ORDERS)


def _once(transcript: Transcript) -> Judgement:
    if not transcript.identities.slave_asks:
        return TWINS_NOT_ASKED
    again = transcript.answer("dec-again")
    if again is None or not transcript.keys("dec-many"):
        return unanswered(transcript, "dec-again", "dec-many", *_ORDERS)
    if again.status == 200:
        return fails("a key was delivered to the same slave a second time")
    return HOLDS if again.status == 400 else fails(f"{brief(again)} instead of 400")


def _unknown(transcript: Transcript) -> Judgement:
    return _refused_twin(transcript, "dec-unknown")


def _one_missing(transcript: Transcript) -> Judgement:
    return _refused_twin(transcript, "dec-one-missing")


def _refused_twin(transcript: Transcript, name: str) -> Judgement:
    if not transcript.identities.slave_asks:
        return TWINS_NOT_ASKED
    return answered_with(400, transcript, name, *_ORDERS)


def _not_named(transcript: Transcript) -> Judgement:
    if transcript.identities.master == transcript.identities.slave:
        return Judgement(Verdict.NOT_ASKED, "needs two SAEs: --sae")
    return answered_with(401, transcript, "dec-not-named", *_ORDERS)


def _is_success(transcript: Transcript, name: str) -> bool:
    answer = transcript.answer(name)
    return isinstance(answer, Answer) and answer.status == 200


def _value(key: ReceivedKey) -> object:
    """What two ends compare: octets where they can be read, else the text."""
    return key.key if key.octets is None else key.octets


CHECKS = (
    *(_answered(name) for name in _ORDERS),
    Check("key-container", "6.3", "keys come as an array of objects with key_ID and key", _container),
    Check("key-number", "6.2", "as many keys as were asked for, one by default", _number),
    Check("key-id", "6.3", "every key_ID is a UUID (RFC 4122)", _each(_no_uuid)),
    Check("key-base64", "6.3", "every key is base64 (RFC 4648, 4)", _each(_no_base64)),
    Check("key-size", "6.2", "every key has the size that was asked for, key_size by default", _size),
    Check("key-ids-differ", "5.2", "no two keys have one key_ID", _distinct_ids),
    Check("keys-differ", "5.2", "no two keys are equal", _distinct_keys),
    Check("twins", "5.3", "the slave fetches keys by POST and by GET", _fetched),
    Check("twins-equal", "5.3", "the slave gets the master's keys, and those alone", _twins),
    Check("delivered-once", "5.3", "a key that was fetched is gone: 400", _once),
    Check("unknown-key", "5.3", "a key_ID that the KME does not know: 400", _unknown),
    Check("one-missing", "5.3", "one key_ID that is not found fails the request: 400", _one_missing),
    Check("not-named", "5.3", "an SAE that was not named as a slave gets no key: 401", _not_named),
)
