"""What a check found, as a value; and how checks say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from kms.conformance.exchange import Answer, Silence, Transcript


class Verdict(Enum):
    """``UNANSWERED``: the KME gave nothing to judge by. ``NOT_ASKED``: the check needs what it was not given."""

    HOLDS = "holds"
    FAILS = "FAILS"
    UNANSWERED = "no answer"
    NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    detail: str = ""


HOLDS = Judgement(Verdict.HOLDS)
TWINS_NOT_ASKED = Judgement(Verdict.NOT_ASKED, "needs the slave's certificate: --peer-cert and --peer-key")


@dataclass(frozen=True)
class Check:
    """One requirement. ``clause`` is of ETSI GS QKD 014 v1.1.1; ``judge`` sees the whole transcript."""

    name: str
    clause: str
    requirement: str
    judge: Callable[[Transcript], Judgement]


@dataclass(frozen=True)
class Finding:
    check: Check
    judgement: Judgement


def fails(detail: str) -> Judgement:
    return Judgement(Verdict.FAILS, detail)


def unanswered(transcript: Transcript, *names: str) -> Judgement:
    """That none of these questions has the answer a check would need, and why not."""
    for name in names:
        outcome = transcript.outcomes.get(name)
        if isinstance(outcome, Silence):
            return Judgement(Verdict.UNANSWERED, f"{name}: {outcome.failure.value}")
        if isinstance(outcome, Answer):
            return Judgement(Verdict.UNANSWERED, f"{name}: {brief(outcome)}")
    return Judgement(Verdict.UNANSWERED, "the KME stopped answering before")


def answered_with(status: int, transcript: Transcript, name: str, *before: str) -> Judgement:
    """That a question was answered so. 503 tells nothing: no key was to be had; nor was it without those ``before``."""
    answer = transcript.answer(name)
    if answer is None or answer.status == 503:
        return unanswered(transcript, name, *before)
    return HOLDS if answer.status == status else fails(f"{brief(answer)} instead of {status}")


def brief(answer: Answer) -> str:
    """An answer in a few words: its status, and the message of an Error. Never a body: it may hold keys."""
    document = answer.document() if answer.status != 200 else None
    message = document.get("message") if isinstance(document, dict) else None
    return f"{answer.status}: {message[:120]}" if isinstance(message, str) else str(answer.status)
