"""What `qslice keys` shows of a running network: a relay over four nodes, a mesh with one section cut, one tapped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from scripts.testbed.faults import FAULTS, FaultKind
from scripts.testbed.slice_requests import load_example
from tests.support.launcher import LAYOUT, answer, footprint, left_since, qslice
from tests.support.running_kms import ask_admin
from tests.support.wait import wait_until

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
    assert left_since(before) == {}


def keys() -> dict[str, Any]:
    """What `qslice keys --json` prints, without the second that a command takes."""
    return dict(ask_admin(LAYOUT.kms_socket, "GET", "/v1/keys").body)


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


def show(*words: str) -> dict[str, Any]:
    """What a person and a program are shown now; the tables have these words."""
    table = tables()
    for word in words:
        assert word in " ".join(table.split())
    return dict(answer("keys"))


@pytest.fixture
def mended(network: None) -> Iterator[None]:
    """Whatever a test breaks is mended before the next."""
    wait_until(is_on_without, 40, 0.1)
    yield
    for fault in answer("status")["faults"]:
        answer(*FAULTS[FaultKind(fault["fault"])].inverse.split(), fault["target"])
    wait_until(lambda: all(s["state"] == "active" for s in keys()["sections"]), 40, 0.1)


def test_a_relay_over_four_nodes(mended: None) -> None:
    told = show("QKD sections", "QKD links", "Relay routes", "Reservations")
    assert len(route(told)["nodes"]) == 2  # aggregation and metro, beside cell and core
    assert len(route(told)["sections"]) == 3
    rates = {s["id"]: s["skr_bps"] for s in told["sections"]}
    assert route(told)["skr_bps"] == min(rates[name] for name in route(told)["sections"])
    held = reservation(told)
    assert held is not None
    assert (held["owner"], held["key_source"], held["min_bandwidth"]) == ("controller", "qkd", 86)
    assert is_pinging()


def test_a_mesh_with_a_cut_section(mended: None) -> None:
    held = reservation(keys())
    assert held is not None
    cut = inner(held)
    assert "is cut" in answer("section", "cut", cut)["now"]
    wait_until(lambda: is_on_without(cut), 20, 0.1)
    told = show("fibre is cut")
    gone = next(s for s in told["sections"] if s["id"] == cut)
    assert (gone["state"], gone["skr_bps"], gone["available_bits"]) == ("stopped", 0, 0)
    assert [link["usable"] for link in told["links"] if cut in link["sections"]] == [False]
    moved = reservation(told)
    assert moved is not None
    assert cut not in {*moved["sections"], *route(told)["sections"]}
    assert is_pinging()


def test_a_mesh_with_an_eavesdropped_section(mended: None) -> None:
    held = reservation(keys())
    assert held is not None
    tapped = inner(held)
    quiet = section(tapped)
    answer("eavesdrop", "start", tapped)
    wait_until(lambda: section(tapped)["state"] == "stopped", 30, 0.1)
    wait_until(lambda: is_on_without(tapped), 20, 0.1)
    told = show("error rate")
    heard = next(s for s in told["sections"] if s["id"] == tapped)
    assert heard["qber"] > 0.11 > quiet["qber"]
    assert heard["skr_bps"] == 0 < quiet["skr_bps"]
    assert is_pinging()


def test_the_slice_is_deleted_and_its_reservations_with_it(mended: None) -> None:
    answer("slice", "delete", "enterprise-app")
    wait_until(lambda: keys()["reservations"] == [], 10, 0.1)
    assert answer("keys")["reservations"] == []
