"""Checks of clause 5: HTTPS with both ends authenticated, and JSON in what it carries."""

from __future__ import annotations

from kms.conformance.exchange import Answer, Failure, Handshake, Silence, Transcript
from kms.conformance.findings import HOLDS, Check, Judgement, Verdict, brief, fails, unanswered

_MODERN = ("TLSv1.2", "TLSv1.3")


def _reachable(transcript: Transcript) -> Judgement:
    hand = transcript.handshake
    return fails(f"{hand.failure.value}: {hand.detail}") if isinstance(hand, Silence) else HOLDS


def _tls_version(transcript: Transcript) -> Judgement:
    hand = transcript.handshake
    if not isinstance(hand, Handshake):
        return Judgement(Verdict.UNANSWERED, "no TLS connection")
    return HOLDS if hand.version in _MODERN else fails(f"{hand.version} was agreed on")


def _client_certificate(transcript: Transcript) -> Judgement:
    outcome = transcript.outcomes.get("status-without-certificate")
    if isinstance(outcome, Answer):
        return (
            HOLDS if outcome.status == 401 else fails(f"somebody without a certificate was answered {outcome.status}")
        )
    if isinstance(outcome, Silence) and outcome.failure in (Failure.TLS_REFUSED, Failure.TORN):
        return HOLDS
    return unanswered(transcript, "status-without-certificate")


def _answers_in_time(transcript: Transcript) -> Judgement:
    for name, outcome in transcript.outcomes.items():
        if isinstance(outcome, Silence) and name != "status-without-certificate":
            return fails(f"{name}: {outcome.failure.value}: {outcome.detail}")
    return HOLDS if transcript.outcomes else Judgement(Verdict.UNANSWERED, "no TLS connection")


def _content_type(transcript: Transcript) -> Judgement:
    answers = {name: outcome for name, outcome in transcript.outcomes.items() if isinstance(outcome, Answer)}
    good = {name: answer for name, answer in answers.items() if answer.status == 200}
    if not good:
        return unanswered(transcript, "status")
    for name, answer in good.items():
        kind = answer.content_type.partition(";")[0].strip().lower()
        if kind != "application/json":
            return fails(f"{name}: {brief(answer)} is {kind or 'of no type'}")
        if answer.document() is None:
            return fails(f"{name}: the body is no JSON")
    return HOLDS


CHECKS = (
    Check("reachable", "5", "the KME is reached over TLS under the name in its URL", _reachable),
    Check("tls-version", "5", "TLS 1.2 or later", _tls_version),
    Check("client-certificate", "5", "nobody is served without a client certificate", _client_certificate),
    Check("answers", "5", "every request is answered in time", _answers_in_time),
    Check("json", "5", "successful answers are JSON and say so", _content_type),
)
