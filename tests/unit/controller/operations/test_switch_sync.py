"""A switch that connects is looked at again until it holds what it shall: rules may be on their way, answers late."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from controller.forwarding.items import Item
from controller.model.errors import DriverError
from controller.operations.switch_sync import ATTEMPTS, SwitchSync


class Switch:
    """One that is not as intended for so many looks, after having been silent for so many."""

    def __init__(self, wrong_looks: int = 0, silent_looks: int = 0) -> None:
        self.wrong_looks, self.silent_looks = wrong_looks, silent_looks
        self.looks = 0
        self.is_ready = False
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

    def set_ready(self, site: str) -> None:
        self.is_ready = True

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
        assert not switch.is_ready
        switch.pass_time()
    assert switch.is_ready
    assert switch.looks == wrong_looks + 1
    assert switch.due == []
    assert switch.retried


def test_a_switch_that_answers_late_is_asked_again() -> None:
    switch = Switch(silent_looks=2)
    switch.sync.synchronise("agg1")
    switch.pass_time()
    assert (switch.is_ready, switch.retried) == (False, 0)
    switch.pass_time()
    assert (switch.is_ready, switch.retried, switch.due) == (True, 1, [])


def test_one_that_has_gone_is_left_until_it_is_back() -> None:
    switch = Switch(silent_looks=100)
    switch.sync.synchronise("agg1")
    switch.is_there = False
    switch.pass_time()
    assert (switch.looks, switch.is_ready, switch.due) == (1, False, [])
