"""What a switch refuses while the work goes on is not only logged: that switch is compared and put right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from controller.forwarding.continuity_test import ETH_TRIAL
from controller.forwarding.intended import Changes
from controller.forwarding.items import Item, Rule
from controller.model.errors import DriverError, ProvisioningFailed
from controller.operations.switch_sync import SwitchSync
from tests.support.controller_bench import Bench, request_for
from tests.support.fake_switches import FakeSwitches
from tests.unit.controller.policy.test_spares import make, split
from topologies.catalog import metro_ring, ukqntel
from topologies.spec import Topology

NAME = "enterprise-app"
WIDER = {"connections": {"access": {"bandwidth_mbps": 12}}}
ELSEWHERE = {"connections": {"access": {"exclude_channels": ["agg1-metro1-ch3"]}}}
IMPOSSIBLE_KEYS = {"connections": {"control": {"security": "qra"}, "access": {"exclude_channels": ["agg1-metro1-ch3"]}}}


class Board:
    """What :class:`SwitchSync` sees of the switches in memory."""

    def __init__(self, switches: FakeSwitches) -> None:
        self._switches = switches

    def is_connected(self, site: str) -> bool:
        return True

    def is_ready(self, site: str) -> bool:
        return True

    def installed(self, site: str) -> Iterable[Item]:
        return self._switches.held()[site]

    def set_ready(self, site: str) -> None: ...


class RefusingWorld(Bench):
    """Switches that refuse what they are told to, and are looked at when somebody reports that."""

    def __init__(self, topology: Topology, database: Path) -> None:
        super().__init__(topology, database)
        self.due: list[tuple[Callable[[str], None], str]] = []
        self.sync = SwitchSync(Board(self.switches), self.maintenance, lambda site: None, self._later)
        self.switches.reported_to = lambda fault: self.sync.doubt(fault.site)
        self.refused: list[str] = []

    def _later(self, after_s: float, call: Callable[[str], None], site: str) -> None:
        self.due.append((call, site))

    def refuse_once(self, concerns: Callable[[Changes], bool], after: int = 0) -> None:
        """Refuse the next message that ``concerns`` is true of, ``after`` so many of them."""
        left = after

        def refuse(site: str, changes: Changes) -> str | None:
            nonlocal left
            if self.refused or not concerns(changes):
                return None
            left -= 1
            if left >= 0:
                return None
            self.refused.append(site)
            return "refused"

        self.switches.refuse = refuse

    def is_as_intended(self) -> bool:
        return all(held == self.model.intended.at(site) for site, held in self.switches.held().items())

    def pass_time(self) -> None:
        due, self.due = self.due, []
        for call, site in due:
            call(site)


def takes_away(changes: Changes) -> bool:
    return bool(changes.remove)


def adds(changes: Changes) -> bool:
    return bool(changes.add)


def is_continuity_test_withdrawn(changes: Changes) -> bool:
    return any(isinstance(i, Rule) and dict(i.match).get("eth_type") == ETH_TRIAL for i in changes.remove)


def delete(world: RefusingWorld, after: int) -> None:
    world.slices.create(request_for(NAME))
    world.refuse_once(takes_away, after)
    world.slices.delete(NAME)


def fail_to_create(world: RefusingWorld, after: int) -> None:
    world.tunnels.fail = lambda op, site, which: DriverError("dry") if op == "wait_up" else None
    world.refuse_once(takes_away, after)
    with pytest.raises(ProvisioningFailed, match="dry"):
        world.slices.create(request_for(NAME))


def change(world: RefusingWorld, after: int) -> None:
    world.slices.create(request_for(NAME))
    world.refuse_once(takes_away, after)
    world.slices.modify(NAME, ELSEWHERE)


def undo_a_change(world: RefusingWorld, after: int) -> None:
    world.slices.create(request_for(NAME))

    def fail(name: str) -> None:
        if name == "change.7-ingress-confirmed":  # from here on messages are those that undo it
            world.refuse_once(lambda changes: True, after)
            world.tunnels.fail = lambda op, site, which: DriverError("dry") if op == "modify" else None

    world.at_checkpoint = fail
    with pytest.raises(ProvisioningFailed, match="dry"):
        world.slices.modify(NAME, IMPOSSIBLE_KEYS)


def reroute(world: RefusingWorld, after: int) -> None:
    world.slices.create(request_for(NAME))
    world.refuse_once(lambda changes: takes_away(changes) and not adds(changes), after)
    world.cut("agg1-metro1-ch3")


def repair(world: RefusingWorld, after: int) -> None:
    world.slices.create(request_for(NAME))
    world.switches.tables["agg1"].items.clear()
    world.refuse_once(adds, after)
    assert not world.maintenance.reconcile("agg1", lambda: world.switches.held()["agg1"])


def activate_a_dark_channel(world: RefusingWorld, after: int) -> None:
    make(world, security="qra", match="exact", fallback=["dh"])
    world.refuse_once(is_continuity_test_withdrawn, after)
    split(world)
    assert set(world.channel_ports.dark) < {c.id for c in world.topology.channels if c.dark}


@pytest.mark.parametrize(
    ("work", "after"),
    [
        (delete, 0), (delete, 5), (fail_to_create, 0), (fail_to_create, 5), (change, 0),
        (undo_a_change, 0), (undo_a_change, 3), (undo_a_change, 6), (reroute, 0), (repair, 0),
        (activate_a_dark_channel, 0),
    ],
)  # fmt: skip
def test_a_switch_that_refused_is_put_right(
    tmp_path: Path, work: Callable[[RefusingWorld, int], None], after: int
) -> None:
    world = RefusingWorld(metro_ring() if work is activate_a_dark_channel else ukqntel(), tmp_path / "db")
    work(world, after)
    assert len(world.refused) == 1
    assert not world.is_as_intended()
    world.pass_time()
    assert world.is_as_intended()
    assert world.due == []
