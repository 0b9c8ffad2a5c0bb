"""Restoration as one plan: who is served first, what is never given up, and what is kept of each reroute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.forwarding.intended import Changes
from controller.model.connection import KEPT_REROUTES, Reroute
from controller.model.states import ConnectionState
from controller.operations.context import BARRIER_DEADLINE_S
from controller.operations.healing.restoration_service import TRY_AGAIN_S
from controller.policy.reroute_audit import Asked, check
from controller.schema.slice_request import parse_slice_request
from tests.support.controller_bench import Bench, raw_request, request_for
from tests.support.small_networks import fibres_apart
from tests.unit.controller.policy.test_spares import happened, pass_time
from topologies.catalog import metro_ring, ukqntel


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(ukqntel(), tmp_path / "db")


def make(bench: Bench, name: str, **control: object) -> str:
    """A slice whose control connection asks for what is given; the others ask for next to nothing."""
    little = {"security": "none", "bandwidth_mbps": 0.001, "latency_ms": 50, "protection": "none"}
    raw = raw_request("cdn", dict.fromkeys(("access", "backhaul"), little), cells=["cell1"], name=name)
    raw["connections"]["control"] = {"security": "qra", "bandwidth_mbps": 30, "latency_ms": 50} | control
    raw["compute"] |= {"vcpus": 0, "memory_gb": 0}
    bench.slices.create(parse_slice_request(raw))
    return f"{name}/cell1-control"


def test_what_does_not_fit_any_more_is_shared_out_by_priority_and_never_over_committed(bench: Bench) -> None:
    # Three wavelengths of class QRA and above, 100 Mbit/s each, carry all hops: six connections of three hops fit.
    ids = [make(bench, f"s{n}", priority=n, bandwidth_mbps=16) for n in range(6)]
    cuts = ["agg1-metro1-ch3", "agg1-metro1-ch4"]
    bench.maintenance.channels_changed(dict.fromkeys(cuts, False))
    states = [bench.model.connections[i].state for i in ids]
    network = bench.model.network
    for channel in bench.topology.channels:
        assert network.residual_kbps(channel.id) >= 0
    for wavelength in bench.topology.wavelengths:
        assert max(network.carried_kbps(wavelength.id)) <= 100_000
    assert states.count(ConnectionState.ACTIVE) == 2
    on_the_last = [i for i in ids if bench.model.connections[i].state is ConnectionState.ACTIVE]
    hit = [i for i in ids if bench.model.connections[i].reroutes or i not in on_the_last]
    served = [i for i in hit if i in on_the_last]
    assert not served or min(ids.index(i) for i in served) > max(ids.index(i) for i in hit if i not in served)
    for connection_id in ids:
        if connection_id not in on_the_last:
            reason = bench.model.connections[connection_id].reason
            assert reason is not None
            assert "wavelength at ch5" in str(reason)
    bench.maintenance.channels_changed(dict.fromkeys(cuts, True))
    assert all(bench.model.connections[i].state is ConnectionState.ACTIVE for i in ids)


def test_service_goes_before_protection(tmp_path: Path) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    make(bench, "guarded", priority=9, protection="1:1", bandwidth_mbps=60, security="qkd")
    make(bench, "plain", priority=0, bandwidth_mbps=40, security="qkd")
    guarded = bench.model.connections["guarded/cell1-control"]
    bench.cut(guarded.lanes[0].route.channels[0])
    plain = bench.model.connections["plain/cell1-control"]
    assert plain.state is ConnectionState.ACTIVE
    assert all(bench.model.network.residual_kbps(c.id) >= 0 for c in bench.topology.channels)


def test_a_backup_that_could_not_be_found_is_looked_for_again_when_something_comes_back(
    tmp_path: Path,
) -> None:
    bench = Bench(fibres_apart(), tmp_path / "db")
    connection_id = make(bench, "s", protection="1:1", security="qkd", bandwidth_mbps=1)
    first = bench.model.connections[connection_id]
    assert len(first.lanes) == 2  # ch4 and ch5
    cut = first.lanes[0].route.channels[0]
    bench.cut(cut)
    alone = bench.model.connections[connection_id]
    assert alone.state is ConnectionState.ACTIVE
    assert len(alone.lanes) == 1
    assert alone.reason is not None
    assert "without a backup" in str(alone.reason)
    bench.mend(cut)
    again = bench.model.connections[connection_id]
    assert (again.state, len(again.lanes), again.reason) == (ConnectionState.ACTIVE, 2, None)


def test_what_one_cut_would_take_with_the_working_path_is_no_backup(tmp_path: Path) -> None:
    """After a failure as at first: beside its fibre there is nothing, so it says that it runs without a backup."""
    bench = Bench(metro_ring(), tmp_path / "db")
    connection_id = make(bench, "s", protection="1:1", security="dh", bandwidth_mbps=1)
    lanes = bench.model.connections[connection_id].lanes
    into_cell = {lane.route.channels[0] for lane in lanes} | {lane.route.channels[-1] for lane in lanes}
    gone = next(c for c in lanes[0].route.channels if c in into_cell)
    fibre = bench.topology.channel(gone).risk_groups - {bench.topology.channel(gone).wavelength}
    bench.maintenance.channels_changed({c.id: False for c in bench.topology.channels if fibre <= c.risk_groups})
    alone = bench.model.connections[connection_id]
    assert (alone.state, len(alone.lanes)) == (ConnectionState.ACTIVE, 1)
    assert str(alone.reason) == "runs without a backup: every second way shares a risk with the first"
    bench.maintenance.channels_changed({c.id: True for c in bench.topology.channels if fibre <= c.risk_groups})
    again = bench.model.connections[connection_id]
    assert (again.state, len(again.lanes), again.reason) == (ConnectionState.ACTIVE, 2, None)


def test_each_reroute_leaves_a_proof_that_an_independent_check_accepts(bench: Bench, tmp_path: Path) -> None:
    connection_id = make(bench, "s")
    for n in range(KEPT_REROUTES + 3):
        connection = bench.model.connections[connection_id]
        assert connection.route is not None
        cut = connection.route.channels[n % len(connection.route.channels)]
        bench.cut(cut)
        bench.mend(cut)
    connection = bench.model.connections[connection_id]
    assert len(connection.reroutes) == KEPT_REROUTES
    asked = Asked.of(connection.request)
    for earlier, later in zip(connection.reroutes, connection.reroutes[1:], strict=False):
        assert later.old_path == earlier.new_path
        assert check(bench.topology, asked, later) == ()
    assert connection.route is not None
    assert connection.reroutes[-1].new_path == connection.route.channels
    restarted = bench.next_process()
    restarted.maintenance.load()
    assert restarted.model.connections[connection_id].reroutes == connection.reroutes


def test_the_check_finds_what_is_not_as_asked(bench: Bench) -> None:
    connection = bench.model.connections[make(bench, "s")]
    assert connection.route is not None
    path = connection.route.channels
    good = Reroute(
        0.0, path, path, tuple(bench.topology.channel(c).security.label for c in path), "qra", "qra", "failure"
    )
    asked = Asked.of(connection.request)
    assert check(bench.topology, asked, good) == ()
    lower = (path[0], path[1], path[2].replace("ch3", "ch2"))
    assert lower != path
    bad = {
        "class asked for": replace(good, new_path=lower, classes=("qra", "qra", "dh")),
        "not qra": replace(good, new_path=lower, classes=("qra", "qra", "qra")),
        "does not go on": replace(good, new_path=path[:1] + path[2:], classes=good.classes[:2]),
        "ends at": replace(good, new_path=path[:2], classes=good.classes[:2]),
        "no channel": replace(good, new_path=("nowhere", *path[1:])),
        "keys come from": replace(good, key_source="dh"),
        "classes are not": replace(good, classes=()),
    }
    for expected, reroute in bad.items():
        assert any(expected in wrong for wrong in check(bench.topology, asked, reroute)), expected


def test_edge_case_01_the_return_of_a_channel_moves_nothing_that_works(bench: Bench) -> None:
    connection_id = make(bench, "s")
    first = bench.model.connections[connection_id].route
    assert first is not None
    bench.cut(first.channels[0])
    second = bench.model.connections[connection_id].route
    bench.mend(first.channels[0])
    assert bench.model.connections[connection_id].route == second != first


def test_priority_is_part_of_the_request() -> None:
    spec = request_for("enterprise-app", {"control": {"priority": 7}}).specs
    assert sorted(s.priority for s in spec.values()) == [0, 0, 7]


def test_what_waits_is_tried_again_by_the_clock_when_there_is_room_and_nobody_told(tmp_path: Path) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    room = {"control": {"bandwidth_mbps": 60, "security": "qkd", "latency_ms": 60, "priority": 9}}
    bench.slices.create(request_for("enterprise-app", room, name="first", cells=["cell1"]))
    first = bench.model.connections["first/cell1-control"]
    assert first.route is not None
    room["control"]["priority"] = 0
    bench.slices.create(request_for("enterprise-app", room, name="second", cells=["cell1"]))
    second = bench.model.connections["second/cell1-control"]
    assert second.route is not None
    bench.cut(second.route.channels[0])
    assert bench.model.connections[second.id].state is ConnectionState.DEGRADED
    pass_time(bench, TRY_AGAIN_S)
    assert bench.model.connections[second.id].state is ConnectionState.DEGRADED
    bench.slices.delete("first")
    pass_time(bench, TRY_AGAIN_S)
    assert bench.model.connections[second.id].state is ConnectionState.ACTIVE


def test_what_switches_refused_is_tried_again_by_the_clock(bench: Bench) -> None:
    bench.slices.create(request_for("enterprise-app", cells=["cell1"]))
    one = bench.model.connections["enterprise-app/cell1-control"]
    assert one.route is not None
    bench.switches.refuse = lambda site, changes: "full" if changes.add else None
    bench.cut(one.route.channels[0])
    assert bench.model.connections[one.id].state is ConnectionState.DEGRADED
    bench.switches.refuse = lambda site, changes: None
    pass_time(bench, TRY_AGAIN_S)
    assert bench.model.connections[one.id].state is ConnectionState.ACTIVE


def test_nothing_is_tried_again_while_no_switch_is_there(bench: Bench) -> None:
    """After a restart all switches are away for a while: what waits must not be sent round all of them."""
    connection_id = make(bench, "s", protection="restoration", security="qkd", bandwidth_mbps=1)
    channels = ["agg1-metro1-ch4", "agg1-metro1-ch5"]
    bench.maintenance.channels_changed(dict.fromkeys(channels, False))
    assert bench.model.connections[connection_id].state is ConnectionState.DEGRADED
    ready = bench.switches.is_ready
    bench.switches.is_ready = lambda site: False  # type: ignore[method-assign]
    sent = bench.switches.sent
    bench.mend(channels[0])
    assert bench.model.connections[connection_id].state is ConnectionState.DEGRADED
    assert bench.switches.sent == sent
    bench.switches.is_ready = ready  # type: ignore[method-assign]
    bench.maintenance.retry()
    assert bench.model.connections[connection_id].state is ConnectionState.ACTIVE


def test_switches_that_do_not_answer_are_not_waited_for_over_and_over(tmp_path: Path) -> None:
    """Each attempt waits for barriers: with all of them REROUTING would last half a minute."""
    bench = Bench(metro_ring(), tmp_path / "db")
    connection_id = make(bench, "s", protection="restoration", security="dh", bandwidth_mbps=1)
    route = bench.model.connections[connection_id].lanes[0].route

    def answer_late(site: str, changes: Changes) -> str:
        bench.now += BARRIER_DEADLINE_S
        return "no answer to a barrier within 5 s"

    bench.switches.refuse = answer_late
    bench.cut(route.channels[0])
    assert bench.model.connections[connection_id].state is ConnectionState.DEGRADED
    states = [e.state.value.lower() for e in happened(bench, "connection") if e.connection == connection_id]
    assert states[:2] == ["rerouting", "degraded"]
    bench.switches.refuse = lambda site, changes: None
    pass_time(bench, TRY_AGAIN_S)
    assert bench.model.connections[connection_id].state is ConnectionState.ACTIVE
    bench.repair_all()
