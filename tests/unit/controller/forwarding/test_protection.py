"""Protection in the switches themselves: what packets do between a failure and the controller's first word."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.forwarding.items import Group, GroupType
from controller.forwarding.tunnel_endpoint import as_wire, endpoint_at
from controller.model.connection import Connection
from controller.model.states import ConnectionState
from controller.schema.slice_request import InvalidRequest, parse_slice_request
from kms.tunnel.config import ConnectionConfig
from tests.support.controller_bench import Bench, raw_request, request_for
from tests.support.fake_switches import Packet
from tests.support.small_networks import fibres_apart
from topologies.catalog import metro_ring


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(metro_ring(), tmp_path / "db")


def protected(bench: Bench, protection: str, security: str = "dh") -> Connection:
    """The control connection, cell to core: several hops."""
    control = {"protection": protection, "security": security, "latency_ms": 50}
    raw = raw_request("enterprise-app", {"control": control}, cells=["cell1"])
    bench.slices.create(parse_slice_request(raw))
    return bench.model.connections["enterprise-app/cell1-control"]


def packets(bench: Bench, connection: Connection) -> list[tuple[str, str, Packet]]:
    """(from, to, packet) in both directions."""
    request, host = connection.request, bench.topology.host
    port = connection.tunnel_port
    found = []
    for src, dst in ((request.src, request.dst), (request.dst, request.src)):
        packet: Packet = {
            "eth_type": 0x0800, "ip_proto": 17, "udp_src": port, "udp_dst": port,
            "ipv4_src": host(src).data_address, "ipv4_dst": host(dst).data_address,
        }  # fmt: skip
        found.append((src, dst, packet))
    return found


def deliveries(bench: Bench, connection: Connection) -> list[int]:
    """How many copies of a packet arrive, forward and in reverse; each untagged and at the right host."""
    counts = []
    for src, dst, packet in packets(bench, connection):
        arrived, _ = bench.switches.send_packet(src, packet)
        assert all(where == dst and p["vlan_vid"] == 0 for where, p in arrived)
        counts.append(len(arrived))
    return counts


def test_one_to_one_survives_a_cut_of_any_channel_of_the_working_lane_without_the_controller(bench: Bench) -> None:
    connection = protected(bench, "1:1")
    working, backup = connection.lanes
    assert len(working.route.channels) >= 3
    assert not set(working.route.channels) & set(backup.route.channels)
    assert deliveries(bench, connection) == [1, 1]
    for channel in working.route.channels:
        bench.switches.dead = {channel}
        assert deliveries(bench, connection) == [1, 1], channel
    for site in working.route.sites[1:-1]:  # a whole switch
        bench.switches.dead = {c.id for c in bench.topology.channels_of(site)}
        assert deliveries(bench, connection) == [1, 1], site


def test_packets_that_are_turned_round_take_the_backup_and_do_not_use_what_others_reserved(bench: Bench) -> None:
    connection = protected(bench, "1:1")
    working, backup = connection.lanes
    bench.switches.dead = {working.route.channels[-1]}
    src, _, packet = packets(bench, connection)[0]
    _, crossed = bench.switches.send_packet(src, packet)
    there = list(working.route.channels[:-1])
    assert crossed == [*there, *there[::-1], *backup.route.channels]
    # In reverse, the failure is at the first hop: straight into the backup.
    src, _, packet = packets(bench, connection)[1]
    assert bench.switches.send_packet(src, packet)[1] == list(backup.route.channels[::-1])


def test_with_both_first_channels_seemingly_dead_the_working_lane_is_still_tried(bench: Bench) -> None:
    connection = protected(bench, "1:1")
    group = next(i for i in bench.model.intended.at("cell1") if isinstance(i, Group))
    assert group.type is GroupType.FAST_FAILOVER
    assert [b.watch_port for b in group.buckets][-1] == 1
    assert group.buckets[-1].actions == group.buckets[0].actions
    assert connection.state is ConnectionState.ACTIVE


def test_one_plus_one_sends_a_copy_on_each_lane_and_a_cut_of_either_loses_none(bench: Bench) -> None:
    connection = protected(bench, "1+1")
    assert deliveries(bench, connection) == [2, 2]
    for lane in connection.lanes:
        for channel in lane.route.channels:
            bench.switches.dead = {channel}
            assert deliveries(bench, connection) == [1, 1]


@pytest.mark.parametrize("protection", ["1:1", "1+1"])
def test_after_a_failure_the_survivor_carries_on_and_a_new_backup_protects_it(bench: Bench, protection: str) -> None:
    connection = protected(bench, protection)
    working, backup = connection.lanes
    cut = working.route.channels[1]
    bench.switches.dead = {cut}
    bench.cut(cut)
    after = bench.model.connections[connection.id]
    assert after.state is ConnectionState.ACTIVE
    assert after.lanes[0].route == backup.route
    assert len(after.lanes) == 2
    assert cut not in after.lanes[1].route.channels
    copies = 2 if protection == "1+1" else 1
    assert deliveries(bench, after) == [copies, copies]
    for channel in after.lanes[0].route.channels:
        bench.switches.dead = {cut, channel}
        assert deliveries(bench, after) == [1, 1], channel


def test_edge_case_05_both_lanes_fail_together_and_restoration_follows(bench: Bench) -> None:
    start = bench.state()
    connection = protected(bench, "1:1")
    working, backup = connection.lanes
    both = {working.route.channels[0], backup.route.channels[0]}
    bench.switches.dead = both
    bench.maintenance.channels_changed(dict.fromkeys(both, False))
    after = bench.model.connections[connection.id]
    assert after.state is ConnectionState.ACTIVE
    assert not both & {c for lane in after.lanes for c in lane.route.channels}
    assert deliveries(bench, after) == [1, 1]
    assert all(bench.model.network.reserved_kbps(c) == 0 or c not in both for c in both)
    bench.maintenance.channels_changed(dict.fromkeys(both, True))
    bench.slices.delete("enterprise-app")
    assert bench.state() == start  # labels, ways back and groups among them


def test_what_switches_hold_is_repaired_with_its_groups(bench: Bench) -> None:
    protected(bench, "1:1")
    intended = bench.switches.held()
    table = bench.switches.tables["cell1"]
    table.items = {k: i for k, i in table.items.items() if not isinstance(i, Group)}
    bench.repair_all()
    assert bench.switches.held() == intended


def test_a_restart_keeps_ways_back_and_groups(bench: Bench) -> None:
    connection = protected(bench, "1:1")
    held = bench.switches.held()
    again = bench.next_process()
    again.maintenance.load()
    again.maintenance.recover()
    assert again.model.connections[connection.id].lanes == connection.lanes
    assert {site: again.model.intended.at(site) for site in again.topology.site_names} == held


def test_copies_without_a_tunnel_are_refused_with_the_reason() -> None:
    with pytest.raises(InvalidRequest, match="tunnel at the far end") as error:
        request_for("cdn", {"access": {"security": "none", "protection": "1+1"}})
    assert error.value.problems[0][0] == "connections.access.protection"


def test_where_all_sites_are_shared_each_channel_is_protected(tmp_path: Path) -> None:
    bench = Bench(fibres_apart(), tmp_path / "db")
    connection = protected(bench, "1:1", "qra")
    working, _ = connection.lanes
    for channel in working.route.channels:
        bench.switches.dead = {channel}
        assert deliveries(bench, connection) == [1, 1], channel


@pytest.mark.parametrize(
    ("bandwidth_mbps", "latency_ms", "window"), [(1, 10, 1024), (20, 15, 1024), (50, 20, 4096), (100, 50, 8192)]
)
def test_the_replay_window_covers_the_difference_of_the_ways(
    bench: Bench, bandwidth_mbps: int, latency_ms: int, window: int
) -> None:
    access = {"protection": "1+1", "bandwidth_mbps": bandwidth_mbps, "latency_ms": latency_ms}
    bench.slices.create(request_for("enterprise-app", {"access": access}, cells=["cell1"]))
    connection = bench.model.connections["enterprise-app/cell1-compute"]
    told = endpoint_at(bench.model.topology, connection, "cell1")
    assert (told.expects_copies, told.replay_window) == (True, window)
    smallest_packets_per_s = bandwidth_mbps * 1e6 / 800
    assert window == 8192 or window >= smallest_packets_per_s * (latency_ms + 20) / 1000
    ConnectionConfig.model_validate(as_wire(told))
    plain = endpoint_at(bench.model.topology, bench.model.connections["enterprise-app/cell1-control"], "cell1")
    assert (plain.expects_copies, plain.replay_window) == (False, 1024)
