"""Controllers that are wrong on purpose are wrong in the way that they say, and nobody gets one by accident."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from controller.model.states import ConnectionState
from controller.state.network_state import NetworkState
from controller.testing.mutants import MUTATIONS, make_model
from scripts.experiments.levels import too_weak
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring


def mutant(tmp_path: Path, name: str | None) -> Bench:
    bench = Bench(metro_ring(), tmp_path / "db", make_model=lambda topology: make_model(topology, name))
    bench.slices.create(request_for("enterprise-app", cells=["cell1"]))
    return bench


def cut_all(bench: Bench) -> None:
    """Cut the first channel of every connection's way, one after the other, then everything at cell1."""
    for connection in list(bench.model.connections.values()):
        if connection.lanes:
            bench.cut(connection.lanes[0].route.channels[0])


def wrong(bench: Bench) -> set[str]:
    network, found = bench.model.network, set()
    for connection in bench.model.connections.values():
        if connection.state is ConnectionState.ACTIVE and not connection.lanes:
            found.add("always-active")
        view = {"required": connection.request.spec.security.level.label, "path": ()}
        view["path"] = connection.lanes[0].route.channels if connection.lanes else ()
        if too_weak(bench.topology, connection.id, view):
            found.add("lower-security-on-reroute")
    held = sum(
        c.request.spec.bandwidth_kbps * len(lane.route.channels)
        for c in bench.model.connections.values()
        for lane in c.lanes
    )
    if sum(network.reserved_kbps(c.id) for c in bench.topology.channels) != held:
        found.add("never-release")
    return found


@pytest.mark.parametrize("name", [*MUTATIONS, None])
def test_each_is_wrong_in_its_own_way_alone(tmp_path: Path, name: str | None) -> None:
    bench = mutant(tmp_path, name)
    cut_all(bench)
    for channel in bench.topology.channels:
        if "cell1" in channel.ends and name == "always-active":
            bench.cut(channel.id)
    assert wrong(bench) == ({name} if name else set())


def test_it_is_shouted_about_and_not_the_default(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        assert type(make_model(metro_ring(), None)) is NetworkState
        assert not caplog.records
        assert make_model(metro_ring(), "never-release").mutation == "never-release"
        assert "WRONG ON PURPOSE" in caplog.text
