"""A slice of any shape on the whole system: made, crossed, healed, changed and removed, as its user does it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.launcher import answer, argv, connection, environment, network_up, qslice
from tests.support.wait import PATIENCE, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

NAME = "ring"
NAMES = ("agg-metro", "metro-core", "agg-core")


@pytest.fixture(scope="module")
def ring() -> Iterator[dict[str, dict[str, Any]]]:
    with network_up():
        made = answer("slice", "create", "--example", NAME)
        yield {c["name"]: c for c in made["connections"]}


def answers(there: dict[str, Any]) -> bool:
    words = ("ping", "-c", "3", "-i", "0.2", "-W", "1", there["dst_address"])
    return qslice("exec", there["src"], "--", *words).returncode == 0


def received_mbps(there: dict[str, Any], *, is_back: bool) -> float:
    """What arrives of 8 Mbit/s of datagrams."""
    server = subprocess.Popen(
        argv("exec", there["dst"], "--", "iperf3", "-s", "-B", there["dst_address"]),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(),
    )  # fmt: skip
    words = ("iperf3", "-c", there["dst_address"], "-u", "-b", "8M", "-l", "1200", "-t", "3", "--json")
    totals: list[dict[str, float]] = []

    def is_measured() -> bool:
        done = qslice("exec", there["src"], "--", *words, *(["-R"] if is_back else []))
        if done.returncode == 0:  # else the server is not there yet
            totals.extend(total for name, total in json.loads(done.stdout)["end"].items() if name == "sum")
        return bool(totals)

    try:
        wait_until(is_measured, 20)
    finally:
        server.terminate()
        server.wait(10 * PATIENCE)
    return totals[0]["bits_per_second"] * (1 - totals[0]["lost_percent"] / 100) / 1e6


def test_every_connection_carries_packets_between_the_sites_it_names(ring: dict[str, Any]) -> None:
    assert {name: (c["src"], c["dst"], c["key_source"]) for name, c in ring.items()} == {
        "agg-metro": ("agg1", "metro1", "qra"), "metro-core": ("metro1", "core1", "qkd"),
        "agg-core": ("agg1", "core1", "dh"),
    }  # fmt: skip
    wait_until(lambda: all(answers(c) for c in ring.values()), timeout_s=20, interval_s=0.2)


def test_each_direction_lets_through_what_was_asked_for_in_it(ring: dict[str, Any]) -> None:
    up, down = (received_mbps(ring["agg-core"], is_back=is_back) for is_back in (False, True))
    assert up < 4  # of the 2 Mbit/s asked for, and what the meter lets through at first
    assert down > 5


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_is_healed(ring: dict[str, Any], name: str) -> None:
    (cut, *_) = path = connection(NAME, name)["path"]
    answer("link", "down", cut)
    try:
        wait_until(lambda: connection(NAME, name)["path"] != path, timeout_s=20, interval_s=0.2)
        wait_until(lambda: answers(ring[name]), timeout_s=20, interval_s=0.2)
        assert cut not in connection(NAME, name)["path"]
    finally:
        answer("link", "up", cut)


def test_a_change_names_the_connection_and_leaves_the_others(ring: dict[str, Any]) -> None:
    changed = answer(
        "slice", "patch", NAME, "--set", "connections.agg-core.reverse_bandwidth_mbps=20",
        "--set", "connections.agg-metro.protection=none", "--set", "connections.cells.from=cell1",
        "--set", "connections.cells.to=cell2", "--set", "connections.cells.security=qra",
        "--set", "connections.cells.bandwidth_mbps=1", "--set", "connections.cells.latency_ms=20",
    )  # fmt: skip
    now = {c["name"]: c for c in changed["connections"]}
    assert (now["agg-core"]["bandwidth_mbps"], now["agg-core"]["reverse_bandwidth_mbps"]) == (2, 20)
    assert now["agg-metro"]["protection"] == "none"
    assert {name: now[name]["dst_address"] for name in NAMES} == {name: ring[name]["dst_address"] for name in NAMES}
    wait_until(lambda: all(answers(c) for c in now.values()), timeout_s=20, interval_s=0.2)


def test_protection_over_the_one_fibre_is_refused_by_its_name(ring: dict[str, Any]) -> None:
    done = qslice("slice", "patch", NAME, "--set", "connections.metro-core.protection=1:1", "--json")
    assert done.returncode == 1
    problem = json.loads(done.stdout)["problem"]
    assert [(r["constraint"], r["where"]) for r in problem["reasons"]] == [("protection", "fibre-adastral-cambridge")]
    assert [(n["field"], n["value"]) for n in problem["nearest"]] == [
        ("connections.metro-core.protection", "restoration")
    ]
    assert connection(NAME, "metro-core")["protection"] == "restoration"


def test_nothing_of_it_is_left(ring: dict[str, Any]) -> None:
    answer("slice", "delete", NAME)
    assert not answers(ring["agg-metro"])
    assert {c["reserved_mbps"] for c in answer("link", "list")} == {0}
