"""Watching a network by commands: names in hosts, traffic by slice, faults in force, events, logs, captures."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.launcher import LAYOUT, answer, argv, environment, network_up, qslice
from tests.support.wait import PATIENCE, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun]

SLICE = "enterprise-app"
CUT, SECTION, SITE = "metro1-core1-ch4", "s2", "cell2"


@pytest.fixture(scope="module")
def network() -> Iterator[Any]:
    with network_up() as up:
        answer("slice", "create", "--example", SLICE)
        yield up


@contextmanager
def following(*words: str) -> Iterator[Iterator[str]]:
    """The lines of a command that goes on until Ctrl-C, which ends it."""
    process = subprocess.Popen(argv(*words), env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield iter(process.stdout.readline, "")
        process.send_signal(signal.SIGINT)
        assert process.wait(10 * PATIENCE) == 130
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_hosts_call_each_other_by_name(network: Any) -> None:
    machines = Path("/etc/hosts").read_text()
    done = qslice("exec", "cell1", "--", "ping", "-c", "1", "-W", "5", f"metro1.{SLICE}")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (f"cell1-compute.{SLICE}", f"core1.{SLICE}"):
        assert qslice("exec", "cell1", "--", "getent", "hosts", name).returncode == 0
    assert qslice("exec", "core1", "--", "getent", "hosts", f"cell1-compute.{SLICE}").returncode != 0
    assert Path("/etc/hosts").read_text() == machines
    assert SLICE not in machines


def test_names_come_and_go_with_slices_and_anybody_may_read_them(network: Any) -> None:
    assert stat.S_IMODE(LAYOUT.names.stat().st_mode) == 0o644
    assert f"slice {SLICE}\n" in LAYOUT.names.read_text()
    answer("slice", "create", "--example", "ring")
    assert "connection ring/metro-core\n" in LAYOUT.names.read_text()
    assert qslice("exec", "agg1", "--", "getent", "hosts", "core1.ring").returncode == 0
    answer("slice", "delete", "ring")
    assert "ring" not in LAYOUT.names.read_text()
    assert qslice("exec", "agg1", "--", "getent", "hosts", "core1.ring").returncode != 0


def test_traffic_by_slice_and_connection(network: Any) -> None:
    assert [each["loss_pct"] for each in answer("ping", SLICE, "--count", "3")] == [0.0] * 5
    (measured,) = answer("iperf", f"{SLICE}/cell1-compute", "--seconds", "1")
    assert 0 < measured["received_mbps"] < 3 * measured["asked_mbps"]
    for words, said in (
        (["ping", "nosuch"], "no slice 'nosuch'"),
        (["iperf", f"{SLICE}/x"], "there are cell1-control"),
    ):
        done = qslice(*words)
        assert (done.returncode, said in done.stderr) == (2, True)


def test_a_capture_has_plain_packets_in_the_host_and_esp_on_the_channel(network: Any, tmp_path: Path) -> None:
    connection = f"{SLICE}/cell1-compute"
    found = {}
    for at in ("host", "channel"):
        file = tmp_path / f"{at}.pcap"
        words = argv("capture", connection, "--at", at, "--seconds", "4", "--out", str(file), "--json")
        capture = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True)
        _wait_for_header(file)
        answer("ping", connection, "--count", "5")
        told = json.loads(capture.communicate(timeout=60 * PATIENCE)[0])
        assert capture.returncode == 0
        assert told["packets"] > 0
        found[at] = subprocess.run(
            ["tcpdump", "-n", "-r", str(file)], capture_output=True, text=True, check=True
        ).stdout
    assert "ICMP echo request" in found["host"]
    assert "ICMP" not in found["channel"]
    assert "UDP" in found["channel"]


def _wait_for_header(file: Path) -> None:
    """tcpdump writes the file's header as soon as it takes packets, under a name that is replaced at the end."""
    wait_until(lambda: any(each.stat().st_size for each in file.parent.glob(f".{file.name}.*")), 20)


def test_faults_are_listed_and_cleared_whichever_command_made_them(network: Any) -> None:
    assert answer("fault", "list") == []
    assert answer("status", "--check")["complaints"] == []
    for words in (
        ("link", "blackhole", CUT),
        ("eavesdrop", "start", SECTION),
        ("node", "down", SITE),
        ("kill", "kme-agg1"),
    ):
        answer(*words)
    listed = answer("fault", "list")
    assert [(each["fault"], each["target"]) for each in listed] == [
        ("link blackhole", CUT), ("eavesdrop start", SECTION), ("node down", SITE), ("kill", "kme-agg1")
    ]  # fmt: skip
    checked = qslice("status", "--check", "--json")
    assert checked.returncode == 1
    assert f"there is a fault: node down {SITE}" in json.loads(checked.stdout)["complaints"]
    cleared = answer("fault", "clear", SECTION, "kme-agg1")
    assert {each["target"] for each in cleared["lifted"]} == {SECTION, "kme-agg1"}
    assert {each["target"] for each in cleared["left"]} == {CUT, SITE}
    refused = qslice("fault", "clear", SECTION)
    assert (refused.returncode, CUT in refused.stderr) == (2, True)
    assert answer("fault", "clear", "--all")["left"] == []
    assert answer("fault", "list") == []
    answer("slice", "wait", SLICE)
    assert answer("fault", "clear", "--all") == {"lifted": [], "left": []}


def test_events_are_followed_as_they_happen(network: Any) -> None:
    before = _followers(network)
    with following("events", "-f", "--kind", "link", "--json") as lines:
        wait_until(lambda: _followers(network) > before, 20)
        answer("link", "down", CUT)
        answer("link", "up", CUT)
        heard = [json.loads(next(lines)) for _ in range(2)]
    assert [(event["channel"], event["state"]) for event in heard] == [(CUT, "down"), (CUT, "up")]
    assert all(event["time"].endswith("Z") for event in heard)
    kept = answer("events", "--kind", "slice", "--slice", SLICE)
    assert kept[0]["event"] == "slice"


def _followers(network: Any) -> int:
    """As the controller counts them; one that leaves is noticed later, so none may have left just before."""
    with urllib.request.urlopen(f"{network['api']}/metrics", timeout=60 * PATIENCE) as response:
        found = re.search(r"^qslice_event_followers (\d+)", response.read().decode(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_logs_are_shown_and_followed(network: Any) -> None:
    assert len(answer("logs", "controller", "--lines", "3")["lines"]) == 3
    with following("logs", "controller", "-f", "--lines", "1") as lines:
        next(lines)
        answer("link", "down", CUT)
        assert any(f"channel {CUT} is down" in next(lines) for _ in range(50))
    answer("link", "up", CUT)
    refused = qslice("logs", "nosuch")
    assert (refused.returncode, all(name in refused.stderr for name in ("controller", "kms"))) == (2, True)


def test_sites_links_and_processes(network: Any) -> None:
    assert [site["name"] for site in answer("site", "list")] == list(network["hosts"])
    assert answer("node", "show", "metro1") == answer("site", "show", "metro1")
    assert answer("link", "show", CUT)["id"] == CUT
    assert {each["name"] for each in answer("process", "list")} == set(network["processes"])
    assert qslice("section", "list", "-o", "name").stdout.split() == ["s1", "s2", "s3", "s4"]
