"""The emulated network, on real Open vSwitch: what is joined, what is kept apart, and that nothing is left."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.launcher import footprint, left_since
from tests.support.wait import PATIENCE, wait_until
from topologies import links, nodes
from topologies.catalog import load
from topologies.datapath import has_netem, ovs_datapath
from topologies.net import KMS_NODE, ControllerAddress, EmulatedNetwork
from topologies.spec import Topology

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs]

NOBODY_LISTENS = ControllerAddress("127.0.0.1", 6699, "tcp")


def sh(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60 * PATIENCE)


@pytest.fixture(scope="module")
def network() -> Iterator[EmulatedNetwork]:
    topology = load("ukqntel")
    before = footprint()
    with EmulatedNetwork(topology, ovs_datapath(), has_netem(), NOBODY_LISTENS) as network:
        yield network
    assert left_since(before) == {}


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


TCP_SINK = (
    "import socket,sys; s=socket.socket(); s.setsockopt(1,2,1); s.bind((sys.argv[1],7000)); s.listen(); "
    "print('ready',flush=True); s.settimeout(20); c,_=s.accept(); n=0\n"
    "while d:=c.recv(65536): n+=len(d)\n"
    "c.sendall(b'%d' % n)"
)
TCP_SOURCE = (
    "import socket,sys; s=socket.create_connection((sys.argv[1],7000),5); s.settimeout(float(sys.argv[2])); "
    "s.sendall(bytes(1<<20)); s.shutdown(1); print(s.recv(20).decode())"
)
UDP_SINK = (
    "import socket,sys,time; s=socket.socket(2,2); s.setsockopt(1,33,8<<20); s.bind((sys.argv[1],7000)); "
    "print('ready',flush=True); s.settimeout(1.5); n=0; first=last=time.monotonic()\n"
    "try:\n"
    "  while s.recv(2000): last=time.monotonic(); first=first if n else last; n+=1\n"
    "except TimeoutError: print(n, last-first)"
)
UDP_SOURCE = (  # it sleeps to keep its pace
    "import socket,sys,time; s=socket.socket(2,2); end=time.monotonic()+1.5; n=0\n"
    "while time.monotonic()<end: n+=1; s.sendto(bytes(100),(sys.argv[1],7000)); time.sleep(0.0002)\n"
    "print(n)"
)


@pytest.fixture
def joined(network: EmulatedNetwork, topology: Topology) -> Iterator[str]:
    """cell1 and agg1 joined over one channel by static rules; agg1's address."""
    channel = "cell1-agg1-ch1"
    for site in ("cell1", "agg1"):
        port, bridge = topology.port_of(site, channel).number, topology.bridge(site)
        host = topology.ports(site)[0].number
        for match, output in ((host, port), (port, host)):
            rule = f"priority=9,in_port={match},actions=output:{output}"
            assert sh("ovs-ofctl", "-O", "OpenFlow13", "add-flow", bridge, rule).returncode == 0
    yield topology.host("agg1").data_address
    for site in ("cell1", "agg1"):
        for table in ("del-flows", "del-meters"):
            sh("ovs-ofctl", "-O", "OpenFlow13", table, topology.bridge(site))


def transfer(network: EmulatedNetwork, sink: str, source: str, address: str, *arguments: str) -> tuple[str, str]:
    """What sink (at agg1) and source (at cell1) say at their ends."""
    into = ["nsenter", "-t", str(network.pids["agg1"]), "-n", "--"]
    argv = [*into, sys.executable, "-c", sink, address]
    listener = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        sent = inside(network, "cell1", sys.executable, "-c", source, address, *arguments).stdout
        if not sent:
            listener.kill()
        return listener.communicate(timeout=30 * PATIENCE)[0], sent
    finally:
        listener.kill()
        listener.wait()


def test_edge_case_21_tcp_does_not_stall(network: EmulatedNetwork, topology: Topology, joined: str) -> None:
    mebibyte = "1048576\n"
    assert transfer(network, TCP_SINK, TCP_SOURCE, joined, "15")[1] == mebibyte
    if network.datapath_type != "netdev":
        return  # the kernel's datapath finishes checksums itself
    # That it is the mend that does it: with checksums left to the hardware ping works and TCP does not.
    offload = ["ethtool", "-K", "data0", "tx"]
    assert inside(network, "cell1", *offload, "on").returncode == 0
    try:
        assert inside(network, "cell1", "ping", "-c", "1", "-W", "2", joined).returncode == 0
        assert transfer(network, TCP_SINK, TCP_SOURCE, joined, "1.5")[1] != mebibyte
    finally:
        inside(network, "cell1", *offload, "off")


@pytest.mark.counts_packets
def test_edge_case_22_meters_hold_rates_with_headers_and_no_port_has_queues(
    network: EmulatedNetwork, topology: Topology, joined: str
) -> None:
    bridge, rate_kbps, burst_kbits = topology.bridge("cell1"), 100, 10
    meter = f"meter=1,kbps,burst,band=type=drop,rate={rate_kbps},burst_size={burst_kbits}"
    assert sh("ovs-ofctl", "-O", "OpenFlow13", "add-meter", bridge, meter).returncode == 0
    ports = topology.port_of("cell1", "cell1-agg1-ch1").number, topology.ports("cell1")[0].number
    rule = f"priority=9,in_port={ports[1]},actions=meter:1,output:{ports[0]}"
    assert sh("ovs-ofctl", "-O", "OpenFlow13", "add-flow", bridge, rule).returncode == 0
    received, sent = transfer(network, UDP_SINK, UDP_SOURCE, joined)
    count, lasted_s = int(received.split()[0]), float(received.split()[1])
    frame_bits, payload_bits = 8 * (14 + 20 + 8 + 100), 8 * 100
    allowed = 1000 * (rate_kbps * lasted_s + burst_kbits)
    assert int(sent) * payload_bits > 1.3 * allowed, "the sender was too slow to tell"
    assert 0.75 * allowed < count * frame_bits < 1.1 * allowed
    # Queues would fight with the shaping of channels over the root qdisc of the same port.
    ours = [p.interface for site in topology.site_names for p in topology.ports(site)]
    words = [word for port in ours for word in ("--", "get", "port", port, "qos")]
    assert set(sh("ovs-vsctl", *words).stdout.split()) == {"[]"}


def test_edge_case_23_nothing_speaks_ipv6_on_any_channel(network: EmulatedNetwork, topology: Topology) -> None:
    ports = [p.interface for site in topology.site_names for p in topology.ports(site)]
    for site in topology.site_names:
        assert inside(network, site, "ip", "-6", "addr", "show", "dev", "data0").stdout == ""
        assert inside(network, site, "ip", "-6", "addr", "show", "dev", "mgmt0").stdout == ""
    assert not {p for p in ports if sh("ip", "-6", "addr", "show", "dev", p).stdout}
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86DD)) as listener:
        # Interfaces that come up are what solicits routers and looks for duplicate addresses.
        links.set_up(tuple(ports), up=False)
        links.set_up(tuple(ports), up=True)
        listener.settimeout(1.5)
        heard = set()
        with contextlib.suppress(TimeoutError):
            while True:
                heard.add(listener.recvfrom(2000)[1][0])
    assert heard & set(ports) == set()
