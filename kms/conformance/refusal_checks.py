"""Checks of what a KME must refuse or tolerate in a Key request (6.2), and of Error bodies (6.5)."""

from __future__ import annotations

from kms.conformance.exchange import Answer, Transcript
from kms.conformance.findings import HOLDS, Check, Judgement, answered_with, fails, unanswered

_WITH_ERROR = (400, 503)  # the statuses for which the text defines the body


def _answered_with(status: int, name: str, clause: str, requirement: str) -> Check:
    return Check(name, clause, requirement, lambda transcript: answered_with(status, transcript, name))


def _error_bodies(transcript: Transcript) -> Judgement:
    refusals = {
        name: outcome
        for name, outcome in transcript.outcomes.items()
        if isinstance(outcome, Answer) and outcome.status in _WITH_ERROR
    }
    if not refusals:
        return unanswered(transcript, "size-no-octets")
    for name, answer in refusals.items():
        document = answer.document()
        if not isinstance(document, dict) or not isinstance(document.get("message"), str):
            return fails(f"{name}: {answer.status} without an object with the string `message`")
        details = document.get("details", [])
        if not isinstance(details, list) or not all(isinstance(each, dict) for each in details):
            return fails(f"{name}: `details` is no array of objects")
    return HOLDS


CHECKS = (
    _answered_with(400, "size-no-octets", "6.2", "a size that is no multiple of 8: 400"),
    _answered_with(400, "mandatory-unknown", "6.2", "an extension_mandatory that the KME does not support: 400"),
    _answered_with(200, "optional-unknown", "6.2", "an extension_optional that the KME does not support is ignored"),
    _answered_with(400, "malformed", "5.2", "a body that is no JSON: 400"),
    Check("error-body", "6.5", "a 400 or 503 carries an Error with a message", _error_bodies),
)
