"""The emulated network on a kernel that has everything: Open vSwitch's kernel datapath, delays by netem."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.launcher import answer, argv, environment, footprint, left_since, qslice
from tests.support.wait import PATIENCE, wait_until
from topologies.catalog import load

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_ovs,
    pytest.mark.needs_kernel_datapath,
    pytest.mark.timeout(1200),
]

TOPOLOGY = load("ukqntel")


@pytest.fixture(scope="module")
def network() -> Iterator[dict[str, Any]]:
    """ukqntel with a slice of encrypted connections."""
    before = footprint()
    up = qslice("up", "--detach", "--json", timeout_s=300)
    assert up.returncode == 0, up.stderr
    try:
        yield answer("slice", "create", "--example", "enterprise-app")
    finally:
        down = qslice("down", timeout_s=120)
    assert down.returncode == 0, down.stderr
    assert left_since(before) == {}


def tool(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30 * PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def connections() -> list[dict[str, Any]]:
    return [c for s in answer("slice", "list") for c in s["connections"]]


def test_switches_are_the_kernels(network: dict[str, Any]) -> None:
    """The sites' switches run in Open vSwitch's kernel module: packets of a ping are seen in its flow table."""
    assert network["connections"]
    connection = connections()[0]
    source, target = connection["src_address"], connection["dst_address"]
    assert tool("ovs-dpctl", "show").startswith("system@")
    ping = subprocess.Popen(
        argv("exec", connection["src"], "--", "ping", "-q", "-i", "0.2", "-I", source, target),
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    try:
        # Flows that carry nothing for ten seconds are forgotten: they are looked for while the ping runs.
        wait_until(lambda: re.search(r"packets:[1-9]", tool("ovs-dpctl", "dump-flows")) is not None, 20.0, 0.5)
    finally:
        ping.terminate()
        ping.wait()


def test_a_pings_round_trip_shows_the_links_delays(network: dict[str, Any]) -> None:
    """Links have the topology's delays (netem): a ping's round trip takes at least the sum of its route's."""
    assert network["connections"]
    for connection in connections():
        channels = {channel.id: channel for channel in TOPOLOGY.channels}
        one_way_ms = sum(channels[name].delay_us for name in connection["path"]) / 1000
        done = qslice("exec", connection["src"], "--", "ping", "-q", "-c", "10", "-i", "0.2", connection["dst_address"])
        found = re.search(r"= ([\d.]+)/", done.stdout)
        assert found, done.stdout + done.stderr
        assert float(found[1]) >= 2 * one_way_ms, connection
