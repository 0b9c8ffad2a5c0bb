"""The emulated network, on real Open vSwitch: what is joined, what is kept apart, and that nothing is left."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.wait import wait_until
from topologies import links, nodes
from topologies.catalog import load
from topologies.datapath import has_netem, ovs_datapath
from topologies.net import KMS_NODE, ControllerAddress, EmulatedNetwork
from topologies.spec import Topology

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs]

NOBODY_LISTENS = ControllerAddress("127.0.0.1", 6699, "tcp")


def sh(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def ours() -> set[str]:
    """Everything on this machine that could be ours: interfaces, bridges (an interface each), Mininet's shells."""
    names = set(re.findall(r"qs-(?:cell|agg|metro|core|mgmt)[0-9-]*\b", sh("ip", "-o", "link").stdout))
    return names | {line for line in sh("ps", "-eo", "args").stdout.splitlines() if "mininet:" in line}


@pytest.fixture(scope="module")
def network() -> Iterator[EmulatedNetwork]:
    topology = load("ukqntel")
    with EmulatedNetwork(topology, ovs_datapath(), has_netem(), NOBODY_LISTENS) as network:
        yield network
    assert not ours()


@pytest.fixture
def topology(network: EmulatedNetwork) -> Topology:
    return network.topology


def inside(network: EmulatedNetwork, name: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return sh("nsenter", "-t", str(network.pids[name]), "-n", "--", *argv)


def carrier(interface: str) -> bool:
    return "LOWER_UP" in sh("ip", "-o", "link", "show", "dev", interface).stdout


def test_switches_have_the_ports_that_the_topology_names(network: EmulatedNetwork, topology: Topology) -> None:
    for site in topology.site_names:
        shown = sh("ovs-ofctl", "-O", "OpenFlow13", "show", topology.bridge(site)).stdout
        assert f"dpid:{topology.dpid(site):016x}" in shown
        found = {(int(n), name) for n, name in re.findall(r"^ (\d+)\((qs-[^)]+)\)", shown, re.MULTILINE)}
        assert found == {(p.number, p.interface) for p in topology.ports(site)}


def test_without_rules_nothing_is_forwarded(network: EmulatedNetwork, topology: Topology) -> None:
    peer = topology.host("agg1").data_address
    assert inside(network, "cell1", "ping", "-c", "1", "-W", "1", peer).returncode != 0
    flows = sh("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", topology.bridge("cell1")).stdout
    assert "actions=" not in flows


def test_a_host_reaches_its_kme_and_nothing_else(network: EmulatedNetwork, topology: Topology) -> None:
    def reaches(address: str) -> bool:
        return inside(network, "cell1", "ping", "-c", "1", "-W", "1", address).returncode == 0

    assert reaches(topology.host("cell1").kme_address)
    # Even a host that adds itself a route gets no further: the KMS' namespace forwards nothing.
    inside(network, "cell1", "ip", "route", "add", "10.254.0.0/16", "via", topology.host("cell1").kme_address)
    assert not reaches(topology.host("agg1").management_address)
    assert not reaches("10.254.255.2")


def test_the_machine_reaches_every_kme(network: EmulatedNetwork, topology: Topology) -> None:
    for site in topology.site_names:
        assert sh("ping", "-c", "1", "-W", "1", topology.host(site).kme_address).returncode == 0


def test_edge_case_19_a_cut_takes_one_channel_and_no_parallel_one(network: EmulatedNetwork, topology: Topology) -> None:
    cut, parallel = topology.channel("agg1-metro1-ch3"), topology.channel("agg1-metro1-ch4")
    ends = links.interfaces(topology, cut)
    links.set_up(ends, up=False)
    assert not any(carrier(end) for end in ends)
    assert all(carrier(end) for end in links.interfaces(topology, parallel))
    links.set_up(ends, up=True)
    wait_until(lambda: all(carrier(end) for end in ends), timeout_s=5)


def test_a_black_hole_keeps_carrier_and_is_undone(network: EmulatedNetwork, topology: Topology) -> None:
    channel = topology.channel("metro1-core1-ch4")
    ends = links.interfaces(topology, channel)
    before = sh("tc", "qdisc", "show", "dev", ends[0]).stdout.split()[4:]
    links.blackhole(ends)
    assert all(carrier(end) for end in ends)
    assert "8bit" in sh("tc", "qdisc", "show", "dev", ends[0]).stdout
    links.restore(ends, links.shape_of(topology, channel, network.netem))
    assert sh("tc", "qdisc", "show", "dev", ends[0]).stdout.split()[4:] == before


def test_a_site_switched_off_loses_carrier_and_rules_and_comes_back_empty(
    network: EmulatedNetwork, topology: Topology
) -> None:
    bridge, port = topology.bridge("metro1"), topology.port_of("agg1", "agg1-metro1-ch1").interface
    sh("ovs-ofctl", "-O", "OpenFlow13", "add-flow", bridge, "priority=1,actions=drop")
    nodes.switch_off(topology, "metro1")
    nodes.switch_off(topology, "metro1")  # twice is once
    assert not carrier(port)
    assert not sh("ovs-vsctl", "get-controller", bridge).stdout.strip()
    nodes.switch_on(topology, "metro1")
    wait_until(lambda: carrier(port), timeout_s=5)
    assert sh("ovs-vsctl", "get-controller", bridge).stdout.strip() == "tcp:127.0.0.1:6699"
    assert "actions=" not in sh("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", bridge).stdout


def test_capacity_is_emulated(network: EmulatedNetwork, topology: Topology) -> None:
    for channel in topology.channels:
        for end in links.interfaces(topology, channel):
            assert f"rate {channel.capacity_mbps:g}Mbit" in sh("tc", "qdisc", "show", "dev", end).stdout


def test_the_kms_namespace_is_apart(network: EmulatedNetwork, topology: Topology) -> None:
    shown = inside(network, KMS_NODE, "ip", "-br", "addr").stdout
    assert {topology.host(site).kme_address for site in topology.site_names} <= set(re.findall(r"[\d.]+(?=/30)", shown))
    assert inside(network, KMS_NODE, "sysctl", "-n", "net.ipv4.ip_forward").stdout.strip() == "0"
