"""Checks of Get status (5.1) and the Status object (6.1)."""

from __future__ import annotations

from typing import Any, TypeGuard

from kms.conformance.exchange import Transcript
from kms.conformance.findings import HOLDS, Check, Judgement, brief, fails, unanswered

STRINGS = ("source_KME_ID", "target_KME_ID", "master_SAE_ID", "slave_SAE_ID")
INTEGERS = (
    "key_size", "stored_key_count", "max_key_count", "max_key_per_request", "max_key_size", "min_key_size",
    "max_SAE_ID_count",
)  # fmt: skip


def _answered(transcript: Transcript) -> Judgement:
    answer = transcript.answer("status")
    if answer is None:
        return unanswered(transcript, "status")
    if answer.status != 200:
        return fails(brief(answer))
    return HOLDS if transcript.status() is not None else fails("the body is no JSON object")


def _fields(transcript: Transcript) -> Judgement:
    status = transcript.status()
    if status is None:
        return unanswered(transcript, "status")
    missing = [name for name in (*STRINGS, *INTEGERS) if name not in status]
    return fails(f"missing: {', '.join(missing)}") if missing else HOLDS


def _types(transcript: Transcript) -> Judgement:
    status = transcript.status()
    if status is None:
        return unanswered(transcript, "status")
    wrong = [name for name in STRINGS if name in status and not isinstance(status[name], str)]
    wrong += [name for name in INTEGERS if name in status and not _is_count(status[name])]
    if "status_extension" in status and not isinstance(status["status_extension"], dict):
        wrong.append("status_extension")
    return fails(f"of a wrong type: {', '.join(wrong)}") if wrong else HOLDS


def _identities(transcript: Transcript) -> Judgement:
    status = transcript.status()
    if status is None:
        return unanswered(transcript, "status")
    wanted = {"master_SAE_ID": transcript.identities.master, "slave_SAE_ID": transcript.identities.slave}
    wrong = [f"{name} is {str(status[name])[:64]!r}, not {sae!r}" for name, sae in wanted.items()
             if name in status and status[name] != sae]  # fmt: skip
    return fails("; ".join(wrong)) if wrong else HOLDS


def _sizes(transcript: Transcript) -> Judgement:
    status = transcript.status()
    if status is None:
        return unanswered(transcript, "status")
    least, default, most = (status.get(name) for name in ("min_key_size", "key_size", "max_key_size"))
    if not (_is_count(least) and _is_count(default) and _is_count(most)):
        return unanswered(transcript, "status")
    if not least <= default <= most:
        return fails(f"key_size {default} is not between min_key_size {least} and max_key_size {most}")
    return HOLDS


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


CHECKS = (
    Check("status", "5.1", "Get status is answered 200 with an object", _answered),
    Check("status-fields", "6.1", "Status has every mandatory field", _fields),
    Check("status-types", "6.1", "ids are strings, sizes and counts are integers", _types),
    Check("status-identities", "6.1", "Status names the caller as master, the SAE asked for as slave", _identities),
    Check("status-sizes", "6.1", "the default key size lies between the smallest and the largest", _sizes),
)
