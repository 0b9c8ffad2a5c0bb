"""Dark channels are lit for those without a way, tried before they are used, and put out when they are not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.forwarding.items import CONTROLLER_PORT, Output
from controller.model.dark_channel import Spare, SpareState
from controller.model.events import SpareChanged
from controller.model.states import ConnectionState
from controller.northbound.views.network import topology_view
from controller.operations.healing.channel_activation import RETEST_S
from controller.policy.dark_channels import Holding
from controller.schema.config import DEFAULT_HOLD_S
from controller.schema.slice_request import parse_slice_request
from tests.support.controller_bench import Bench, raw_request
from topologies.catalog import metro_ring
from topologies.spec import Topology

TIERS = (("agg1", "metro1"), ("agg1", "metro2"), ("agg2", "metro2"), ("agg2", "metro3"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(metro_ring(), tmp_path / "db")


def between(topology: Topology, *pairs: tuple[str, str]) -> dict[str, bool]:
    return {c.id: False for c in topology.channels if c.ends in pairs and not c.dark}


def split(bench: Bench) -> dict[str, bool]:
    """The access tiers lose every fibre to the rest."""
    cut = between(bench.topology, *TIERS)
    bench.switches.dead |= set(cut)
    bench.maintenance.channels_changed(cut)
    return cut


def mend(bench: Bench, cut: dict[str, bool]) -> None:
    bench.switches.dead -= set(cut)
    bench.maintenance.channels_changed(dict.fromkeys(cut, True))


def pass_time(bench: Bench, seconds: float) -> None:
    bench.maintenance.run_due()
    bench.now += seconds
    bench.maintenance.run_due()


def make(bench: Bench, name: str = "s", **control: Any) -> str:
    little = {"security": "none", "bandwidth_mbps": 0.001, "latency_ms": 50, "protection": "none"}
    raw = raw_request("cdn", dict.fromkeys(("access", "backhaul"), little), cells=["cell1"], name=name)
    raw["connections"]["control"] = {"security": "qra", "bandwidth_mbps": 10, "latency_ms": 50} | control
    raw["compute"] |= {"vcpus": 0, "memory_gb": 0, "site": "agg1"}
    bench.slices.create(parse_slice_request(raw))
    return f"{name}/cell1-control"


def lit(bench: Bench) -> set[str]:
    return {c for c, spare in bench.model.spares.items() if spare.state is SpareState.LIT}


def states(bench: Bench) -> dict[str, str]:
    view = topology_view(bench.model.network, {}, {})
    return {c["id"]: c["state"] for c in view["channels"]}


def happened(bench: Bench, kind: str) -> list[Any]:
    follower = bench.events.follow(0)
    found = []
    while (event := follower.next(0)) is not None:
        if event.what.kind == kind:
            found.append(event.what)
    bench.events.unfollow(follower)
    return found


def test_a_spare_is_known_and_not_used_until_it_is_needed(bench: Bench) -> None:
    connection = bench.model.connections[make(bench, security="qkd")]
    assert {c for c, state in states(bench).items() if state == "dark"} == bench.channel_ports.dark
    assert len(bench.channel_ports.dark) == 4
    assert connection.route is not None
    assert bench.channel_ports.dark.isdisjoint(connection.route.channels)
    # Its ports are down: no failure, nothing to be healed or brought back.
    before = bench.state()
    bench.maintenance.channels_changed(dict.fromkeys(bench.channel_ports.dark, True))
    assert bench.state() == before


def test_a_split_network_is_joined_by_the_cheapest_spare_and_put_right_when_it_is_mended(bench: Bench) -> None:
    connection_id = make(bench)
    before = bench.model.connections[connection_id].route
    cut = split(bench)
    connection = bench.model.connections[connection_id]
    assert connection.state is ConnectionState.ACTIVE
    assert connection.route is not None
    assert "agg2-metro1-qra" in connection.route.channels
    assert lit(bench) == {"agg2-metro1-qra"}
    assert states(bench)["agg2-metro1-qra"] == "up"
    assert bench.channel_ports.dark == {"agg1-metro3-qra", "agg1-metro3-qkd", "agg2-metro1-qkd"}
    assert connection.reroutes[-1].cause == "spare"
    arrived, crossed = bench.switches.send_packet("cell1", ingress(bench, connection_id))
    assert [host for host, _ in arrived] == [connection.request.dst]
    assert crossed == list(connection.route.channels)

    mend(bench, cut)
    assert lit(bench) == {"agg2-metro1-qra"}  # a while longer: the fibre may fail again
    pass_time(bench, DEFAULT_HOLD_S - 1)
    assert lit(bench) == {"agg2-metro1-qra"}
    pass_time(bench, 2)
    connection = bench.model.connections[connection_id]
    assert not lit(bench)
    assert len(bench.channel_ports.dark) == 4
    assert connection.state is ConnectionState.ACTIVE
    assert connection.route == before
    assert connection.reroutes[-1].cause == "spare-put-out"
    assert [(e.channel, e.state.value) for e in happened(bench, "spare")] == [
        ("agg2-metro1-qra", "lighting"), ("agg2-metro1-qra", "lit"), ("agg2-metro1-qra", "dark"),
    ]  # fmt: skip
    bench.repair_all()
    assert not happened(bench, "violation")


def test_the_spare_has_the_class_that_is_asked_for(bench: Bench) -> None:
    connection_id = make(bench, security="qkd")
    split(bench)
    connection = bench.model.connections[connection_id]
    assert connection.state is ConnectionState.ACTIVE
    assert lit(bench) == {"agg2-metro1-qkd"}


def test_one_spare_that_serves_everybody_is_better_than_two(bench: Bench) -> None:
    ids = [make(bench, "a", security="qra", bandwidth_mbps=40), make(bench, "b", security="qkd", bandwidth_mbps=40)]
    split(bench)
    assert {bench.model.connections[i].state for i in ids} == {ConnectionState.ACTIVE}
    assert lit(bench) == {"agg2-metro1-qkd"}


def test_two_are_lit_when_one_cannot_carry_them_all(bench: Bench) -> None:
    ids = [make(bench, name, bandwidth_mbps=60) for name in ("a", "b")]
    split(bench)
    assert {bench.model.connections[i].state for i in ids} == {ConnectionState.ACTIVE}
    assert lit(bench) == {"agg2-metro1-qra", "agg1-metro3-qra"}


def test_what_no_spare_can_carry_is_degraded_and_says_which_new_link_would_heal_it(bench: Bench) -> None:
    connection_id = make(bench, match="exact", security="dh", bandwidth_mbps=20)
    split(bench)
    connection = bench.model.connections[connection_id]
    assert connection.state is ConnectionState.DEGRADED
    assert not lit(bench)
    assert "a new dh channel of 20 Mbit/s between agg2 and metro3 (21 km) would heal it" in str(connection.reason)


def test_a_broken_spare_is_found_out_before_anything_is_sent_over_it(bench: Bench) -> None:
    bench.channel_ports.broken = {"agg2-metro1-qra"}
    connection_id = make(bench)
    split(bench)
    connection = bench.model.connections[connection_id]
    assert connection.state is ConnectionState.ACTIVE
    assert lit(bench) == {"agg1-metro3-qra"}
    assert bench.model.spares["agg2-metro1-qra"].fault == "no carrier"
    assert "agg2-metro1-qra" in bench.channel_ports.dark
    assert SpareChanged("agg2-metro1-qra", SpareState.DARK, "no carrier") in happened(bench, "spare")


def test_a_broken_spare_is_tried_again_after_a_while(bench: Bench) -> None:
    bench.channel_ports.broken = set(bench.channel_ports.dark)
    connection_id = make(bench)
    split(bench)
    assert bench.model.connections[connection_id].state is ConnectionState.DEGRADED
    assert len(bench.channel_ports.dark) == 4
    bench.channel_ports.broken = set()
    pass_time(bench, RETEST_S / 2)
    assert bench.model.connections[connection_id].state is ConnectionState.DEGRADED
    pass_time(bench, RETEST_S / 2)
    assert bench.model.connections[connection_id].state is ConnectionState.ACTIVE


@pytest.mark.parametrize("fallback", [[], ["none"]])
def test_what_fails_while_a_spare_is_being_lit_is_served_as_well(bench: Bench, fallback: list[str]) -> None:
    first = make(bench, "a", security="qkd")
    second = make(bench, "b", security="qra", match="exact", fallback=fallback)
    everything = list(between(bench.topology, *TIERS))
    qra = [c for c in everything if c.endswith("-qra")]
    bench.channel_ports.meanwhile = lambda: bench.maintenance.channels_changed(dict.fromkeys(qra, False))
    bench.maintenance.channels_changed(dict.fromkeys([c for c in everything if c not in qra], False))
    for connection_id in (first, second):
        connection = bench.model.connections[connection_id]
        assert connection.state is ConnectionState.ACTIVE
        assert connection.fallback is None
    assert lit(bench) == {"agg2-metro1-qkd", "agg2-metro1-qra"}
    assert not happened(bench, "fallback_used")


def test_a_lit_spare_that_fails_is_like_any_other_channel(bench: Bench) -> None:
    connection_id = make(bench)
    split(bench)
    bench.switches.dead.add("agg2-metro1-qra")
    bench.cut("agg2-metro1-qra")
    connection = bench.model.connections[connection_id]
    assert connection.state is ConnectionState.ACTIVE
    assert connection.route is not None
    assert "agg1-metro3-qra" in connection.route.channels
    pass_time(bench, DEFAULT_HOLD_S)
    assert lit(bench) == {"agg1-metro3-qra"}


def test_a_lit_spare_stays_lit_over_a_restart_while_it_is_used(bench: Bench) -> None:
    connection_id = make(bench)
    cut = split(bench)
    after = bench.next_process()
    after.maintenance.load()
    assert after.maintenance.lit_spares() == ("agg2-metro1-qra",)
    assert after.model.network.is_channel_up("agg2-metro1-qra")
    after.maintenance.channels_changed(cut)
    connection = after.model.connections[connection_id]
    assert connection.state is ConnectionState.ACTIVE
    assert connection.route is not None
    assert "agg2-metro1-qra" in connection.route.channels
    mend(after, cut)
    pass_time(after, DEFAULT_HOLD_S)
    assert not lit(after)


def test_nothing_is_left_on_the_switches_by_a_trial(bench: Bench) -> None:
    make(bench)
    split(bench)
    for site, items in bench.switches.held().items():
        assert not any(Output(CONTROLLER_PORT) in getattr(i, "actions", ()) for i in items), site
    bench.repair_all()


def test_a_spare_that_is_not_needed_is_put_out_after_the_hold_time_without_interruption() -> None:
    holding = Holding(5.0)
    assert holding.due({"a"}, 0.0) == ()
    assert holding.due({"a", "b"}, 4.9) == ()
    assert holding.due({"a", "b"}, 5.0) == ("a",)
    assert holding.due({"b"}, 6.0) == ()
    assert holding.due({"a", "b"}, 10.0) == ("b",)


def test_a_spare_goes_through_its_states_in_order() -> None:
    with pytest.raises(ValueError, match="dark cannot become lit"):
        Spare().become(SpareState.LIT)


def ingress(bench: Bench, connection_id: str) -> dict[str, int | str]:
    connection = bench.model.connections[connection_id]
    topology = bench.topology
    return {
        "eth_type": 0x0800, "ip_proto": 17,
        "ipv4_src": topology.host(connection.request.src).data_address,
        "ipv4_dst": topology.host(connection.request.dst).data_address,
        "udp_src": connection.tunnel_port, "udp_dst": connection.tunnel_port,
    }  # fmt: skip
