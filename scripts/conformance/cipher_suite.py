"""A cipher suite tried with its vectors and with packets of many lengths, in a process of its own."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

from scripts.conformance.outcome import Report
from scripts.extensions.client import Worker
from scripts.extensions.suite_trials import LONGEST, QUICK, tried

LENGTHS = sorted({*QUICK, *range(300), *range(300, LONGEST, 61), LONGEST - 1})


def check_suite(worker: Worker, report: Report) -> None:
    """What a cipher is worth against whoever analyses it cannot be tried: that is the operator's judgement."""
    asked: Any = SimpleNamespace(**{call: partial(worker.ask, call) for call in worker.contract.methods})
    for trial in tried(asked, LENGTHS):
        report.add(trial.name, trial.holds, trial.detail)
