"""Changing slices at work: what moves, what stays, what a failure leaves; the faults of others in between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.forwarding.intended import Changes
from controller.forwarding.items import Meter
from controller.model.errors import DriverError, ProvisioningFailed, SliceBusy, Superseded, UnknownSlice
from controller.model.events import SliceWarned
from controller.model.states import ConnectionState, SliceState
from controller.operations.context import InfeasibleRequest
from controller.persistence.sqlite_journal import Store
from controller.schema.slice_request import InvalidRequest, slice_request_to_dict
from controller.testing.checkpoints import CHANGE_CHECKPOINTS
from tests.support.controller_bench import Bench, request_for
from tests.support.small_networks import fibres_apart
from tests.unit.controller.operations.slices.test_slices import assert_delivers, packet_of
from topologies.catalog import metro_ring

NAME = "enterprise-app-protected"
WIDER: dict[str, Any] = {"connections": {"access": {"bandwidth_mbps": 15}}}
SAFER: dict[str, Any] = {"connections": {"control": {"security": "qra"}}}
ELSEWHERE: dict[str, Any] = {"compute": {"site": "agg1"}}
CHANGES = {
    "wider": WIDER,
    "narrower": {"connections": {"access": {"bandwidth_mbps": 1}}},
    "safer": SAFER,
    "in-the-clear": {"connections": {"control": {"security": "none"}}},
    "slower-keys": {"connections": {"backhaul": {"rekey_s": 9}}},
    "unprotected": {"connections": {"backhaul": {"protection": "restoration"}}},
    "protected": {"connections": {"access": {"protection": "1:1"}}},
    "elsewhere": ELSEWHERE,
    "all-at-once": {
        "compute": {"site": "agg1", "vcpus": 1},
        "connections": {"control": {"security": ["qkd", "qra"]}, "access": {"latency_ms": 9}},
    },
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(fibres_apart(), tmp_path / "db")
    made.slices.create(request_for("cdn"))
    return made


def whole(bench: Bench, name: str = NAME) -> None:
    """The slice works, and the journal, the switches and the agents hold what they should and no more."""
    record = bench.model.slice(name)
    assert record.state is SliceState.ACTIVE
    assert bench.model.retained == {}
    assert (record, bench.model.connections_of(name)) in bench.store.load()
    for connection in bench.model.connections_of(name):
        assert connection.state is ConnectionState.ACTIVE
        assert_delivers(bench, connection)
        assert [lane.generation for lane in bench.model.held_lanes[connection.id]] == [
            lane.generation for lane in connection.lanes
        ]
    told = {(s, c.id) for c in bench.model.connections.values() for s in (c.request.src, c.request.dst)}
    assert bench.tunnels.ends == told
    for site, held in bench.switches.held().items():
        assert held == bench.model.intended.at(site)
    assert set(bench.model.connections) == {i for r in bench.model.slices.values() for i in r.connection_ids}


def resources(bench: Bench) -> Any:
    """All but rules and labels, which depend on history."""
    network = bench.model.network
    return (
        {(c.id, end): network.reserved_kbps(c.id, end) for c in bench.topology.channels for end in c.ends},
        {s.id: network.reserved_key_millibps(s.id) for s in bench.topology.sections},
        {s: network.free_compute(s) for s in bench.topology.site_names},
    )


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_slice_holds_what_a_new_one_of_that_form_would(bench: Bench, tmp_path: Path, change: str) -> None:
    bench.slices.create(request_for(NAME))
    start = resources(bench)
    record = bench.slices.modify(NAME, CHANGES[change])
    whole(bench)
    assert "modified" in record.timings_ms
    other = Bench(fibres_apart(), tmp_path / "other")
    other.slices.create(request_for("cdn"))
    other.slices.create(record.request)
    assert resources(bench) == resources(other)
    bench.slices.modify(NAME, _inverse(CHANGES[change]))
    whole(bench)
    assert resources(bench) == start
    bench.slices.delete(NAME)
    bench.slices.delete("cdn")
    assert bench.state() == Bench(fibres_apart(), tmp_path / "empty").state()


def _inverse(patch: dict[str, Any]) -> dict[str, Any]:
    before = request_for(NAME)
    raw = slice_request_to_dict(before)

    def pick(part: dict[str, Any], of: dict[str, Any]) -> dict[str, Any]:
        return {k: pick(v, of[k]) if isinstance(v, dict) else of[k] for k, v in part.items()}

    return pick(patch, raw)


def test_a_packet_arrives_at_every_moment_of_a_change_and_the_others_are_not_touched(bench: Bench) -> None:
    """At each step, each connection delivers both ways: by its old way or by its new one."""
    bench.slices.create(request_for(NAME))
    bench.slices.modify(NAME, SAFER | WIDER)  # first, so that the way back is one too
    old = {c.id: c for c in bench.model.connections.values()}
    probes = [packet_of(bench, c, back) for c in old.values() for back in (False, True)]
    seen: list[str] = []

    def probe(step: str) -> None:
        seen.append(step)
        for site, packet in probes:
            assert len(bench.switches.send_packet(site, packet)[0]) == 1, (step, packet)

    bench.at_checkpoint = probe
    bench.slices.modify(
        NAME, {"connections": {"control": {"security": "dh"}, "access": {"exclude_channels": ["agg1-metro1-ch3"]}}}
    )
    assert tuple(seen) == CHANGE_CHECKPOINTS
    for connection in bench.model.connections_of("cdn"):
        assert connection is old[connection.id]


def test_only_what_asks_for_something_new_moves(bench: Bench) -> None:
    bench.slices.create(request_for(NAME))
    before = {c.id: c for c in bench.model.connections_of(NAME)}
    bench.slices.modify(NAME, WIDER)
    for connection in bench.model.connections_of(NAME):
        if connection.request.key != "access":
            assert connection is before[connection.id]
    meters = [i for items in bench.switches.held().values() for i in items if isinstance(i, Meter)]
    assert sum(m.rate_kbps == 15_000 for m in meters) == 4


def test_another_placement_gives_other_connections_under_the_same_names(bench: Bench) -> None:
    bench.slices.create(request_for(NAME))
    before = {c.request.name: c for c in bench.model.connections_of(NAME)}
    record = bench.slices.modify(NAME, ELSEWHERE)
    assert record.compute_site == "agg1"
    after = {c.request.name: c for c in bench.model.connections_of(NAME)}
    assert after.keys() == before.keys()
    for name, connection in after.items():
        is_moved = "compute" in name
        assert (connection.id, connection.number) == (
            (f"{before[name].id}@1", connection.number) if is_moved else (before[name].id, before[name].number)
        )
        assert (connection.src_address == before[name].src_address) is not is_moved


def test_what_its_own_reservation_makes_possible_fits(bench: Bench) -> None:
    """Twice what is left on the channels, but not more than what is left and what the slice has."""
    bench.slices.create(request_for(NAME, {"access": {"bandwidth_mbps": 30}}, cells=["cell1"]))
    bench.slices.modify(NAME, {"connections": {"access": {"bandwidth_mbps": 45}}})
    whole(bench)


def test_what_does_not_fit_is_explained_and_the_slice_stays_as_it_is(bench: Bench) -> None:
    bench.slices.create(request_for(NAME))
    before, connections = bench.state(), dict(bench.model.connections)
    with pytest.raises(InfeasibleRequest) as caught:
        bench.slices.modify(NAME, {"connections": {"access": {"bandwidth_mbps": 5000}}})
    assert {r.constraint for r in caught.value.infeasible.reasons} == {"bandwidth"}
    assert bench.state() == before
    assert all(bench.model.connections[i] is c for i, c in connections.items())
    with pytest.raises(InfeasibleRequest):
        bench.slices.plan_change(NAME, {"connections": {"access": {"bandwidth_mbps": 5000}}})
    plan = bench.slices.plan_change(NAME, WIDER)
    assert plan.compute_site == "metro1"
    assert bench.state() == before


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"name": "other"}, "name"),
        ({"cells": ["cell1"]}, "cells"),
        ({"core": "agg1"}, "core"),
        ({"colour": 1}, "colour"),
        ({"connections": {"access": {"bandwidth_mbps": -1}}}, "connections.access.bandwidth_mbps"),
        ({"connections": {"access": {"security": ["qra", "none"]}}}, "connections.access.security"),
        ({"connections": {"access": None}}, "connections.access"),
        ({"compute": {"site": "nowhere"}}, "compute.site"),
        ({"end": "2001-01-01T00:00:00Z"}, "end"),
        ([], "request"),
        (None, "request"),
    ],
)
def test_a_wrong_patch_names_the_field_and_changes_nothing(bench: Bench, patch: Any, field: str) -> None:
    bench.slices.create(request_for(NAME))
    before = bench.state()
    with pytest.raises(InvalidRequest) as caught:
        bench.slices.modify(NAME, patch)
    assert caught.value.problems[0][0] == field
    assert bench.state() == before


def test_a_slice_that_is_not_there_or_not_at_work_cannot_be_changed(bench: Bench) -> None:
    with pytest.raises(UnknownSlice):
        bench.slices.modify("nobody", WIDER)
    bench.slices.reserve(request_for(NAME))
    with pytest.raises(SliceBusy, match="RESERVED"):
        bench.slices.modify(NAME, WIDER)


def nth_send_fails(n: int) -> Callable[[str, Changes], str | None]:
    count = 0

    def refuse(site: str, changes: Changes) -> str | None:
        nonlocal count
        count += 1
        return "injected" if count == n and (changes.add or changes.replace) else None

    return refuse


@pytest.mark.parametrize("change", ["safer", "elsewhere", "all-at-once", "in-the-clear", "wider"])
@pytest.mark.parametrize("n", range(1, 9))
def test_whichever_switch_refuses_the_slice_is_what_it_was(bench: Bench, change: str, n: int) -> None:
    bench.slices.create(request_for(NAME))
    request, start = bench.model.slice(NAME).request, resources(bench)
    bench.switches.refuse = nth_send_fails(n)
    with contextlib.suppress(ProvisioningFailed):
        bench.slices.modify(NAME, CHANGES[change])
        start, request = resources(bench), bench.model.slice(NAME).request
    assert bench.model.slice(NAME).request == request
    assert resources(bench) == start
    bench.switches.refuse = lambda site, changes: None
    bench.repair_all()
    whole(bench)
    bench.slices.delete(NAME)


@pytest.mark.parametrize(("change", "op"), [("safer", "modify"), ("elsewhere", "add"), ("elsewhere", "wait_up"),
                                            ("in-the-clear", "add"), ("safer", "wait_up")])  # fmt: skip
def test_whichever_agent_refuses_the_slice_is_what_it_was(bench: Bench, change: str, op: str) -> None:
    bench.slices.create(request_for(NAME))
    request, start = bench.model.slice(NAME).request, resources(bench)
    bench.tunnels.fail = lambda did, site, _: DriverError("dry") if did == op else None
    with pytest.raises(ProvisioningFailed, match="dry"):
        bench.slices.modify(NAME, CHANGES[change])
    bench.tunnels.fail = lambda did, site, _: None
    bench.maintenance.restore_tunnels()
    assert bench.model.slice(NAME).request == request
    assert resources(bench) == start
    whole(bench)


@pytest.mark.parametrize("step", CHANGE_CHECKPOINTS[1:-1])
@pytest.mark.parametrize("change", ["safer", "elsewhere"])
def test_a_delete_at_any_moment_of_a_change_wins(bench: Bench, step: str, change: str) -> None:
    start = bench.state()
    bench.slices.create(request_for(NAME))

    def delete(reached: str) -> None:
        if reached == step:
            bench.slices.delete(NAME)

    bench.at_checkpoint = delete
    with pytest.raises(Superseded):
        bench.slices.modify(NAME, CHANGES[change])
    assert bench.state() == start


@pytest.mark.parametrize("step", CHANGE_CHECKPOINTS[1:])
@pytest.mark.parametrize("change", ["safer", "elsewhere", "protected"])
@pytest.mark.parametrize("agent", ["works", "refuses"])
def test_a_cut_at_any_moment_of_a_change_is_healed(bench: Bench, step: str, change: str, agent: str) -> None:
    bench.slices.create(request_for(NAME))
    cuts = ["agg1-metro1-ch3", "cell1-agg1-ch2"]

    def cut(reached: str) -> None:
        if reached == step:
            for channel in cuts:
                bench.cut(channel)

    bench.at_checkpoint = cut
    if agent == "refuses":
        bench.tunnels.fail = lambda did, site, _: DriverError("dry") if did in ("wait_up", "modify") else None
    try:
        bench.slices.modify(NAME, CHANGES[change])
    except ProvisioningFailed:
        assert agent == "refuses"
    bench.tunnels.fail = lambda did, site, _: None
    bench.maintenance.restore_tunnels()
    bench.maintenance.heal()
    bench.maintenance.retry()
    bench.repair_all()
    whole(bench)
    down = {c for c in cuts if not bench.model.network.is_channel_up(c)}
    for connection in bench.model.connections_of(NAME):
        assert connection.route is not None
        assert not down & set(connection.route.channels)
    for name in ("cdn", NAME):
        bench.slices.delete(name)
    assert not any(bench.model.network.reserved_kbps(c.id) for c in bench.topology.channels)


@pytest.mark.parametrize("step", CHANGE_CHECKPOINTS)
@pytest.mark.parametrize("change", ["safer", "elsewhere", "in-the-clear"])
def test_the_next_process_finds_the_old_form_or_the_new_one(bench: Bench, step: str, change: str) -> None:
    bench.slices.create(request_for(NAME))
    old = bench.model.slice(NAME).request

    def die(reached: str) -> None:
        if reached == step:
            raise KeyboardInterrupt

    bench.at_checkpoint = die
    with pytest.raises(KeyboardInterrupt):
        bench.slices.modify(NAME, CHANGES[change])
    after = bench.next_process()
    after.maintenance.load()
    after.maintenance.refresh_keys()
    after.maintenance.recover()
    after.repair_all()
    whole(after)
    is_new = CHANGE_CHECKPOINTS.index(step) >= CHANGE_CHECKPOINTS.index("change.9-journalled-new")
    assert (after.model.slice(NAME).request != old) is is_new
    after.slices.delete(NAME)


def test_a_journal_that_cannot_be_written_stops_the_change(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.slices.create(request_for(NAME))
    before = bench.state()

    def full(*_: Any) -> None:
        raise DriverError("database or disk is full")

    for patch in (WIDER, SAFER, ELSEWHERE):
        monkeypatch.setattr(Store, "save", full)
        with pytest.raises(DriverError, match="full"):
            bench.slices.modify(NAME, patch)
        monkeypatch.undo()
        assert bench.state() == before
    whole(bench)


def test_a_degraded_slice_can_be_changed_into_one_that_works(tmp_path: Path) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    request = request_for(NAME, {"backhaul": {"protection": "restoration"}})
    bench.slices.create(request)
    bench.key_rates.unusable = frozenset(bench.key_rates.section_ids)
    bench.maintenance.refresh_keys()
    backhaul = next(c for c in bench.model.connections_of(NAME) if c.request.key == "backhaul")
    assert backhaul.route is not None
    bench.cut(backhaul.route.channels[0])
    assert bench.model.slice(NAME).state is SliceState.DEGRADED
    bench.slices.modify(NAME, {"connections": {"backhaul": {"security": "qra"}}})
    whole(bench)


def test_a_connection_that_waits_for_keys_is_tried_again_when_there_are_some(tmp_path: Path) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    bench.slices.create(request_for(NAME, {"backhaul": {"protection": "restoration"}}))
    follower = bench.events.follow()
    backhaul = next(c for c in bench.model.connections_of(NAME) if c.request.key == "backhaul")
    assert backhaul.route is not None
    bench.key_rates.unusable = frozenset(bench.key_rates.section_ids)
    bench.maintenance.poll_keys()
    events = []
    while (event := follower.next(0)) is not None:
        events.append(event)
    warned = [e.what for e in events if isinstance(e.what, SliceWarned)]
    assert {e.section for e in warned} == {s for s, _ in backhaul.route.key_sections}
    assert all(e.slice == NAME and e.connections == (backhaul.id,) and "gives no keys" in e.reason for e in warned)
    bench.cut(backhaul.route.channels[0])
    assert bench.model.connections[backhaul.id].state is ConnectionState.DEGRADED
    bench.key_rates.unusable = frozenset()
    bench.maintenance.refresh_keys()  # as a create in between would
    bench.maintenance.poll_keys()
    assert bench.model.connections[backhaul.id].state is ConnectionState.ACTIVE
    bench.maintenance.poll_keys()  # and its keys are renewed as asked
    whole(bench)
