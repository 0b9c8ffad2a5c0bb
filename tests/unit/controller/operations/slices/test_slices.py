"""The life cycle against switches, tunnels and a journal in memory: what packets do, and that nothing leaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.forwarding.intended import Changes
from controller.forwarding.items import HOST_PORT, Rule
from controller.model.connection import Connection
from controller.model.errors import DriverError, DuplicateSlice, KeyRatesUnknown, ProvisioningFailed, UnknownSlice
from controller.model.states import ConnectionState, SliceState
from controller.operations.context import InfeasibleRequest
from controller.persistence.sqlite_journal import Store
from tests.support.controller_bench import Bench, request_for
from tests.support.fake_switches import Packet
from tests.support.small_networks import fibres_apart
from topologies.catalog import metro_ring, ukqntel


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(ukqntel(), tmp_path / "db")


def packet_of(bench: Bench, connection: Connection, is_reverse: bool = False) -> tuple[str, Packet]:
    """The site of the sender, and a packet of the connection as its host sends it."""
    request, topology = connection.request, bench.topology
    ends = [request.src, request.dst]
    inner = [connection.src_address, connection.dst_address]
    if is_reverse:
        ends.reverse()
        inner.reverse()
    if not connection.is_encrypted:
        return ends[0], {"eth_type": 0x0800, "ipv4_src": inner[0], "ipv4_dst": inner[1]}
    outer = [topology.host(site).data_address for site in ends]
    port = connection.tunnel_port
    return ends[0], {
        "eth_type": 0x0800, "ip_proto": 17, "udp_src": port, "udp_dst": port,
        "ipv4_src": outer[0], "ipv4_dst": outer[1],
    }  # fmt: skip


def assert_delivers(bench: Bench, connection: Connection) -> None:
    assert connection.route is not None
    for is_reverse in (False, True):
        site, packet = packet_of(bench, connection, is_reverse)
        arrived, crossed = bench.switches.send_packet(site, packet)
        target = connection.request.src if is_reverse else connection.request.dst
        assert [where for where, _ in arrived] == [target]
        assert arrived[0][1]["vlan_vid"] == 0
        assert tuple(crossed) == connection.route.channels[:: -1 if is_reverse else 1]


def test_a_slice_delivers_every_connection_both_ways_over_its_own_path(bench: Bench) -> None:
    record = bench.slices.create(request_for("enterprise-app"))
    assert record.state is SliceState.ACTIVE
    assert {"reserved", "transit", "barriers", "tunnels", "active"} <= record.timings_ms.keys()
    for connection in bench.model.connections_of("enterprise-app"):
        assert connection.state is ConnectionState.ACTIVE
        assert_delivers(bench, connection)
        assert (connection.request.src, connection.id) in bench.tunnels.ends
        assert (connection.request.dst, connection.id) in bench.tunnels.ends


def test_a_packet_of_no_connection_is_dropped(bench: Bench) -> None:
    bench.slices.create(request_for("cdn"))
    connection = next(c for c in bench.model.connections_of("cdn") if not c.is_encrypted)
    site, packet = packet_of(bench, connection)
    for change in ({"ipv4_dst": "10.200.0.77"}, {"ipv4_src": "10.200.0.77"}, {"eth_type": 0x86DD}):
        assert bench.switches.send_packet(site, {**packet, **change})[0] == []
    labelled = bench.switches.send_packet(site, {**packet, "vlan_vid": 0x1001})
    assert labelled[0] == []  # a host cannot bring a label


def test_arp_is_answered_with_the_peers_address_to_the_asking_port(bench: Bench) -> None:
    bench.slices.create(request_for("enterprise-app"))
    peer = bench.topology.host("core1")
    question: Packet = {
        "in_port": HOST_PORT, "eth_type": 0x0806, "arp_op": 1, "arp_spa": "172.20.0.2", "arp_tpa": peer.data_address,
        "arp_sha": "02:51:53:00:00:01", "arp_tha": "00:00:00:00:00:00",
        "eth_src": "02:51:53:00:00:01", "eth_dst": "ff:ff:ff:ff:ff:ff",
    }  # fmt: skip
    arrived, crossed = bench.switches.send_packet("cell1", question)
    assert crossed == []
    ((where, answer),) = arrived
    assert where == "cell1"
    assert answer["arp_op"] == 2
    assert (answer["arp_sha"], answer["arp_spa"]) == (peer.data_mac, peer.data_address)
    assert (answer["arp_tha"], answer["arp_tpa"]) == ("02:51:53:00:00:01", "172.20.0.2")
    assert (answer["eth_src"], answer["eth_dst"]) == (peer.data_mac, "02:51:53:00:00:01")
    assert bench.switches.send_packet("cell1", {**question, "arp_tpa": "172.20.0.3"})[0] == []


def test_shared_arp_rules_stay_until_the_last_slice_leaves(bench: Bench) -> None:
    bench.slices.create(request_for("enterprise-app"))
    before = bench.switches.held()
    bench.slices.create(request_for("cdn"))
    bench.slices.delete("cdn")
    assert bench.switches.held() == before


def test_deleting_gives_everything_back(bench: Bench) -> None:
    start = bench.state()
    bench.slices.create(request_for("enterprise-app"))
    bench.slices.create(request_for("cdn"))
    assert bench.state() != start
    bench.slices.delete("enterprise-app")
    ended = bench.slices.delete("cdn")
    assert ended.state is SliceState.DELETED
    assert ended.timings_ms["deprovisioned"] >= 0
    assert bench.state() == start
    with pytest.raises(UnknownSlice):
        bench.slices.delete("cdn")


def test_a_name_is_used_once(bench: Bench) -> None:
    bench.slices.create(request_for("cdn"))
    before = bench.state()
    with pytest.raises(DuplicateSlice):
        bench.slices.create(request_for("cdn"))
    assert bench.state() == before


def test_what_does_not_fit_is_explained_and_reserves_nothing(bench: Bench) -> None:
    start = bench.state()
    with pytest.raises(InfeasibleRequest) as caught:
        bench.slices.create(request_for("cdn", {"access": {"bandwidth_mbps": 500}}))
    assert {r.constraint for r in caught.value.infeasible.reasons} == {"bandwidth"}
    assert bench.state() == start


def test_without_word_from_the_kms_quantum_connections_are_refused(bench: Bench) -> None:
    bench.key_rates.unusable = frozenset(bench.key_rates.section_ids)
    with pytest.raises(InfeasibleRequest) as caught:
        bench.slices.create(request_for("cdn"))
    assert "key_rate" in {r.constraint for r in caught.value.infeasible.reasons}


def test_the_refusal_says_that_the_kms_is_silent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(rates: object) -> None:
        raise DriverError("KMS at kms.sock: no such file")

    with monkeypatch.context() as patched:
        patched.setattr(type(bench.key_rates), "sections", silent)
        with pytest.raises(KeyRatesUnknown, match="key rates are unknown: KMS at kms"):
            bench.slices.create(request_for("cdn"))
    bench.slices.create(request_for("cdn"))


def fail_nth_send(n: int) -> Callable[[str, Changes], str | None]:
    count = 0

    def refuse(site: str, changes: Changes) -> str | None:
        nonlocal count
        count += 1
        return "injected" if count == n and changes.add else None

    return refuse


@pytest.mark.parametrize("n", range(1, 10))
def test_whichever_switch_refuses_at_whichever_stage_nothing_is_left(bench: Bench, n: int) -> None:
    start = bench.state()
    bench.switches.refuse = fail_nth_send(n)
    with pytest.raises(ProvisioningFailed, match="injected"):
        bench.slices.create(request_for("enterprise-app"))
    assert bench.state() == start


@pytest.mark.parametrize("op", ["add", "wait_up"])
@pytest.mark.parametrize("site", ["cell1", "core1"])
def test_whichever_tunnel_refuses_nothing_is_left(bench: Bench, op: str, site: str) -> None:
    start = bench.state()
    bench.tunnels.fail = lambda did, where, _: DriverError("dry") if (did, where) == (op, site) else None
    with pytest.raises(ProvisioningFailed, match="dry"):
        bench.slices.create(request_for("enterprise-app"))
    assert bench.state() == start


def test_a_cut_moves_what_it_hits_and_nothing_else(bench: Bench) -> None:
    bench.slices.create(request_for("enterprise-app"))
    before = {c.id: c for c in bench.model.connections_of("enterprise-app")}
    cut = "agg1-metro1-ch3"
    bench.cut(cut)
    for connection in bench.model.connections_of("enterprise-app"):
        old = before[connection.id]
        assert connection.state is ConnectionState.ACTIVE
        assert old.route is not None
        assert connection.route is not None
        assert (connection.route != old.route) == (cut in old.route.channels)
        assert cut not in connection.route.channels
        level = connection.request.spec.security.level
        assert all(bench.topology.channel(c).security >= level for c in connection.route.channels)
        assert_delivers(bench, connection)
    moved = bench.switches.held()
    bench.mend(cut)
    assert bench.switches.held() == moved


def test_what_has_no_way_left_is_degraded_and_returns(bench: Bench) -> None:
    bench.slices.create(request_for("enterprise-app"))
    connection_id = "enterprise-app/cell1-compute"
    cuts = [f"cell1-agg1-ch{n}" for n in (3, 4, 5)]
    for cut in cuts:
        bench.cut(cut)
    lost = bench.model.connections[connection_id]
    assert lost.state is ConnectionState.DEGRADED
    assert lost.reason
    assert "no feasible path" in str(lost.reason)
    assert bench.model.slice("enterprise-app").state is SliceState.DEGRADED
    site, packet = packet_of(bench, lost)
    assert bench.switches.send_packet(site, packet)[0] == []
    assert bench.model.network.reserved_kbps("agg1-metro1-ch3") == 10_000  # cell2's alone
    bench.mend(cuts[2])
    back = bench.model.connections[connection_id]
    assert back.state is ConnectionState.ACTIVE
    assert bench.model.slice("enterprise-app").state is SliceState.ACTIVE
    assert_delivers(bench, back)


def test_a_protected_connection_goes_over_to_its_backup_and_gets_a_new_one_if_there_is_any(tmp_path: Path) -> None:
    bench = Bench(fibres_apart(), tmp_path / "db")
    bench.slices.create(request_for("enterprise-app-protected"))
    protected = bench.model.connections["enterprise-app-protected/compute-core"]
    assert [lane.route.channels for lane in protected.lanes] == [("metro1-core1-ch4",), ("metro1-core1-ch5",)]
    bench.cut("metro1-core1-ch4")
    alone = bench.model.connections[protected.id]
    assert alone.route is not None
    assert alone.route.channels == ("metro1-core1-ch5",)
    assert alone.reason is not None
    assert "without a backup" in str(alone.reason)
    assert_delivers(bench, alone)


def test_a_switch_that_refuses_a_reroute_is_gone_round(tmp_path: Path) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    bench.slices.create(request_for("cdn", cells=["cell1"], compute={"site": "metro2", "vcpus": 1, "memory_gb": 1}))
    connection_id = "cdn/cell1-control"
    before = bench.model.connections[connection_id]
    assert before.route is not None
    inner = before.route.sites[1]
    other = {"agg1": "agg2", "agg2": "agg1"}[inner]
    bench.switches.refuse = lambda site, changes: (
        "full" if site == inner and any(isinstance(i, Rule) for i in changes.add) else None
    )
    bench.cut(before.route.channels[0])
    after = bench.model.connections[connection_id]
    assert after.state is ConnectionState.ACTIVE
    assert after.route is not None
    assert inner not in after.route.sites
    assert other in after.route.sites
    bench.switches.refuse = lambda site, changes: None
    bench.repair_all()
    assert_delivers(bench, after)


def test_a_connection_that_every_switch_refuses_ends_degraded_and_the_others_move(bench: Bench) -> None:
    bench.slices.create(request_for("enterprise-app"))
    cell1 = bench.model.connections["enterprise-app/cell1-compute"]

    def refuse(site: str, changes: Changes) -> str | None:
        return "full" if site == "cell1" and changes.add else None

    bench.switches.refuse = refuse
    bench.cut("agg1-metro1-ch3")
    stuck = bench.model.connections[cell1.id]
    assert stuck.state is ConnectionState.DEGRADED
    assert stuck.reason is not None
    assert "cell1" in str(stuck.reason)
    other = bench.model.connections["enterprise-app/cell2-compute"]
    assert other.state is ConnectionState.ACTIVE
    bench.switches.refuse = lambda site, changes: None
    bench.maintenance.retry()
    bench.repair_all()
    assert_delivers(bench, bench.model.connections[cell1.id])
    bench.slices.delete("enterprise-app")
    assert not bench.model.connections


def test_edge_case_07_a_delete_during_a_reroute_wins(bench: Bench) -> None:
    start = bench.state()
    bench.slices.create(request_for("enterprise-app"))
    done = False

    def refuse(site: str, changes: Changes) -> str | None:
        nonlocal done
        if not done:
            done = True
            bench.slices.delete("enterprise-app")
        return None

    bench.switches.refuse = refuse
    bench.cut("agg1-metro1-ch3")
    bench.switches.refuse = lambda site, changes: None
    bench.mend("agg1-metro1-ch3")
    bench.repair_all()
    assert bench.state() == start


def test_edge_case_07_a_second_cut_during_a_reroute_is_answered_too(bench: Bench) -> None:
    bench.slices.create(request_for("enterprise-app"))
    done = False

    def refuse(site: str, changes: Changes) -> str | None:
        nonlocal done
        if not done:
            done = True
            bench.cut("agg1-metro1-ch4")
        return None

    bench.switches.refuse = refuse
    bench.cut("agg1-metro1-ch3")
    bench.switches.refuse = lambda site, changes: None
    bench.repair_all()
    for connection in bench.model.connections_of("enterprise-app"):
        assert connection.state is ConnectionState.ACTIVE
        assert_delivers(bench, connection)


@pytest.mark.parametrize("crash_after", ["reserve", "create", "cut", "delete"])
def test_what_the_next_process_finds_in_the_journal(bench: Bench, tmp_path: Path, crash_after: str) -> None:
    start = bench.state()

    def crash(*_: Any) -> str | None:
        raise KeyboardInterrupt

    bench.slices.create(request_for("cdn"))
    if crash_after == "reserve":
        bench.slices.delete("cdn")
        bench.switches.refuse = crash
        with pytest.raises(KeyboardInterrupt):
            bench.slices.create(request_for("cdn"))
    elif crash_after == "cut":
        bench.cut("cell1-agg1-ch1")
    elif crash_after == "delete":
        bench.switches.refuse = crash
        with pytest.raises(KeyboardInterrupt):
            bench.slices.delete("cdn")
    after = bench.next_process()
    after.maintenance.load()
    after.maintenance.refresh_keys()
    after.maintenance.recover()
    after.repair_all()
    if crash_after in ("reserve", "delete"):
        assert after.state() == start
    else:
        assert after.model.slice("cdn").state is SliceState.ACTIVE
        for connection in after.model.connections_of("cdn"):
            assert connection == bench.model.connections[connection.id]
            assert_delivers(after, connection)
        after.slices.delete("cdn")
        assert not any(after.model.network.reserved_kbps(c.id) for c in after.topology.channels)


def test_an_agent_that_has_forgotten_is_told_again_and_orphans_are_removed(bench: Bench) -> None:
    bench.slices.create(request_for("cdn"))
    told = dict(bench.tunnels.told)
    orphan = replace(next(iter(told.values())), id="gone/x")
    bench.tunnels.told = {e: c for e, c in told.items() if e[0] != "core1"} | {("agg1", "gone/x"): orphan}
    bench.maintenance.restore_tunnels()
    assert bench.tunnels.told == told


def test_a_journal_that_cannot_be_written_stops_the_creation(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    start = bench.state()

    def full(*_: Any) -> None:
        raise DriverError("database or disk is full")

    monkeypatch.setattr(Store, "save", full)
    with pytest.raises(DriverError, match="full"):
        bench.slices.create(request_for("cdn"))
    monkeypatch.undo()
    assert bench.state() == start


def test_a_delete_while_a_forgetful_agent_is_being_told_leaves_nothing_there(bench: Bench) -> None:
    bench.slices.create(request_for("cdn"))
    bench.tunnels.told.clear()

    def delete_meanwhile(op: str, site: str, connection_id: str) -> None:
        if op == "add" and "cdn" in bench.model.slices:
            bench.slices.delete("cdn")

    bench.tunnels.fail = delete_meanwhile
    bench.maintenance.restore_tunnels()
    assert bench.tunnels.told == {}
