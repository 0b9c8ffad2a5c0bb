"""Faults on a running network: each shows in the data plane, and lifting it brings the packets back."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.testbed.clients import KmsAdmin
from tests.support.launcher import LAYOUT, answer, connection, network_up, qslice
from tests.support.wait import wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]


@pytest.fixture(scope="module")
def connections() -> Iterator[dict[str, dict[str, Any]]]:
    with network_up():
        made = answer("slice", "create", "--example", "enterprise-app")
        yield {c["name"]: c for c in made["connections"]}


def answers(connection: dict[str, Any]) -> bool:
    words = ("ping", "-c", "2", "-i", "0.2", "-W", "1", connection["dst_address"])
    return qslice("exec", connection["src"], "--", *words).returncode == 0


def faults() -> list[str]:
    return [f"{f['fault']} {f['target']}" for f in answer("status")["faults"]]


@pytest.mark.parametrize("name", ["kms", "controller", "tunnel-cell1"])
def test_a_killed_process_is_restarted_and_the_slice_carries_packets(connections: dict[str, Any], name: str) -> None:
    answer("kill", name)
    assert answer("status")["processes"][name] == "down"
    assert faults() == [f"kill {name}"]
    assert "already" in answer("kill", name)["now"]
    answer("restart", name)
    assert set(answer("status")["processes"].values()) == {"up"}
    assert faults() == []
    wait_until(lambda: all(answers(c) for c in connections.values()), timeout_s=20, interval_s=0.2)


def test_the_kme_of_one_site_is_taken_away_and_keys_in_use_go_on(connections: dict[str, Any]) -> None:
    site = connections["compute-core"]["src"]

    def kmes() -> dict[str, bool]:
        kms = KmsAdmin(LAYOUT.kms_socket)
        return {kme["site"]: kme["listening"] for kme in kms.call("GET", "/v1/status")[1]["kmes"]}

    answer("kill", f"kme-{site}")
    assert {s for s, is_listening in kmes().items() if not is_listening} == {site}
    assert faults() == [f"kill kme-{site}"]
    assert all(answers(c) for c in connections.values())
    answer("restart", "kms")  # the site's stays away when all the others are back
    assert {s for s, is_listening in kmes().items() if not is_listening} == {site}
    answer("restart", f"kme-{site}")
    assert all(kmes().values())
    assert faults() == []
    wait_until(lambda: all(answers(c) for c in connections.values()), timeout_s=20, interval_s=0.2)


def test_a_controller_comes_back_while_a_site_is_off(connections: dict[str, Any]) -> None:
    answer("node", "down", "cell2")
    answer("kill", "controller")
    answer("restart", "controller")
    wait_until(lambda: state_of("cell2-compute") == "DEGRADED", timeout_s=10, interval_s=0.2)
    answer("node", "up", "cell2")
    wait_until(lambda: all(answers(c) for c in connections.values()), timeout_s=20, interval_s=0.2)


def state_of(name: str) -> Any:
    return shown(name)["state"]


def test_one_direction_of_a_black_hole_stops_the_answers_and_lifting_it_brings_them_back(
    connections: dict[str, Any],
) -> None:
    shown = answer("slice", "show", "enterprise-app")["connections"][0]
    name, path = shown["name"], shown["path"]
    answer("link", "blackhole", path[0], "--direction", "b-a")
    try:
        wait_until(lambda: not answers(connections[name]) or path_of(name) != path, timeout_s=10)
    finally:
        answer("link", "up", path[0])
    wait_until(lambda: answers(connections[name]), timeout_s=10)
    assert faults() == []


def path_of(name: str) -> Any:
    return shown(name)["path"]


def test_a_cut_under_a_site_that_is_off_shows_when_the_site_is_back(connections: dict[str, Any]) -> None:
    answer("node", "down", "metro1")
    assert "hidden behind: node down metro1" in answer("link", "down", "agg1-metro1-ch1")["now"]
    answer("node", "up", "metro1")
    assert faults() == ["link down agg1-metro1-ch1"]
    assert has_carrier("agg1-metro1-ch2")
    assert not has_carrier("agg1-metro1-ch1")
    assert "lifted" in answer("link", "up", "agg1-metro1-ch1")["now"]
    assert "no fault" in answer("link", "up", "agg1-metro1-ch1")["now"]
    assert has_carrier("agg1-metro1-ch1")
    wait_until(lambda: all(answers(c) for c in connections.values()), timeout_s=20, interval_s=0.2)


def has_carrier(channel: str) -> bool:
    interface = next(c["a_interface"] for c in answer("link", "list") if c["id"] == channel)
    return "LOWER_UP" in subprocess.run(["ip", "link", "show", interface], capture_output=True, text=True).stdout


def test_an_eavesdropper_outlives_the_kms(connections: dict[str, Any]) -> None:
    answer("eavesdrop", "start", "s1")
    answer("kill", "kms")
    assert "hidden behind: kill kms" in answer("eavesdrop", "start", "s2")["now"]
    answer("restart", "kms")
    wait_until(lambda: stopped_sections() == {"s1", "s2"}, timeout_s=10, interval_s=0.2)
    for section in ("s1", "s2"):
        answer("eavesdrop", "stop", section)
    wait_until(lambda: not stopped_sections(), timeout_s=15, interval_s=0.2)


def stopped_sections() -> set[str]:
    return {s["id"] for s in answer("keys")["sections"] if s["state"] != "active"}


def test_a_flap_ends_up_and_a_process_that_died_by_itself_can_be_restarted(connections: dict[str, Any]) -> None:
    done = answer("link", "flap", "agg1-metro1-ch1", "--times", "3", "--period", "0.2")
    assert re.search("flapped 3 times", done["now"])
    assert faults() == []
    record = (LAYOUT.run / "run.json").read_text(encoding="utf-8")
    pid = re.search(r'"kms": \{\s*"pid": (\d+)', record)
    assert pid is not None
    os.kill(int(pid[1]), signal.SIGKILL)
    wait_until(lambda: answer("status")["processes"]["kms"] == "down", timeout_s=5)
    answer("restart", "kms")
    assert answer("status")["processes"]["kms"] == "up"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["kill", "tunnel-cell9"], "tunnel-cell9"),
        (["restart", "sshd"], "sshd"),
        (["link", "flap", "agg1-metro1-ch1", "--times", "0"], "--times"),
        (["link", "flap", "agg1-metro1-ch1", "--period", "0"], "--period"),
        (["link", "down", "agg1-metro1-ch1", "--direction", "sideways"], "--direction"),
    ],
)
def test_wrong_faults_are_refused(connections: dict[str, Any], words: list[str], names: str) -> None:
    done = qslice(*words)
    assert done.returncode == 2
    assert names in done.stderr


def shown(name: str) -> dict[str, Any]:
    return dict(connection("enterprise-app", name))


def has_left(name: str, channel: str) -> bool:
    """Whether the connection is at work elsewhere, by what the controller says and by what passes."""
    view = shown(name)
    return bool(view["state"] == "ACTIVE" and view["path"] and channel not in view["path"]) and answers(view)


@pytest.mark.parametrize("direction", ["", "a-b", "b-a"])
def test_a_black_hole_that_no_switch_notices_is_left_by_the_probes_alone(
    connections: dict[str, Any], direction: str
) -> None:
    wait_until(lambda: state_of("cell1-control") == "ACTIVE", timeout_s=20, interval_s=0.2)
    hole = path_of("cell1-control")[1]
    answer("link", "blackhole", hole, *(["--direction", direction] if direction else []))
    try:
        wait_until(lambda: has_left("cell1-control", hole), timeout_s=20, interval_s=0.2)
    finally:
        answer("link", "up", hole)


def test_edge_case_03_a_second_failure_during_a_reroute_is_seen_by_the_probe(connections: dict[str, Any]) -> None:
    wait_until(lambda: state_of("cell1-control") == "ACTIVE", timeout_s=20, interval_s=0.2)
    first = path_of("cell1-control")[1]
    answer("link", "down", first)
    second = ""
    try:
        wait_until(lambda: first not in path_of("cell1-control"), timeout_s=10, interval_s=0.05)
        second = path_of("cell1-control")[1]
        answer("link", "blackhole", second)  # no port says so: ACTIVE by belief, dead by probe
        wait_until(lambda: has_left("cell1-control", second), timeout_s=20, interval_s=0.2)
        assert first not in path_of("cell1-control")
    finally:
        for channel in filter(None, (first, second)):
            answer("link", "up", channel)


def test_a_tunnel_agent_that_dies_is_said_and_its_connections_come_back(connections: dict[str, Any]) -> None:
    wait_until(lambda: state_of("cell1-control") == "ACTIVE", timeout_s=20, interval_s=0.2)
    before = path_of("cell1-control")
    answer("kill", "tunnel-cell1")
    try:
        wait_until(lambda: "tunnel agent at cell1" in str(shown("cell1-control")["reason"]), timeout_s=10)
        assert shown("cell1-control")["state"] == "DEGRADED"
        assert answer("slice", "show", "enterprise-app")["state"] == "DEGRADED"
        assert path_of("cell1-control") == before, "its way is not at fault"
    finally:
        answer("restart", "tunnel-cell1")
    wait_until(lambda: answer("slice", "show", "enterprise-app")["state"] == "ACTIVE", timeout_s=20, interval_s=0.2)


def test_a_controller_that_comes_back_confirms_what_passes(connections: dict[str, Any]) -> None:
    answer("kill", "controller")
    answer("restart", "controller")
    wait_until(lambda: answer("slice", "show", "enterprise-app")["state"] == "ACTIVE", timeout_s=20, interval_s=0.2)
    assert all(not c["conditions"] for c in answer("slice", "show", "enterprise-app")["connections"])
