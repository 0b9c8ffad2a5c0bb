"""Channels that BFD alone calls down: probes that pass are believed before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.monitoring.link_state import LinkMonitor, PortReport
from tests.unit.controller.policy.test_probes import ACTIVE, DEGRADED, World, channels
from topologies.catalog import metro_ring, ukqntel


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(metro_ring(), tmp_path / "db")


def everything_silent(world: World) -> None:
    """BFD sessions starve: all channels are called down though carrier is there."""
    all_channels = [c.id for c in world.topology.channels]
    world.maintenance.channels_changed(dict.fromkeys(all_channels, False), frozenset(all_channels))


@pytest.mark.parametrize("protection", ["restoration", "1:1", "1+1", "none"])
def test_a_starved_bfd_takes_nothing_from_connections_whose_probes_pass(world: World, protection: str) -> None:
    before = world.make(protection=protection)
    held = world.switches.held()
    everything_silent(world)
    world.run(3.0)
    assert world.it.lanes == before.lanes
    assert world.it.state is ACTIVE
    assert world.switches.held() == held
    everyone = [c.id for c in world.topology.channels]
    world.maintenance.channels_changed(dict.fromkeys(everyone, True))
    world.run(3.0)
    assert world.it.state is ACTIVE
    assert world.switches.held() == held


def test_a_starved_bfd_and_failing_probes_keep_the_rules_and_degrade(world: World) -> None:
    before = world.make()
    held = world.switches.held()
    world.holes = frozenset(c.id for c in world.topology.channels)
    everything_silent(world)
    world.run(5.0)
    assert (world.it.state, world.it.lanes) == (DEGRADED, before.lanes)
    assert world.switches.held() == held


def test_bfd_is_believed_where_there_is_another_way(world: World) -> None:
    before = world.make()
    hole = channels(before)[1]
    world.maintenance.channels_changed({hole: False}, frozenset({hole}))
    assert world.it.state is ACTIVE
    assert hole not in channels(world.it)


def test_a_silent_channel_that_loses_its_carrier_is_certainly_dead(world: World) -> None:
    world.make()
    everything_silent(world)
    everyone = frozenset(c.id for c in world.topology.channels)
    world.maintenance.channels_changed({}, everyone - {channels(world.it)[0]})
    assert world.it.state is DEGRADED
    assert not world.it.lanes


def test_carrier_tells_silence_from_a_cut() -> None:
    topology = ukqntel()
    links = LinkMonitor(topology)
    channel = "cell1-agg1-ch3"
    port = topology.port_of("cell1", channel).number
    assert links.report("cell1", port, is_live=False, now=0.0, has_carrier=True) == {channel: False}
    assert links.silent == {channel}
    links.report("cell1", port, is_live=False, now=0.1, has_carrier=False)
    assert links.silent == frozenset()
    reports = {p.number: PortReport(p.number, p.interface, True) for p in topology.ports("cell1")}
    links.inventory("cell1", reports, now=0.2)
    links.due(5.0)
    assert links.silent == frozenset()
    assert links.is_up(channel)
