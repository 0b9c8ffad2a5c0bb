"""The classes into which a failure sorts connections, and what becomes of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.model.reason import ReasonCode
from controller.model.states import ConnectionState
from controller.policy import failure
from controller.policy.failure import Impact
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring

ID = "enterprise-app/cell1-control"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(metro_ring(), tmp_path / "db")


def make(bench: Bench, protection: str) -> None:
    bench.slices.create(
        request_for("enterprise-app", {"control": {"protection": protection, "latency_ms": 50}}, cells=["cell1"])
    )


def impact_of_losing(bench: Bench, *channels: str) -> Impact:
    """How the connection stands when the channels are gone and nobody has done anything yet."""
    network = bench.model.network
    for channel in channels:
        network.set_channel_up(channel, False)
    try:
        return failure.classify(bench.model, bench.model.connections[ID])
    finally:
        for channel in channels:
            network.set_channel_up(channel, True)


def path(bench: Bench, position: int) -> tuple[str, ...]:
    return bench.model.connections[ID].lanes[position].route.channels


def test_each_class_of_impact_on_a_protected_connection(bench: Bench) -> None:
    make(bench, "1:1")
    working, backup = path(bench, 0), path(bench, 1)
    elsewhere = next(c.id for c in bench.topology.channels if c.id not in working + backup)
    assert impact_of_losing(bench, elsewhere) is Impact.UNAFFECTED
    assert impact_of_losing(bench, working[1]) is Impact.SWITCHED_OVER
    assert impact_of_losing(bench, backup[1]) is Impact.TO_PROTECT_AGAIN
    assert impact_of_losing(bench, working[1], backup[1]) is Impact.TO_RESTORE


@pytest.mark.parametrize(("protection", "impact"), [("none", Impact.TO_DEGRADE), ("restoration", Impact.TO_RESTORE)])
def test_a_connection_without_backup_is_restored_if_it_asked_for_that(
    bench: Bench, protection: str, impact: Impact
) -> None:
    make(bench, protection)
    assert impact_of_losing(bench, path(bench, 0)[0]) is impact


def test_what_bfd_alone_calls_down_is_suspected_until_the_loss_is_certain(bench: Bench) -> None:
    make(bench, "restoration")
    channel = path(bench, 0)[1]
    bench.model.observe_channels({channel: False}, {channel})
    assert failure.classify(bench.model, bench.model.connections[ID]) is Impact.SUSPECTED
    bench.model.observe_channels({}, ())
    assert failure.classify(bench.model, bench.model.connections[ID]) is Impact.TO_RESTORE


def test_refusing_switches_are_gone_round_and_paths_beside_them_are_laid_again(bench: Bench) -> None:
    make(bench, "restoration")
    connection = bench.model.connections[ID]
    inner = connection.lanes[0].route.sites[1]
    elsewhere = next(s for s in bench.topology.site_names if s not in connection.lanes[0].route.sites)
    assert failure.classify(bench.model, connection, frozenset({inner})) is Impact.TO_RESTORE
    assert failure.classify(bench.model, connection, frozenset({elsewhere})) is Impact.TO_LAY_AGAIN


def test_the_story_from_the_cut_to_the_explanation(bench: Bench) -> None:
    make(bench, "1:1")
    backup = path(bench, 1)
    bench.cut(path(bench, 0)[1])
    after = bench.model.connections[ID]
    assert after.state is ConnectionState.ACTIVE
    assert after.lanes[0].route.channels == backup, "the switches had moved its traffic there already"
    bench.maintenance.channels_changed(dict.fromkeys((c.id for c in bench.topology.channels), False))
    lost = bench.model.connections[ID]
    assert (lost.state, lost.lanes) == (ConnectionState.DEGRADED, ())
    assert lost.reason is not None
    assert lost.reason.code is ReasonCode.NO_PATH, "explained by now"
    assert "would heal it" in str(lost.reason) or "no single new channel" in str(lost.reason)
