"""Interfaces of the machine as switch ports: refused while anybody uses them, put back after any end of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.testbed.paths import Layout
from tests.support.launcher import answer, footprint, left_since, qslice
from tests.support.wait import PATIENCE, wait_until
from topologies.attachments import InUse, look

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs]

TOPOLOGY = """\
name: cabled
sites:
  - {name: west, tier: cell, attach: eqw}
  - {name: east, tier: metro, vcpus: 4, memory_gb: 8, attach: eqe}
fibres:
  - {a: west, b: east, km: 5, channels: [dh], attached: true}
"""
SLICE = """\
name: cable
sNSSAI: {sst: 1}
connections:
  - {name: only, from: west, to: east, security: dh, bandwidth_mbps: 5, latency_ms: 100}
"""


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def state_of(interface: str) -> str:
    """What a run may change of an interface, and must put back."""
    (link,) = json.loads(ip("-json", "link", "show", "dev", interface))
    setting = Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")
    ipv6 = setting.read_text().strip() if setting.exists() else ""
    return f"{link['mtu']} {sorted(link['flags'])} {link.get('qdisc')} {ipv6}"


@pytest.fixture
def cable() -> Iterator[dict[str, str]]:
    """Two interfaces with a cable between them, up; their states."""
    ip("link", "add", "eqw", "type", "veth", "peer", "name", "eqe")
    try:
        for name in ("eqw", "eqe"):
            ip("link", "set", name, "up")
        wait_until(lambda: all(look([name])[0].is_up for name in ("eqw", "eqe")), 5)
        yield {name: state_of(name) for name in ("eqw", "eqe")}
    finally:
        ip("link", "del", "eqw")


def states() -> dict[str, str]:
    return {name: state_of(name) for name in ("eqw", "eqe")}


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "cabled.yaml").write_text(TOPOLOGY)
    return str(tmp_path / "cabled.yaml")


@pytest.mark.needs_tun
@pytest.mark.slow
def test_traffic_crosses_the_cable_and_all_is_as_before_after_down(
    cable: dict[str, str], file: str, tmp_path: Path
) -> None:
    left = footprint()
    (tmp_path / "slice.yaml").write_text(SLICE)
    answer("up", "--topo", file, "--detach")
    try:
        (found,) = answer("slice", "create", str(tmp_path / "slice.yaml"))["connections"]
        ping = ("exec", "west", "--", "ping", "-c", "2", "-i", "0.2", "-W", "1", found["dst_address"])
        wait_until(lambda: qslice(*ping).returncode == 0, 20 * PATIENCE, 0.2)
        assert states() != cable
        (listed,) = answer("link", "list")
        assert (listed["a_interface"], listed["b_interface"]) == ("eqw", "eqe")
        answer("link", "down", listed["id"])
        assert qslice(*ping).returncode != 0
        answer("link", "up", listed["id"])
        wait_until(lambda: qslice(*ping).returncode == 0, 20 * PATIENCE, 0.2)
    finally:
        down = qslice("down")
    assert down.returncode == 0, down.stderr
    assert left_since(left) == {}
    assert states() == cable


@pytest.mark.needs_tun
@pytest.mark.slow
@pytest.mark.parametrize("is_record_lost", [False, True])
def test_a_killed_run_leaves_them_to_be_put_back(cable: dict[str, str], file: str, is_record_lost: bool) -> None:
    left = footprint()
    answer("up", "--topo", file, "--detach")
    record = json.loads(Layout().record.read_text())
    try:
        os.kill(record["supervisor"]["pid"], signal.SIGKILL)
        assert states() != cable
        if is_record_lost:  # as after a power cut: /run is empty, Open vSwitch's database is not
            processes = [p["pid"] for p in record["processes"].values()]
            wait_until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in processes), 20 * PATIENCE)
            Layout().record.unlink()
    finally:
        down = qslice("down")
    assert down.returncode == 0, down.stderr
    assert states() == cable
    assert left_since(left) == {}


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        ("addr add 192.0.2.7/32 dev eqw", "eqw has the address 192.0.2.7"),
        ("addr add 2001:db8::7/64 dev eqw", "eqw has the address 2001:db8::7"),
        ("link set eqw master eqb", "eqw is part of eqb"),
        ("route add 198.51.100.0/24 dev eqw", "eqw has the route 198.51.100.0/24"),
        ("link add eqv link eqw type macvlan", "eqw carries eqv"),
        ("link set eqw name eqz", "there is no interface 'eqw'"),
    ],
)
def test_one_that_somebody_uses_is_refused(prepare: str, reason: str) -> None:
    ip("link", "add", "eqw", "type", "veth", "peer", "name", "eqe")
    ip("link", "add", "eqb", "type", "bridge")
    try:
        if "name" not in prepare:
            ip("link", "set", "eqw", "up")
        assert look(["eqw"])[0].name == "eqw"
        subprocess.run(["ip", *prepare.split()], check=True)
        with pytest.raises(InUse, match=reason):
            look(["eqw"])
    finally:
        for name in ("eqv", "eqw", "eqz", "eqb"):
            subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)


def test_a_shaped_one_and_the_loopback_are_refused(cable: dict[str, str]) -> None:
    subprocess.run(
        ["tc", "qdisc", "add", "dev", "eqw", "root", "tbf", "rate", "1mbit", "burst", "10kb", "latency", "10ms"],
        check=True,
    )
    with pytest.raises(InUse, match="eqw has the queueing discipline tbf"):
        look(["eqw"])
    with pytest.raises(InUse, match="lo is the loopback"):
        look(["lo"])


def test_a_port_of_anothers_bridge_is_refused(cable: dict[str, str]) -> None:
    subprocess.run(["ovs-vsctl", "add-br", "theirs", "--", "add-port", "theirs", "eqw"], check=True)
    try:
        with pytest.raises(InUse, match=r"eqw is (a port of the Open vSwitch bridge theirs|part of ovs-system)"):
            look(["eqw"])
    finally:
        subprocess.run(["ovs-vsctl", "del-br", "theirs"], check=True)


@pytest.mark.slow
def test_up_refuses_it_before_anything_is_made(cable: dict[str, str], file: str) -> None:
    left = footprint()
    ip("addr", "add", "192.0.2.7/32", "dev", "eqw")
    up = qslice("up", "--topo", file, "--detach")
    assert up.returncode == 2
    assert "attach: eqw has the address 192.0.2.7: QSlice takes only interfaces that nobody uses" in up.stderr
    assert left_since(left) == {}
    assert "192.0.2.7" in ip("addr", "show", "dev", "eqw")
    wrong = qslice("up", "--topo", file, "--detach", "--attach", "west")
    assert (wrong.returncode, "--attach: 'west' is not SITE=INTERFACE" in wrong.stderr) == (2, True)
