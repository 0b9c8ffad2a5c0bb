"""The demo's looking for plaintext while connections move to other channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from scripts.demo import run
from scripts.demo.report import ConnectionReport, Report, SliceReport
from scripts.measure.capture.plaintext_search import MarkerResult
from scripts.measure.connection import Connection
from scripts.measure.probes.probers import Probers
from scripts.measure.system import System
from tests.support.origin import ORIGIN
from tests.support.silent_steps import SilentSteps
from topologies.catalog import load

HERE = Connection("s", "c", "cell1", "core1", "10.200.0.2", "10.200.0.3", "qra", "qra", ("one",), 10.0)
AWAY = replace(HERE, path=("two",))
FINE = MarkerResult("s/c", 20, 20, (), ciphertext_only=True, ok=True, detail="")
UNSEEN = replace(FINE, ciphertext_only=False, ok=False, detail="proves nothing")
READABLE = replace(UNSEEN, detail="readable", is_readable=True)


def looked_at(
    monkeypatch: pytest.MonkeyPatch, where: Iterable[Connection], seen: list[MarkerResult]
) -> tuple[bool, list[tuple[str, ...]]]:
    """Whether the check held, and the paths on which the marker was looked for."""
    now, results, paths = iter(where), iter(seen), []

    def look(*arguments: Any, **_: Any) -> Mapping[str, MarkerResult]:
        paths.append(arguments[2][0].path)
        return {"s/c": next(results)}

    monkeypatch.setattr(run, "look_for_markers", look)
    monkeypatch.setattr("scripts.measure.slices.refresh_connections", lambda *_: {"s/c": next(now)})
    report = Report(load("ukqntel"), "system", ORIGIN, setup_s=0.0)
    report.slices.append(SliceReport("s", connections=[ConnectionReport(HERE)]))
    demo = run._Demo(cast(System, None), SilentSteps(), report, 5)
    demo.measure_markers(cast(Probers, None))
    (check,) = report.checks
    return check.ok, paths


def test_a_connection_that_stays_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_at(monkeypatch, [HERE, HERE], [FINE]) == (True, [("one",)])
    assert looked_at(monkeypatch, [HERE, HERE], [UNSEEN]) == (False, [("one",)])


def test_one_that_had_moved_before_is_looked_for_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_at(monkeypatch, [AWAY, AWAY], [FINE]) == (True, [("two",)])


def test_one_that_moves_meanwhile_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_at(monkeypatch, [HERE, AWAY, AWAY], [UNSEEN, FINE]) == (True, [("one",), ("two",)])


def test_what_never_stays_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_at(monkeypatch, [HERE, AWAY, HERE, AWAY], [UNSEEN] * 3) == (False, [("one",), ("two",), ("one",)])


def test_a_marker_that_was_readable_once_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_at(monkeypatch, [HERE, AWAY, AWAY], [READABLE, FINE])[0] is False
