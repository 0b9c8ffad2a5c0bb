"""Slices of any shape live like the others: made, healed, changed, restored and removed; each direction by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.forwarding.items import Meter
from controller.forwarding.tunnel_endpoint import endpoint_at
from controller.model.states import ConnectionState, SliceState
from controller.operations.context import InfeasibleRequest
from controller.schema.slice_request import parse_slice_request
from tests.support.controller_bench import Bench, raw_request, request_for
from tests.support.small_networks import fibres_apart
from tests.unit.controller.policy.test_changes import resources, whole
from topologies.spec import SecurityClass

NAME = "ring"
CHANGES: dict[str, dict[str, Any]] = {
    "narrower": {"agg-metro": {"bandwidth_mbps": 1}},
    "more-back": {"agg-core": {"reverse_bandwidth_mbps": 20}},
    "turned-round": {"agg-core": {"bandwidth_mbps": 10, "reverse_bandwidth_mbps": 2}},
    "elsewhere": {"agg-metro": {"to": "core1"}},
    "added": {"up": {"from": "cell1", "to": "cell2", "security": "qra", "bandwidth_mbps": 1, "latency_ms": 20}},
    "taken-away": {"metro-core": None},
    "less-compute": {"agg-metro": {"compute": {"to": {"vcpus": 1}, "from": None}}},
    "protected": {"agg-core": {"protection": "1:1"}},
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(fibres_apart(), tmp_path / "db")


def test_each_direction_is_reserved_metered_and_told_to_the_agents_by_itself(bench: Bench) -> None:
    record = bench.slices.create(request_for(NAME))
    assert (record.state, record.compute_site) == (SliceState.ACTIVE, None)
    connection = bench.model.connections["ring/agg-core"]
    (lane,) = connection.lanes
    network, route = bench.model.network, lane.route
    ways = list(zip(route.channels, route.sites[:-1], route.sites[1:], strict=True))
    before = [(network.reserved_kbps(c, near), network.reserved_kbps(c, far)) for c, near, far in ways]
    bench.slices.modify(NAME, {"connections": {"agg-core": None}})
    after = [(network.reserved_kbps(c, near), network.reserved_kbps(c, far)) for c, near, far in ways]
    freed = [(a[0] - b[0], a[1] - b[1]) for a, b in zip(before, after, strict=True)]
    assert freed == [(2_000, 10_000)] * len(ways)
    ends = {site: endpoint_at(bench.topology, connection, site).rate_kbps for site in ("agg1", "core1")}
    assert ends == {"agg1": 2_000, "core1": 10_000}


def test_the_meters_let_through_what_was_asked_for_in_each_direction(bench: Bench) -> None:
    bench.slices.create(request_for(NAME))
    number = bench.model.connections["ring/agg-core"].number + 1
    rates = {
        site: item.rate_kbps
        for site, held in bench.switches.held().items()
        for item in held
        if isinstance(item, Meter) and item.id == number
    }
    assert rates == {"agg1": 2_000, "core1": 10_000}


def test_compute_is_taken_at_the_ends_that_need_it_and_given_back(bench: Bench) -> None:
    network = bench.model.network
    before = {site: network.free_compute(site) for site in bench.topology.site_names}
    bench.slices.create(request_for(NAME))
    taken = {
        site: (before[site][0] - network.free_compute(site)[0], before[site][1] - network.free_compute(site)[1])
        for site in before
    }
    assert {site: need for site, need in taken.items() if need != (0, 0)} == {"agg1": (1, 2), "metro1": (2, 4)}
    bench.slices.delete(NAME)
    assert {site: network.free_compute(site) for site in bench.topology.site_names} == before


def test_needs_of_several_connections_at_one_site_add_up_and_what_is_missing_is_told(bench: Bench) -> None:
    raw = raw_request(NAME)
    free = bench.model.network.free_compute("metro1")[0]
    raw["connections"][1]["compute"] = {"from": {"vcpus": free - 1}}
    with pytest.raises(InfeasibleRequest) as caught:
        bench.slices.create(parse_slice_request(raw))
    (reason,) = caught.value.infeasible.reasons
    assert (reason.constraint, reason.where, reason.needed, reason.available) == (
        "compute",
        "metro1 vcpus",
        free + 1,
        free,
    )
    nearest = {n.field: n.value for n in caught.value.infeasible.nearest}
    assert nearest == {
        "connections.agg-metro.compute.to.vcpus": 1,
        "connections.metro-core.compute.from.vcpus": free - 2,
    }


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_slice_holds_what_a_new_one_of_that_form_would(bench: Bench, tmp_path: Path, change: str) -> None:
    before = bench.slices.create(request_for(NAME))
    start = resources(bench)
    record = bench.slices.modify(NAME, {"connections": CHANGES[change]})
    whole(bench, NAME)
    other = Bench(fibres_apart(), tmp_path / "other")
    other.slices.create(record.request)
    assert resources(bench) == resources(other)
    raw = raw_request(NAME)["connections"]
    assert bench.slices.modify(NAME, {"connections": raw}).request == before.request
    whole(bench, NAME)
    assert resources(bench) == start
    bench.slices.delete(NAME)
    assert bench.state() == Bench(fibres_apart(), tmp_path / "empty").state()


def test_a_change_that_fails_leaves_everything_as_it_was(bench: Bench) -> None:
    bench.slices.create(request_for(NAME))
    before = bench.state()
    with pytest.raises(InfeasibleRequest) as caught:
        bench.slices.modify(NAME, {"connections": {"agg-core": {"reverse_bandwidth_mbps": 900_000}}})
    (reason,) = caught.value.infeasible.reasons
    assert (reason.connection, reason.constraint) == ("ring/agg-core", "reverse_bandwidth")
    assert [n.field for n in caught.value.infeasible.nearest] == ["connections.agg-core.reverse_bandwidth_mbps"]
    assert bench.state() == before


def test_a_cut_is_healed_in_both_directions_and_a_restart_knows_it(bench: Bench) -> None:
    bench.slices.create(request_for(NAME))
    cut = bench.model.connections["ring/agg-core"].lanes[0].route.channels[0]
    bench.cut(cut)
    healed = bench.model.connections["ring/agg-core"]
    assert healed.state is ConnectionState.ACTIVE
    assert cut not in healed.lanes[0].route.channels
    whole(bench, NAME)
    after = Bench(fibres_apart(), bench.database)
    after.maintenance.load()
    assert resources(after)[0] == resources(bench)[0]
    assert resources(after)[2] == resources(bench)[2]
    assert after.model.slice(NAME).request == request_for(NAME)


def test_a_dry_run_tells_what_it_would_take_on_a_channel_that_is_fuller_the_other_way(bench: Bench) -> None:
    link = {"name": "c", "from": "agg1", "to": "metro1", "security": "dh", "latency_ms": 50}
    link |= {"include_channels": ["agg1-metro1-ch2"]}
    asked = {
        "name": "up",
        "sNSSAI": {"sst": 1},
        "connections": [link | {"bandwidth_mbps": 9, "reverse_bandwidth_mbps": 1}],
    }
    bench.slices.create(parse_slice_request(asked))
    back = {"name": "down", "connections": [link | {"bandwidth_mbps": 2, "reverse_bandwidth_mbps": 5}]}
    assert bench.slices.preview(parse_slice_request(asked | back)).bandwidth_kbps == {"agg1-metro1-ch2": 5_000}
    assert bench.model.network.reserved_kbps("agg1-metro1-ch2", "metro1") == 1_000


def test_what_goes_up_does_not_take_the_room_of_what_comes_down(bench: Bench) -> None:
    """Two slices fit on a channel that either would fill if it were reserved alike in both directions."""
    channel = next(c for c in bench.topology.channels if c.security is SecurityClass.DH)
    most, ends = channel.capacity_mbps, {"from": channel.a, "to": channel.b}
    for name, there, back in (("up", most - 1, 1), ("down", 1, most - 1)):
        link = {"name": "c", **ends, "security": "dh", "latency_ms": 50, "include_channels": [channel.id]}
        link |= {"bandwidth_mbps": there, "reverse_bandwidth_mbps": back}
        bench.slices.create(parse_slice_request({"name": name, "sNSSAI": {"sst": 1}, "connections": [link]}))
    network = bench.model.network
    assert [network.residual_kbps(channel.id, end) for end in channel.ends] == [0, 0]
