"""A key source tried in exchanges between two ends: equal secrets, new ones each time, wrong messages refused."""

from __future__ import annotations

import os

from kms.errors import ExchangeError, KeySourceError
from kms.sources.extension_source import ExtensionSource
from scripts.conformance.outcome import Report, Tally
from scripts.extensions.client import Worker
from scripts.extensions.errors import Fault

EXCHANGES = 40
HARM = frozenset({Fault.CRASHED.value, Fault.LATE.value})


def check_source(worker: Worker, report: Report) -> None:
    """What secrets are worth cannot be tried: that is the operator's judgement."""
    source = ExtensionSource(worker, os.urandom)
    equal = Tally()
    secrets, messages = set(), set()
    for _ in range(EXCHANGES):
        try:
            offered, finish = source.offer()
            reply, theirs = source.answer(offered)
            ours = finish(reply)
        except ExchangeError as error:
            equal.bad(str(error))
            continue
        secrets.add(ours)
        messages |= {offered, reply}
        equal.good() if ours == theirs else equal.bad("the two ends have different secrets")
    equal.into(report, "both ends have the same secret")
    count = EXCHANGES - len(equal.wrong)
    report.add("every secret is another", count > 0 and len(secrets) == count, f"{len(secrets)} in {count} exchanges")
    leaks = sum(any(secret in message for message in messages) for secret in secrets)
    report.add("no secret stands in a message", leaks == 0, f"{leaks} of {len(secrets)}")
    crashes = 0
    for wrong in (b"\0", os.urandom(31), os.urandom(2_000)):
        try:
            source.answer(wrong)
        except KeySourceError as error:
            crashes += error.code in HARM
        except ExchangeError:
            pass  # it answered, with what is refused
    report.add("a wrong message harms nobody", crashes == 0, f"{crashes} crashes or hangs in 3")
