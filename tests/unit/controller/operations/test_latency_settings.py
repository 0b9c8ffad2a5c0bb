"""What a path's latency counts can be set: of new paths; what was found before keeps what it was found with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from controller.model.latency import LatencyModel
from controller.state.network_state import NetworkState
from tests.support.api_client import Client
from tests.support.controller_bench import Bench, raw_request
from topologies.catalog import metro_ring
from topologies.spec import Topology


def bench_with(folder: Path, latency: LatencyModel) -> Bench:
    def make(topology: Topology) -> NetworkState:
        return NetworkState(topology, latency=latency)

    return Bench(metro_ring(), folder / "db", make_model=make)


def parts(client: Client) -> list[dict[str, Any]]:
    return [c["latency_parts_us"] for c in client.call("GET", "/v1/slices/enterprise-app")[2]["connections"]]


def test_a_restart_under_other_settings_keeps_paths_and_their_latency(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, LatencyModel(switch_us=20, tunnel_us=200))
    client = Client(bench)
    assert client.call("POST", "/v1/slices", raw_request("enterprise-app"))[0] == 201
    before = parts(client)
    assert {p["tunnel"] for p in before} == {200}
    bench.store.close()
    after = bench_with(tmp_path, LatencyModel(switch_us=90, tunnel_us=1))
    after.maintenance.load()
    assert parts(Client(after)) == before
    assert Client(after).call("GET", "/v1/topology")[2]["latency_model"] == {"switch_us": 90, "tunnel_us": 1}
