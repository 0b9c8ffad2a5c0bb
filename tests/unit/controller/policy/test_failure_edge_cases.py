"""What others learned the hard way about failures, each as a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.forwarding.intended import Changes
from controller.model.connection import Connection
from controller.model.states import ConnectionState
from controller.monitoring.link_state import LinkMonitor, PortReport
from tests.support.controller_bench import Bench, request_for
from tests.support.fake_switches import Packet
from topologies.catalog import metro_ring, ukqntel


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(metro_ring(), tmp_path / "db")


def control(bench: Bench, **fields: object) -> Connection:
    bench.slices.create(request_for("enterprise-app", {"control": {"latency_ms": 50, **fields}}, cells=["cell1"]))
    return bench.model.connections["enterprise-app/cell1-control"]


def test_edge_case_01_a_flap_counts_as_up_only_when_it_has_lasted() -> None:
    topology = ukqntel()
    links = LinkMonitor(topology, hold_down_s=1.0)
    port = topology.port_of("cell1", "cell1-agg1-ch3").number
    down, up = {"cell1-agg1-ch3": False}, {"cell1-agg1-ch3": True}
    assert links.report("cell1", port, is_live=False, now=10.0) == down
    for n in range(20):  # ends up, with equal times among them
        links.report("cell1", port, is_live=bool(n % 2), now=10.0 + (n // 2) * 0.1)
    assert links.due(11.0) == {}
    assert links.due(11.95) == up
    assert links.report("cell1", port, is_live=False, now=20.0) == down
    links.report("cell1", port, is_live=True, now=20.1)
    links.report("cell1", port, is_live=False, now=20.1)  # ends down, at the same time
    assert links.due(30.0) == {}
    assert not links.is_up("cell1-agg1-ch3")


def test_edge_case_04_one_that_is_refused_does_not_keep_the_others_of_the_event_from_moving(bench: Bench) -> None:
    connection = control(bench, bandwidth_mbps=1)
    bench.slices.create(request_for("enterprise-app", name="second", cells=["cell1"]))
    other = bench.model.connections["second/cell1-control"]
    assert connection.route is not None
    assert other.route is not None
    shared = next(c for c in connection.route.channels if c in other.route.channels)

    def refuse(site: str, changes: Changes) -> str | None:
        adds = [i for i in changes.add if hasattr(i, "cookie")]
        return "full" if any(i.cookie >> 24 & 0xFFFFFF == connection.number + 1 for i in adds) else None

    bench.switches.refuse = refuse
    bench.cut(shared)
    moved = bench.model.connections[other.id]
    assert moved.state in (ConnectionState.ACTIVE, ConnectionState.DEGRADED)
    assert moved.route is None or shared not in moved.route.channels
    assert all(c.state is not ConnectionState.REROUTING for c in bench.model.connections.values())


def test_edge_case_06_a_switch_that_comes_back_bare_is_filled_by_difference_and_nothing_moves(bench: Bench) -> None:
    control(bench, protection="1:1")
    before = {c.id: c.lanes for c in bench.model.connections.values()}
    held = bench.switches.held()
    bench.switches.tables["agg1"].items.clear()
    bench.repair_all()
    assert bench.switches.held() == held
    assert {c.id: c.lanes for c in bench.model.connections.values()} == before


def test_edge_case_07_when_the_new_way_cannot_be_installed_the_third_is_tried(bench: Bench) -> None:
    connection = control(bench)
    assert connection.route is not None
    bench.cut(connection.route.channels[1])
    second = bench.model.connections[connection.id].route
    assert second is not None
    bench.mend(connection.route.channels[1])
    refusing = next(s for s in second.sites[1:-1])
    bench.switches.refuse = lambda site, changes: "full" if site == refusing and changes.add else None
    bench.cut(second.channels[0])
    third = bench.model.connections[connection.id]
    if third.route is not None:
        assert refusing not in third.route.sites
        assert third.state is ConnectionState.ACTIVE
    else:
        assert third.state is ConnectionState.DEGRADED


def test_edge_case_08_a_switch_compared_in_the_midst_of_a_reroute_keeps_both_ways(bench: Bench) -> None:
    connection = control(bench, protection="1:1")
    site = connection.lanes[0].route.sites[1]
    bench.maintenance.reconcile(site, lambda: bench.switches.held()[site])
    during: list[bool] = []
    send = bench.switches.send

    def compare_after_sending(changes: dict[str, Changes]) -> object:
        pending = send(changes)
        difference = bench.model.intended.difference(site, bench.switches.held()[site])
        during.append(not difference.excess)
        return pending

    bench.switches.send = compare_after_sending  # type: ignore[assignment, method-assign]
    bench.cut(connection.lanes[0].route.channels[1])
    assert len(during) >= 3
    assert all(during)


def test_edge_case_19_a_fault_of_one_channel_is_no_fault_of_those_beside_it(tmp_path: Path) -> None:
    bench = Bench(ukqntel(), tmp_path / "db")
    bench.cut("cell1-agg1-ch3")
    up = {c.id for c in bench.topology.channels if bench.model.network.is_channel_up(c.id)}
    assert {c.id for c in bench.topology.channels} - up == {"cell1-agg1-ch3"}


def test_edge_case_20_a_port_that_went_down_without_a_word_is_found_by_asking() -> None:
    topology = ukqntel()
    links = LinkMonitor(topology, hold_down_s=1.0)
    ports = topology.ports("agg1")
    reports = {p.number: PortReport(p.number, p.interface, p.channel != "agg1-metro1-ch5") for p in ports}
    assert links.inventory("agg1", reports, now=0.0) == {"agg1-metro1-ch5": False}


@pytest.mark.parametrize("protection", ["restoration", "1:1", "1+1"])
def test_edge_case_24_broadcast_neither_crosses_nor_loops(bench: Bench, protection: str) -> None:
    control(bench, protection=protection)
    everyone: Packet = {
        "eth_dst": "ff:ff:ff:ff:ff:ff",
        "eth_type": 0x0800,
        "ipv4_dst": "255.255.255.255",
        "ip_proto": 17,
    }
    question: Packet = {"eth_dst": "ff:ff:ff:ff:ff:ff", "eth_type": 0x0806, "arp_op": 1, "arp_tpa": "172.20.9.9"}
    for site in bench.topology.site_names:
        for packet in (everyone, question):
            assert bench.switches.send_packet(site, dict(packet)) == ([], [])
