"""A switch that connects is looked at again until it holds what it shall: rules may be on their way, answers late."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from controller.forwarding.items import Item
from controller.model.errors import DriverError
from controller.operations.switch_sync import ATTEMPTS, PATROL_S, PATROL_SHARE, SwitchSync


class Switch:
    """One that is not as intended for so many looks, after having been silent for so many."""

    def __init__(self, wrong_looks: int = 0, silent_looks: int = 0) -> None:
        self.wrong_looks, self.silent_looks = wrong_looks, silent_looks
        self.looks = 0
        self.ready: set[str] = set()
        self.is_there = True
        self.retried = 0
        self.due: list[tuple[Callable[[str], None], str]] = []
        self.sync = SwitchSync(self, self, lambda site: None, lambda after_s, call, site: self.due.append((call, site)))

    def is_connected(self, site: str) -> bool:
        return self.is_there

    def installed(self, site: str) -> Iterable[Item]:
        self.looks += 1
        if self.looks <= self.silent_looks:
            raise DriverError(f"switch {site}: no answer")
        return []

    def is_ready(self, site: str) -> bool:
        return site in self.ready

    def set_ready(self, site: str) -> None:
        self.ready.add(site)

    def reconcile(self, site: str, read: Callable[[], Iterable[Item]]) -> bool:
        read()
        return self.looks - self.silent_looks > self.wrong_looks

    def retry(self) -> None:
        self.retried += 1

    def pass_time(self) -> None:
        due, self.due = self.due, []
        for call, site in due:
            call(site)


@pytest.mark.parametrize("wrong_looks", [0, 1, ATTEMPTS, 3 * ATTEMPTS + 1])
def test_repairs_that_reroutes_overtake_are_looked_at_again(wrong_looks: int) -> None:
    switch = Switch(wrong_looks)
    switch.sync.synchronise("agg1")
    for _ in range(wrong_looks // ATTEMPTS):
        assert not switch.ready
        switch.pass_time()
    assert switch.ready
    assert switch.looks == wrong_looks + 1
    assert switch.due == []
    assert switch.retried


def test_a_switch_that_answers_late_is_asked_again() -> None:
    switch = Switch(silent_looks=2)
    switch.sync.synchronise("agg1")
    switch.pass_time()
    assert (switch.ready, switch.retried) == (set(), 0)
    switch.pass_time()
    assert (bool(switch.ready), switch.retried, switch.due) == (True, 1, [])


def test_one_that_has_gone_is_left_until_it_is_back() -> None:
    switch = Switch(silent_looks=100)
    switch.sync.synchronise("agg1")
    switch.is_there = False
    switch.pass_time()
    assert (switch.looks, switch.ready, switch.due) == (1, set(), [])


def test_fault_29_every_ready_switch_is_looked_at_in_turn_and_in_a_small_part_of_the_time() -> None:
    looked: list[str] = []

    class Looked(Switch):
        def reconcile(self, site: str, read: Callable[[], Iterable[Item]]) -> bool:
            looked.append(site)
            return True

    switch = Looked()
    switch.ready = {"a", "b", "c"}
    pauses = [switch.sync.patrol(("a", "b", "c", "away"), lambda: 0.0) for _ in range(6)]
    assert sorted(looked[:3]) == ["a", "b", "c"]
    assert looked[:3] == looked[3:]
    assert sum(pauses[:3]) == pytest.approx(PATROL_S)
    clock = iter((0.0, 1.0))
    assert switch.sync.patrol(("a", "b", "c"), lambda: next(clock)) == pytest.approx(1.0 / PATROL_SHARE)
