"""The report: every check with its clause, what it found, and what a reader should know besides."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from kms.conformance import key_checks, refusal_checks, status_checks, transport_checks
from kms.conformance.exchange import Answer, Handshake, Transcript
from kms.conformance.findings import Finding, Verdict

STANDARD = "ETSI GS QKD 014 v1.1.1"
CHECKS = (*transport_checks.CHECKS, *status_checks.CHECKS, *key_checks.CHECKS, *refusal_checks.CHECKS)
# Words that the text gives for a refusal; another wording is no fault, but clients may look for these.
_WORDS = {
    "size-no-octets": "size shall be a multiple of 8",
    "mandatory-unknown": "not all extension_mandatory parameters are supported",
    "dec-unknown": "one or more keys specified are not found on KME",
}


@dataclass(frozen=True)
class Report:
    """``ok``: everything that was asked holds. ``remarks`` are no faults."""

    url: str
    transcript: Transcript
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not any(each.judgement.verdict in (Verdict.FAILS, Verdict.UNANSWERED) for each in self.findings)

    def names(self, verdict: Verdict) -> list[str]:
        """The checks that ended so."""
        return [each.check.name for each in self.findings if each.judgement.verdict is verdict]

    def document(self) -> dict[str, Any]:
        """As JSON; no key is in it."""
        identities = self.transcript.identities
        return {
            "ok": self.ok,
            "standard": STANDARD,
            "url": self.url,
            "master_SAE_ID": identities.master,
            "slave_SAE_ID": identities.slave,
            "checks": [
                {
                    "name": each.check.name,
                    "clause": each.check.clause,
                    "requirement": each.check.requirement,
                    "verdict": each.judgement.verdict.value.lower(),
                    "detail": each.judgement.detail,
                }
                for each in self.findings
            ],
            "remarks": list(self.remarks),
        }


def judge(url: str, transcript: Transcript) -> Report:
    """Every check over one transcript."""
    findings = tuple(Finding(check, check.judge(transcript)) for check in CHECKS)
    return Report(url, transcript, findings, tuple(_remarks(transcript)))


def _remarks(transcript: Transcript) -> list[str]:
    remarks = []
    if isinstance(transcript.handshake, Handshake):
        remarks.append(f"{transcript.handshake.version}")
    times = [outcome.took_s for outcome in transcript.outcomes.values() if isinstance(outcome, Answer)]
    if times:
        remarks.append(f"{len(times)} answers, median {median(times) * 1e3:.1f} ms, longest {max(times) * 1e3:.1f} ms")
    dry = [
        name for name, outcome in transcript.outcomes.items() if isinstance(outcome, Answer) and outcome.status == 503
    ]
    if dry:
        stored = (transcript.status() or {}).get("stored_key_count")
        remarks.append(f"no key was to be had (503) for {', '.join(dry)}; Status says stored_key_count {stored}")
    for name, words in _WORDS.items():
        answer = transcript.answer(name)
        document = answer.document() if answer is not None and answer.status == 400 else None
        message = document.get("message") if isinstance(document, dict) else None
        if isinstance(message, str) and message != words:
            remarks.append(f"{name}: the text's words are {words!r}, the KME's {message[:80]!r}")
    return remarks
