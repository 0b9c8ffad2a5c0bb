"""Protection on real Open vSwitch bridges: what a fast stream loses while the controller sleeps."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from scripts.testbed.paths import REPOSITORY
from tests.support.switch_fabric import Controller, Fabric, free_port, run, unique_prefix, with_prefix
from tests.support.wait import wait_until
from topologies.catalog import metro_ring

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.counts_packets]

EXAMPLES = REPOSITORY / "scripts" / "examples"
PREFIX = unique_prefix()
PINGS = 600  # at 1 kHz


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    topology = with_prefix(metro_ring(), PREFIX)
    with Fabric(topology, free_port()) as fabric:
        process = Controller(fabric, tmp_path_factory.mktemp("ctl"), hold_down_s=0.3)
        try:
            process.start()
            yield process
        finally:
            process.stop()


@pytest.fixture
def protected(controller: Controller, request: pytest.FixtureRequest) -> Iterator[tuple[Controller, dict[str, Any]]]:
    """A slice whose control connection, several hops long, is protected as the test's parameter says."""
    raw: dict[str, Any] = yaml.safe_load((EXAMPLES / "cdn.yaml").read_text())
    raw |= {"cells": [PREFIX + "cell1"], "core": PREFIX + "core1"}
    raw["compute"] |= {"site": PREFIX + "metro1"}
    raw["connections"]["control"] |= {"latency_ms": 50, "bandwidth_mbps": 5} | request.param
    status, view = controller.call("POST", "/v1/slices", raw)
    assert status == 201, view
    yield controller, connection(controller)
    for channel in controller.fabric.topology.channels:
        controller.fabric.set_channel(channel.id, "up")
    assert controller.call("DELETE", "/v1/slices/cdn")[0] == 200
    wait_until(lambda: all(c["state"] != "down" for c in controller.call("GET", "/v1/topology")[1]["channels"]), 10)
    for site, rules in controller.fabric.all_rules().items():
        assert rules == ["cookie=0x5153000000000000, priority=0 actions=drop"], site
        assert groups(controller.fabric, site) == []


def connection(controller: Controller) -> dict[str, Any]:
    view = controller.call("GET", "/v1/slices/cdn")[1]
    return next(c for c in view["connections"] if c["name"].endswith("-control"))


def groups(fabric: Fabric, site: str) -> list[str]:
    text = run("ovs-ofctl", "-O", "OpenFlow13", "dump-groups", fabric.topology.bridge(site))
    return sorted(line.strip() for line in text.splitlines() if "group_id" in line)


def lost_pings(controller: Controller, made: dict[str, Any], cut: str) -> int:
    """How many of a 1 kHz stream, both ways, a cut in its midst costs."""
    pinger = controller.fabric.popen(
        made["src"], "ping", "-q", "-i", "0.001", "-c", str(PINGS), "-W", "1", made["dst_address"]
    )
    threading.Event().wait(0.2)
    controller.fabric.set_channel(cut, "down")
    text = pinger.communicate()[0]
    found = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    assert found, text
    return int(found.group(1)) - int(found.group(2))


@pytest.mark.parametrize("protected", [{"security": "none", "protection": "1:1"}], indirect=True)
@pytest.mark.parametrize("hop", [0, 1, 2])
def test_a_cut_anywhere_is_survived_while_the_controller_sleeps(
    protected: tuple[Controller, dict[str, Any]], hop: int
) -> None:
    controller, made = protected
    if hop >= len(made["path"]):
        pytest.fail(f"the working lane has only {len(made['path'])} hops")
    assert made["backup"]
    assert controller.process is not None
    os.kill(controller.process.pid, signal.SIGSTOP)
    try:
        lost = lost_pings(controller, made, made["path"][hop])
    finally:
        os.kill(controller.process.pid, signal.SIGCONT)
    print("lost", lost)
    assert lost < PINGS // 10
    # Awake again, it makes the backup the working lane and finds another backup.
    wait_until(lambda: connection(controller)["path"] == made["backup"]["path"], 5)
    wait_until(lambda: connection(controller)["backup"] is not None, 5)
    wait_until(lambda: connection(controller)["state"] == "ACTIVE", 5)


@pytest.mark.parametrize("protected", [{"security": "none", "protection": "1:1"}], indirect=True)
def test_groups_are_repaired_by_difference(protected: tuple[Controller, dict[str, Any]]) -> None:
    controller, made = protected
    site = made["src"]
    bridge = controller.fabric.topology.bridge(site)
    before = groups(controller.fabric, site), controller.fabric.rules(site)
    assert before[0]
    run("ovs-vsctl", "del-controller", bridge)
    wait_until(lambda: controller.call("GET", "/v1/healthz")[1]["switches_connected"] == 8, 5)
    run("ovs-ofctl", "-O", "OpenFlow13", "del-groups", bridge)
    assert groups(controller.fabric, site) == []
    run("ovs-vsctl", "set-controller", bridge, f"tcp:127.0.0.1:{controller.fabric.openflow_port}")
    wait_until(lambda: controller.call("GET", "/v1/healthz")[1]["switches_connected"] == 9, 10)
    assert (groups(controller.fabric, site), controller.fabric.rules(site)) == before
