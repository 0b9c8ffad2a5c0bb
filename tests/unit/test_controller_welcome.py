"""A switch that connects is looked at again until it holds what it shall: rules may be on their way, answers late."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import eventlet
import pytest

from controller import app
from controller.app import RECONCILE_ATTEMPTS, SliceController
from controller.drivers import DriverError
from controller.links import LinkMonitor
from controller.watching import WatchPlan
from topologies.catalog import ukqntel


class Switch:
    """One switch, seen through the switchboard: not as intended for so many looks, and silent for the first few."""

    def __init__(self, wrong_looks: int, silent_looks: int = 0) -> None:
        self.wrong_looks, self.silent_looks = wrong_looks, silent_looks
        self.looks = 0
        self.is_ready = False
        self.is_there = True

    def is_connected(self, site: str) -> bool:
        return self.is_there

    def ports(self, site: str) -> dict[int, Any]:
        return {}

    def installed(self, site: str) -> list[Any]:
        self.looks += 1
        if self.looks <= self.silent_looks:
            raise DriverError(f"switch {site}: no answer")
        return []

    def set_ready(self, site: str) -> None:
        self.is_ready = True


def welcome(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Welcome it, and let what follows happen; what was tried again afterwards."""
    retried: list[str] = []
    topology = ukqntel()
    monkeypatch.setattr(app, "RECONCILE_AGAIN_S", 0.001)
    lifecycle = SimpleNamespace(
        model=SimpleNamespace(topology=topology),
        reconcile=lambda site, installed: switch.looks - switch.silent_looks > switch.wrong_looks,
        retry=lambda: retried.append("retry"),
        channels_changed=lambda changes: None,
    )
    controller: Any = object.__new__(SliceController)
    controller._lifecycle, controller._switchboard = lifecycle, switch
    controller._links, controller._watch_plan = LinkMonitor(topology), WatchPlan()
    controller._welcome("agg1")
    with eventlet.Timeout(10):
        while not switch.is_ready and switch.is_there:
            eventlet.sleep(0.001)
    return retried


@pytest.mark.parametrize("wrong_looks", [0, 1, RECONCILE_ATTEMPTS, 3 * RECONCILE_ATTEMPTS + 1])
def test_repairs_that_reroutes_overtake_are_looked_at_again(wrong_looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = Switch(wrong_looks)
    assert welcome(switch, monkeypatch)
    assert switch.looks == wrong_looks + 1


def test_a_switch_that_answers_late_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = Switch(0, silent_looks=2)
    assert welcome(switch, monkeypatch) == ["retry"]
    assert switch.looks == 3


def test_one_that_has_gone_is_left_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = Switch(0, silent_looks=100)

    def gone(site: str) -> list[Any]:
        switch.looks += 1
        switch.is_there = False
        raise DriverError("gone")

    monkeypatch.setattr(switch, "installed", gone)
    assert welcome(switch, monkeypatch) == []
    eventlet.sleep(0.02)
    assert switch.looks == 1
