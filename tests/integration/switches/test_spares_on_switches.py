"""Dark channels and fallbacks on real Open vSwitch bridges: the light goes on, packets pass, the light goes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.testbed.paths import REPOSITORY
from tests.support.switch_fabric import Controller, Fabric, free_port, run, unique_prefix, with_prefix
from tests.support.wait import wait_until
from topologies import links
from topologies.spec import Channel, SecurityClass, Site, Tier, Topology, Wavelength

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.counts_packets]

EXAMPLES = REPOSITORY / "scripts" / "examples"
PREFIX = unique_prefix()
NONE, DH = SecurityClass.NONE, SecurityClass.DH
CELL, CORE = PREFIX + "cell", PREFIX + "core"
HOLD_S = 1.0
# Pings of 400: the one on its way when the pings end, or a switch changes its rules.
FEW = 1


def small() -> Topology:
    """cell -- mid == core: in the second half a dh channel, one without security, and a dark spare of dh."""
    channels = (
        ("first", "cell", "mid", DH, False), ("main", "mid", "core", DH, False),
        ("low", "mid", "core", NONE, False), ("spare", "mid", "core", DH, True),
    )  # fmt: skip
    return Topology(
        "small",
        (Site("cell", Tier.CELL), Site("mid", Tier.METRO, vcpus=8, memory_gb=32), Site("core", Tier.CORE)),
        tuple(Wavelength(f"w-{i}", security) for i, _, _, security, _ in channels),
        tuple(
            Channel(i, a, b, f"w-{i}", security, 100.0, 10.0, frozenset({f"w-{i}"}), dark)
            for i, a, b, security, dark in channels
        ),
    )


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    with Fabric(with_prefix(small(), PREFIX), free_port()) as fabric:
        process = Controller(fabric, tmp_path, hold_down_s=0.3, spare_hold_s=HOLD_S)
        try:
            process.start()
            wait_until(lambda: is_dark(process), 10)
            yield process
        finally:
            process.stop()


def create(controller: Controller, **control: Any) -> None:
    raw: dict[str, Any] = yaml.safe_load((EXAMPLES / "cdn.yaml").read_text())
    raw |= {"cells": [CELL], "core": CORE}
    raw["compute"] |= {"site": PREFIX + "mid", "vcpus": 1, "memory_gb": 1}
    little = {"security": "none", "bandwidth_mbps": 0.1, "latency_ms": 50, "protection": "none"}
    raw["connections"] = {
        "control": {"security": "none", "bandwidth_mbps": 5, "latency_ms": 50} | control,
        "access": little, "backhaul": little,
    }  # fmt: skip
    status, view = controller.call("POST", "/v1/slices", raw)
    assert status == 201, view


def connection(controller: Controller) -> dict[str, Any]:
    view = controller.call("GET", "/v1/slices/cdn")[1]
    return next(c for c in view["connections"] if c["name"].endswith("-control"))


def states(controller: Controller) -> dict[str, str]:
    return {c["id"]: c["state"] for c in controller.call("GET", "/v1/topology")[1]["channels"]}


def held_down(controller: Controller, channel_id: str) -> list[bool]:
    """Whether Open vSwitch holds each end's port down."""
    topology = controller.fabric.topology
    found = []
    for site in topology.channel(channel_id).ends:
        text = run("ovs-ofctl", "-O", "OpenFlow13", "show", topology.bridge(site))
        port = re.search(rf"\({topology.port_of(site, channel_id).interface}\):.*?config:\s*(\S+)", text, re.DOTALL)
        assert port, text
        found.append(port.group(1) == "PORT_DOWN")
    return found


def is_dark(controller: Controller) -> bool:
    return held_down(controller, "spare") == [True, True]


def lost(text: str) -> int:
    """Of the pings of a summary."""
    sent, received = map(int, re.findall(r"(\d+) (?:packets transmitted|received)", text)[:2])
    return sent - received


def loss(controller: Controller, made: dict[str, Any], count: int = 20) -> int:
    text = controller.fabric.sh(made["src"], f"ping -q -i 0.02 -c {count} -W 1 {made['dst_address']}", check=False)
    return lost(text)


def cut(controller: Controller, *channels: str, state: str = "down") -> None:
    for channel in channels:
        controller.fabric.set_channel(channel, state)


def test_a_split_network_is_lit_up_survives_a_restart_and_goes_dark_again(controller: Controller) -> None:
    create(controller)
    assert states(controller) == {"first": "up", "main": "up", "low": "up", "spare": "dark"}
    before = connection(controller)
    assert loss(controller, before) == 0

    cut(controller, "main", "low")
    wait_until(lambda: connection(controller)["path"] == ["first", "spare"], 10)
    wait_until(lambda: connection(controller)["state"] == "ACTIVE", 5)
    made = connection(controller)
    assert held_down(controller, "spare") == [False, False]
    assert states(controller)["spare"] == "up"
    assert made["reroutes"][-1]["cause"] == "spare"
    assert loss(controller, made) == 0

    # The next process finds it in use and leaves it lit: packets pass all the while.
    pinger = controller.fabric.popen(made["src"], "ping", "-q", "-i", "0.01", "-w", "4", made["dst_address"])
    controller.kill()
    controller.start()
    text = pinger.communicate()[0]
    assert lost(text) <= FEW, text
    assert connection(controller)["path"] == ["first", "spare"]
    assert states(controller)["spare"] == "up"

    cut(controller, "main", "low", state="up")
    pinger = controller.fabric.popen(made["src"], "ping", "-q", "-i", "0.01", "-c", "400", made["dst_address"])
    wait_until(lambda: states(controller)["spare"] == "dark", 10)
    text = pinger.communicate()[0]
    assert lost(text) <= FEW, text  # make before break
    assert is_dark(controller)
    assert connection(controller)["path"] == before["path"]

    # What raises a dark port by hand, or a switch that starts anew, does not light it.
    for site in ("mid", "core"):
        interface = controller.fabric.topology.port_of(PREFIX + site, "spare").interface
        run("ip", "link", "set", interface, "up")
    wait_until(lambda: is_dark(controller), 10)
    assert states(controller)["spare"] == "dark"


def test_a_spare_that_loses_everything_is_not_used(controller: Controller) -> None:
    create(controller)
    topology = controller.fabric.topology
    links.blackhole(links.interfaces(topology, topology.channel("spare"))[:1])
    cut(controller, "main", "low")
    wait_until(lambda: bool(controller.call("GET", "/v1/topology")[1]["faults"]), 10)
    (fault,) = controller.call("GET", "/v1/topology")[1]["faults"]
    assert "spare" in fault
    assert "nothing arrives" in fault
    wait_until(lambda: is_dark(controller), 5)
    wait_until(lambda: "would heal it" in (connection(controller)["reason"] or ""), 5)
    assert connection(controller)["state"] == "DEGRADED"
    cut(controller, "main", state="up")
    wait_until(lambda: connection(controller)["state"] == "ACTIVE", 5)


def test_a_fallback_is_used_and_undone(controller: Controller) -> None:
    topology = controller.fabric.topology
    create(controller, security="dh", fallback=["none"])
    links.blackhole(links.interfaces(topology, topology.channel("spare")))  # no help from there
    cut(controller, "main")
    wait_until(lambda: connection(controller)["is_on_fallback"], 10)
    wait_until(lambda: connection(controller)["state"] == "ACTIVE", 5)
    made = connection(controller)
    assert (made["required"], made["level"], made["key_source"]) == ("dh", "none", "none")
    assert made["path"] == ["first", "low"]
    assert loss(controller, made) == 0  # in the clear, as listed

    cut(controller, "main", state="up")
    wait_until(lambda: not connection(controller)["is_on_fallback"], 10)
    wait_until(lambda: connection(controller)["state"] == "ACTIVE", 5)
    made = connection(controller)
    assert (made["level"], made["path"]) == ("dh", ["first", "main"])
    told = controller.agents[CELL].connections["cdn/" + made["name"]]
    assert (told["mode"], told["key_source"]) == ("esp", "dh")
