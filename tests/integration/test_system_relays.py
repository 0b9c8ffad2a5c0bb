"""What `qslice keys` shows of a running network: a relay over four nodes, a mesh with one section cut, one tapped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from scripts.commands.slices import load_example
from tests.integration.launcher import answer, footprint, qslice
from tests.wait import wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]

ENDS = ("cell1", "core1")


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """A mesh that is up, with a QKD connection from cell to core; nothing may be left of it afterwards."""
    before = footprint()
    up = qslice("up", "--detach", "--topo", "metro-ring", "--json")
    assert up.returncode == 0, up.stderr
    try:
        request = load_example("enterprise-app") | {"cells": ["cell1"], "core": "core1"}
        request["connections"]["control"] = {"security": "qkd", "bandwidth_mbps": 1, "latency_ms": 20}
        answer("slice", "create", "-", stdin=yaml.safe_dump(request))
        yield
    finally:
        down = qslice("down")
    assert down.returncode == 0, down.stderr
    assert footprint() == before


def keys() -> dict[str, Any]:
    return dict(answer("keys"))


def section(name: str) -> dict[str, Any]:
    return next(s for s in keys()["sections"] if s["id"] == name)


def route(told: dict[str, Any]) -> dict[str, Any]:
    return next(r for r in told["routes"] if {r["a"], r["b"]} == set(ENDS))


def reservation(told: dict[str, Any]) -> dict[str, Any] | None:
    saes = {f"sae-{site}" for site in ENDS}
    found = [r for r in told["reservations"] if {r["server_app_id"], *r["client_app_id"]} == saes]
    return found[0] if found else None


def inner(held: dict[str, Any]) -> str:
    """A section of the reservation's way that is at neither of its ends: there are others beside it."""
    return next(str(name) for name in held["sections"] if not any(site in name for site in ENDS))


def is_on_without(*sections: str) -> bool:
    """Whether the reservation holds, and neither it nor the route crosses these."""
    told = keys()
    held = reservation(told)
    if held is None or held["app_status"] != "ON" or not route(told)["usable"]:
        return False
    return not set(sections) & {*held["sections"], *route(told)["sections"]}


def is_pinging() -> bool:
    shown = next(c for c in answer("slice", "show", "enterprise-app")["connections"] if c["name"] == "cell1-control")
    done = qslice("exec", shown["src"], "--", "ping", "-c", "3", "-i", "0.2", "-W", "1", shown["dst_address"])
    return done.returncode == 0


def tables() -> str:
    done = qslice("keys")
    assert done.returncode == 0, done.stderr
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)
    return done.stdout


def test_rates_routes_and_reservations_follow_what_happens_to_the_sections(network: None) -> None:
    # Four nodes: cell, aggregation, metro and core; two of them are trusted with the key.
    wait_until(is_on_without, 30, 0.3)
    told = keys()
    assert len(route(told)["nodes"]) == 2
    assert len(route(told)["sections"]) == 3
    rates = {s["id"]: s["skr_bps"] for s in told["sections"]}
    assert route(told)["skr_bps"] == min(rates[name] for name in route(told)["sections"])
    held = reservation(told)
    assert held is not None
    assert (held["owner"], held["key_source"], held["min_bandwidth"]) == ("controller", "qkd", 86)
    for heading in ("QKD sections", "QKD links", "Relay routes", "Reservations"):
        assert heading in tables()

    # A fibre of the mesh is cut.
    first = inner(held)
    assert "without light" in answer("section", "cut", first)["now"]
    wait_until(lambda: is_on_without(first), 20, 0.3)
    gone = section(first)
    assert (gone["state"], gone["skr_bps"], gone["available_bits"]) == ("stopped", 0, 0)
    assert [link["usable"] for link in keys()["links"] if first in link["sections"]] == [False]
    assert "fibre is cut" in " ".join(tables().split())
    assert is_pinging()

    # A section that it moved to is tapped as well.
    moved = reservation(keys())
    assert moved is not None
    second = inner(moved)
    answer("eavesdrop", "start", second)
    wait_until(lambda: section(second)["state"] == "stopped", 30, 0.3)
    assert section(second)["qber"] > 0.11
    assert section(second)["skr_bps"] == 0
    wait_until(lambda: is_on_without(first, second), 20, 0.3)
    assert is_pinging()

    # Both are put right, and give key again.
    answer("section", "mend", first)
    answer("eavesdrop", "stop", second)
    wait_until(lambda: all(section(name)["state"] == "active" for name in (first, second)), 30, 0.3)
    wait_until(lambda: section(first)["skr_bps"] > 0, 10, 0.3)

    # Without any section at the core there is no route, and it says why.
    around = [s["id"] for s in keys()["sections"] if "core1" in (s["a"], s["b"])]
    for name in around:
        answer("section", "cut", name)
    wait_until(lambda: not route(keys())["usable"], 10, 0.3)
    assert all(name in route(keys())["reason"] for name in around)
    wait_until(lambda: reservation(keys()) is None or not reservation(keys())["sections"], 20, 0.3)  # type: ignore[index]
    assert "NONE" in tables()
    for name in around:
        answer("section", "mend", name)
    wait_until(is_on_without, 40, 0.3)


def test_the_slice_is_deleted_and_its_reservations_with_it(network: None) -> None:
    answer("slice", "delete", "enterprise-app")
    wait_until(lambda: keys()["reservations"] == [], 10, 0.3)
