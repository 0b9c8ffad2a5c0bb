"""The conformance suite: ``extension check KIND=...``."""

from __future__ import annotations

from collections.abc import Callable

from scripts.conformance.cipher_suite import check_suite
from scripts.conformance.healing import check_healing
from scripts.conformance.outcome import Report
from scripts.conformance.pce import check_pce
from scripts.conformance.qkd import check_qkd
from scripts.conformance.scenario_parts import check_fault, check_metric, check_step
from scripts.conformance.source import check_source
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError
from scripts.extensions.naming import Use
from scripts.extensions.protocols import Kind

SUITES: dict[Kind, Callable[[Worker, Report], None]] = {
    Kind.PCE: check_pce,
    Kind.HEALING: check_healing,
    Kind.SOURCE: check_source,
    Kind.SUITE: check_suite,
    Kind.QKD: check_qkd,
    Kind.FAULT: check_fault,
    Kind.STEP: check_step,
    Kind.METRIC: check_metric,
}


def check_extension(use: Use, deadline_s: float | None = None) -> Report:
    """Everything that an extension of its kind must do, tried on it in a process of its own."""
    report = Report(str(use))
    worker = Worker(use, deadline_s)
    try:
        try:
            report.identity = worker.start()
        except ExtensionError as error:
            report.add("it is there, whole", False, f"{error.fault.value}: {error}")
            return report
        report.add("it is there, whole", True, f"{report.identity}, SHA-256 {report.identity.sha256[:12]}")
        SUITES[use.kind](worker, report)
    finally:
        worker.close()
    return report
