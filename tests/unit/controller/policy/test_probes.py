"""What the controller makes of probes: which states it believes, what it repairs, what it moves and what it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.forwarding.intended import Changes
from controller.model.connection import Connection
from controller.model.connectivity import TunnelReport, Verdict
from controller.model.errors import DriverError
from controller.model.states import ConnectionState, SliceState
from controller.monitoring.connectivity import Reachability
from controller.northbound.views.slices import slice_view
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring
from topologies.spec import Topology

ID = "enterprise-app/cell1-control"
ACTIVE, DEGRADED = ConnectionState.ACTIVE, ConnectionState.DEGRADED


class World(Bench):
    """A bench whose channels can swallow packets in silence: probes fail on connections whose working way uses them."""

    holes: frozenset[str] = frozenset()
    switches_right = True

    def __init__(self, topology: Topology, database: Path) -> None:
        super().__init__(topology, database)
        self.context.options = replace(self.context.options, steady=lambda: self.now - 1_000_000.0)

    def make(self, **fields: object) -> Connection:
        control = {"latency_ms": 50, **fields}
        self.slices.create(request_for("enterprise-app", {"control": control}, cells=["cell1"]))
        self.run(2.0)
        return self.model.connections[ID]

    def run(self, duration_s: float, step_s: float = 0.25) -> None:
        for _ in range(round(duration_s / step_s)):
            self.now += step_s
            self.probe()
            self.maintenance.confirm(lambda site: self.switches_right)

    def probe(self) -> None:
        """The agents tell what their probes find on the ways as they are now."""
        for connection in self.model.connections.values():
            ways = [lane.route.channels for lane in connection.lanes]
            if connection.request.spec.protection.value != "1+1":
                ways = ways[:1]
            fails = bool(ways) and all(not self.holes.isdisjoint(way) for way in ways)
            failing = {"state": "up", "hears_peer": False, "is_heard": None, "reachable_for_s": 0.0}
            for site in (connection.request.src, connection.request.dst):
                if fails:
                    self.tunnels.reports[site, connection.id] = failing
                else:
                    self.tunnels.reports.pop((site, connection.id), None)
        for site in self.topology.site_names:
            self.maintenance.poll_agent(site)

    @property
    def it(self) -> Connection:
        return self.model.connections[ID]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(metro_ring(), tmp_path / "db")


def channels(connection: Connection) -> tuple[str, ...]:
    return connection.lanes[0].route.channels if connection.lanes else ()


def test_a_silent_hole_is_left_by_the_probes_alone(world: World) -> None:
    before = world.make()
    world.holes = frozenset({channels(before)[1]})
    states: list[SliceState] = []
    for _ in range(12):
        world.run(0.25)
        states.append(world.model.slice("enterprise-app").state)
    assert world.it.state is ACTIVE
    assert world.holes.isdisjoint(channels(world.it))
    assert states[0] is SliceState.DEGRADED, "from the first word on"
    assert states[-1] is SliceState.ACTIVE
    assert world.it.reroutes[-1].old_path == channels(before)
    assert world.model.intended.at("cell1") == world.switches.held()["cell1"]


def test_the_reason_names_what_was_seen_and_from_when(world: World) -> None:
    world.make()
    world.holes = frozenset(c.id for c in world.topology.channels)
    world.run(0.25)
    reason = world.it.reason
    assert reason is not None
    assert "probes between cell1 and" in str(reason)
    assert "since 2001-09-09T01:46:4" in str(reason)


def test_edge_case_03_a_second_failure_during_a_reroute_does_not_leave_it_active_on_a_dead_way(world: World) -> None:
    before = world.make()
    send = world.switches.send
    second: list[frozenset[str]] = []

    def fail_again(changes: dict[str, Changes]) -> object:
        moving = world.model.connections[ID]
        if moving.state is ConnectionState.REROUTING and not second:
            second.append(frozenset(channels(moving)[1:2]))
            world.holes |= second[0]  # the way being laid dies before it is in use; no port says so
        return send(changes)

    world.switches.send = fail_again  # type: ignore[assignment, method-assign]
    world.holes = frozenset()
    world.cut(channels(before)[1])
    assert second
    world.run(0.25)
    assert world.it.state is not ACTIVE
    assert world.model.slice("enterprise-app").state is SliceState.DEGRADED
    world.run(10.0)
    assert world.it.state is ACTIVE
    assert second[0].isdisjoint(channels(world.it))


def test_without_another_way_the_old_rules_stay_and_the_state_says_so(world: World) -> None:
    before = world.make()
    rules = world.switches.held()
    world.holes = frozenset(c.id for c in world.topology.channels)
    world.run(60.0)
    assert world.it.state is DEGRADED
    assert world.it.lanes
    assert "no other way" in str(world.it.reason)
    world.holes = frozenset()
    world.run(2.0)
    assert world.it.state is ACTIVE
    assert world.it.reason is None
    assert {site: len(items) for site, items in world.switches.held().items() if site in before.lanes[0].route.sites}
    assert world.model.network.reserved_kbps(channels(world.it)[0]) > 0
    assert sum(map(len, rules.values())) > 0


def test_moves_come_at_growing_intervals_while_nothing_helps(world: World) -> None:
    world.make()
    world.holes = frozenset(c.id for c in world.topology.channels)
    world.run(30.0)
    early = len(world.it.reroutes)
    generation = world.it.generation
    world.run(60.0)
    assert early >= 1
    assert world.it.generation - generation <= 10


def test_switches_are_looked_at_before_anything_is_moved_and_a_repair_is_given_time(world: World) -> None:
    before = world.make()
    looked: list[str] = []
    world.holes = frozenset({channels(before)[0]})

    def repaired(site: str) -> bool:
        looked.append(site)
        world.holes = frozenset()  # it was a rule
        return False

    world.now += 0.25
    world.probe()
    world.maintenance.confirm(repaired)
    assert set(looked) == set(before.lanes[0].route.sites)
    world.run(3.0)
    assert world.it.state is ACTIVE
    assert channels(world.it) == channels(before), "nothing was moved"


def test_trouble_after_trouble_is_answered_at_once_a_few_times_and_then_ever_later(world: World) -> None:
    world.make()
    took = []
    for _ in range(8):
        began = world.now
        world.holes = frozenset({channels(world.it)[0]})
        while not world.holes.isdisjoint(channels(world.it)):
            world.run(0.25)
            assert world.now - began < 60
        took.append(world.now - began)
        world.run(1.0)
        assert world.it.state is ACTIVE
    assert max(took[:3]) <= 1.0
    assert took[-1] >= 6.0
    world.holes = frozenset()
    world.run(35.0)
    began = world.now
    world.holes = frozenset({channels(world.it)[0]})
    world.run(1.0)
    assert world.holes.isdisjoint(channels(world.it)), "the past is forgotten"


def test_1_to_1_goes_over_to_its_backup(world: World) -> None:
    before = world.make(protection="1:1")
    world.holes = frozenset({channels(before)[1]})
    world.run(3.0)
    assert world.it.state is ACTIVE
    assert channels(world.it) == before.lanes[1].route.channels
    assert len(world.it.lanes) == 1 or world.holes.isdisjoint(world.it.lanes[1].route.channels)


def test_1_plus_1_is_left_alone_while_one_way_passes(world: World) -> None:
    before = world.make(protection="1+1")
    world.holes = frozenset({channels(before)[1]})
    world.run(5.0)
    assert world.it == before


def test_no_protection_is_not_moved_but_says_so(world: World) -> None:
    before = world.make(protection="none")
    world.holes = frozenset({channels(before)[1]})
    world.run(5.0)
    assert (world.it.state, channels(world.it)) == (DEGRADED, channels(before))
    world.holes = frozenset()
    world.run(1.0)
    assert world.it.state is ACTIVE


def test_a_delete_in_the_midst_of_it_leaves_nothing(world: World) -> None:
    before = world.state()
    world.make()
    world.holes = frozenset(c.id for c in world.topology.channels)
    world.run(2.5)
    world.slices.delete("enterprise-app")
    world.run(2.0)
    assert world.state() == before


def test_an_agent_that_is_away_is_told_and_nothing_is_moved(world: World) -> None:
    before = world.make()
    world.tunnels.fail = lambda op, site, _: DriverError("gone") if (op, site) == ("watch", "cell1") else None
    world.run(2.0)
    assert (world.it.state, world.it.lanes) == (DEGRADED, before.lanes)
    assert "tunnel agent at cell1 does not answer since" in str(world.it.reason)
    world.tunnels.fail = lambda op, site, _: None
    world.tunnels.instance = "another"
    world.run(2.0)
    assert (world.it.state, world.it.lanes) == (ACTIVE, before.lanes)


def test_a_tunnel_without_a_key_is_no_fault_of_the_way(world: World) -> None:
    before = world.make()
    end: dict[str, object] = {"state": "expired", "hears_peer": None, "is_heard": None, "last_error": "the pool is dry"}
    world.now += 0.25
    world.probe()
    world.tunnels.reports["cell1", ID] = end
    for _ in range(10):
        world.now += 0.25
        world.maintenance.poll_agent("cell1")
        world.maintenance.confirm(lambda site: True)
    assert (world.it.state, world.it.lanes) == (DEGRADED, before.lanes)
    assert "has no key in use (the pool is dry)" in str(world.it.reason)


@pytest.mark.parametrize("site", ["cell1", "core1"])
def test_a_tunnel_that_waits_for_its_first_key_is_given_a_moment(world: World, site: str) -> None:
    """That it waits is heard after it is over: a slice that has just been made must not be called DEGRADED for that."""
    before = world.make()
    late: dict[str, object] = {"state": "waiting", "hears_peer": None, "is_heard": None, "last_error": None}
    world.tunnels.reports[site, ID] = late

    def hear(seconds: float) -> None:
        world.now += seconds
        world.maintenance.poll_agent(site)
        world.maintenance.confirm(lambda site: True)

    hear(0.1)
    hear(0.3)
    assert (world.it.state, world.it.lanes) == (ACTIVE, before.lanes)
    hear(0.3)
    assert (world.it.state, world.it.lanes) == (DEGRADED, before.lanes)
    assert f"the tunnel at {site} has no key in use" in str(world.it.reason)


def test_switches_that_are_away_are_told_and_keep_what_they_have(world: World) -> None:
    world.make()
    held, lanes = world.switches.held(), world.it.lanes
    world.switches.is_ready = lambda site: site != "agg1"  # type: ignore[method-assign]
    world.run(4.0)
    assert (world.it.state, world.it.lanes) == (ACTIVE, lanes)
    view = slice_view(world.model, world.model.slice("enterprise-app"))
    crossing = [c for c in view["connections"] if "agg1" in c["sites"]]
    assert crossing
    assert all("switch at agg1 is not connected to the controller since" in c["conditions"][0] for c in crossing)
    assert world.switches.held() == held
    world.switches.is_ready = lambda site: True  # type: ignore[method-assign]
    world.run(1.0)
    assert all(not c["conditions"] for c in slice_view(world.model, world.model.slice("enterprise-app"))["connections"])


def test_edge_case_02_a_blip_during_a_reroute_does_not_overwrite_the_recovery(world: World) -> None:
    before = world.make()
    send = world.switches.send
    hole = channels(before)[1]
    blips: list[str] = []

    def blip(changes: dict[str, Changes]) -> object:
        pending = send(changes)
        if not blips and world.model.connections[ID].state is ConnectionState.REROUTING:
            blips.append(hole)
            world.maintenance.channels_changed({hole: True})
            world.maintenance.channels_changed({hole: False})
            world.maintenance.channels_changed({hole: True})
        return pending

    world.switches.send = blip  # type: ignore[assignment, method-assign]
    world.cut(hole)
    assert blips
    world.run(3.0)
    assert world.model.network.is_channel_up(hole)
    assert world.it.state is ACTIVE
    assert world.model.slice("enterprise-app").state is SliceState.ACTIVE


def test_other_connections_that_pass_clear_channels_of_doubt(world: World) -> None:
    before = world.make()
    world.holes = frozenset({channels(before)[0]})
    world.run(2.0)
    assert world.model.doubted
    world.holes = frozenset()
    world.run(35.0)
    assert world.model.doubted == frozenset()


HEARD, DEAF, MUTE = (True, True), (False, None), (True, False)


@pytest.mark.parametrize(
    ("src", "dst", "verdict", "said"),
    [
        (HEARD, HEARD, Verdict.PASSES, None),
        (MUTE, DEAF, Verdict.FAILS, "from cell1 do not arrive"),
        (DEAF, MUTE, Verdict.FAILS, "to cell1|at cell1"),
        (DEAF, DEAF, Verdict.FAILS, "both ways"),
        (MUTE, HEARD, Verdict.PASSES, None),  # its probes are drowned by its own traffic, which arrives
        (HEARD, (None, None), Verdict.PASSES, None),
        ((None, None), (None, None), Verdict.UNKNOWN, None),
    ],
)
def test_both_ends_words_are_put_together(
    world: World,
    src: tuple[bool | None, bool | None],
    dst: tuple[bool | None, bool | None],
    verdict: Verdict,
    said: str,
) -> None:
    connection = world.make()
    book = Reachability()
    ends: list[tuple[str, tuple[bool | None, bool | None]]] = [
        (connection.request.src, src),
        (connection.request.dst, dst),
    ]
    for site, (hears, heard) in ends:
        book.tell(site, {ID: TunnelReport("up", hears, heard)}, 5.0, is_all=True)
    book.judge([connection], 5.0, 0.0)
    finding = book.findings[ID]
    assert finding.verdict is verdict
    if said is not None:
        assert any(words in str(finding.text) for words in said.split("|"))


def test_a_controller_killed_while_in_doubt_comes_back_to_the_same_rules(world: World, tmp_path: Path) -> None:
    world.make()
    world.holes = frozenset(c.id for c in world.topology.channels)
    world.run(4.0)
    held, there = world.switches.held(), world.it
    again = world.next_process()
    again.maintenance.load()
    again.repair_all()
    assert again.switches.held() == held
    assert again.model.connections[ID].lanes == there.lanes
