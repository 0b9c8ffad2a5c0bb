"""What the process behind ``up --detach`` tells the command that waits for it."""

from __future__ import annotations

import os

import pytest

from scripts.errors import CommandError, DidNotHold, EnvironmentLacks
from scripts.testbed.life.start_reports import StartReporter, StartReports


def test_steps_come_in_order_and_the_end_is_seen() -> None:
    told, telling = os.pipe()
    with StartReports(told) as reports:
        with StartReporter(telling) as reporter:
            reporter.step("certificates")
            assert reports.steps(1) == ["certificates"]
            assert reports.steps(0) == []
            reporter.step("network\nwith a line break")
            reporter.step("tunnels")
        assert reports.steps(1) == ["network\nwith a line break", "tunnels"]
        assert not reports.is_over
        assert reports.steps(1) == []
        assert reports.is_over


@pytest.mark.parametrize("kind", [DidNotHold, EnvironmentLacks])
def test_failure_arrives_as_what_it_is(kind: type[CommandError]) -> None:
    told, telling = os.pipe()
    with StartReports(told) as reports:
        with pytest.raises(kind), StartReporter(telling):
            raise kind("no Open vSwitch: qslice: start it")
        with pytest.raises(kind, match=r"^no Open vSwitch: qslice: start it$"):
            reports.steps(1)


def test_start_goes_on_when_nobody_listens_any_more() -> None:
    told, telling = os.pipe()
    with StartReports(told):
        pass
    with StartReporter(telling) as reporter:
        reporter.step("certificates")
