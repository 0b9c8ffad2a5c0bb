"""Adapter: a :class:`Topology` as a running Mininet network, and nothing left of it afterwards.

One Open vSwitch bridge per site, one veth pair per channel, a host per site. The management network is apart
from all this: point-to-point links from each host into the namespace of the KMS, which forwards nothing, so that
a host reaches the KMS and nothing else over it. One more such link joins the KMS to the machine itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from mininet.link import Link
from mininet.net import Mininet
from mininet.node import Controller, Node, OVSSwitch
from mininet.topo import Topo

from topologies import bfd, links
from topologies.machine import MANAGEMENT_NETWORK, ROOT_MANAGEMENT_INTERFACE, foreign_route, refused_settings
from topologies.queues import deep_queues
from topologies.spec import MANAGEMENT_PREFIX_LENGTH, ROOT_MANAGEMENT_INDEX, Topology

KMS_NODE = "qs-kms"  # a dash: no site can have this name
HOST_MTU = 1500
ARP_RETRY_MS = 10
ARP_ATTEMPTS = 100
OPENFLOW_VERSION = "OpenFlow13"


class NetworkError(RuntimeError):
    """The network could not be built or changed; the message says which element refused."""


class SiteSwitch(OVSSwitch):
    """A site's bridge: fails secure (forwards only what it was told), OpenFlow 1.3, started in one batch."""

    def __init__(self, name: str, datapath_type: str = "netdev", **params: Any) -> None:
        ours = {
            "failMode": "secure",
            "datapath": "kernel" if datapath_type == "system" else "user",
            "protocols": OPENFLOW_VERSION,
            "batch": True,
        }
        super().__init__(name, **(params | ours))


class SiteHost(Node):
    """A site's host: a network namespace where only tunnels have IPv6; router solicitations would disturb counters."""

    def __init__(self, name: str, environment: Mapping[str, str] | None = None, **params: Any) -> None:
        self._environment = environment  # before the shell is started, which is done in there
        super().__init__(name, **params)

    def _popen(self, cmd, **params):
        """Its shell, and what is started beside it, see what who called for the network sees."""
        return super()._popen(cmd, **({"env": self._environment} | params))

    def config(self, **params):
        self.cmd("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
        self.cmd("ip link set lo up")
        return super().config(**params)


class ControllerEndpoint(Controller):
    """Where the switches find the controller, which is started and stopped elsewhere."""

    def __init__(self, name: str, host: str, port: int, protocol: str):
        super().__init__(name, ip=host, port=port, protocol=protocol, command=None)

    def start(self):
        """Nothing to start."""

    def stop(self, *args, **kwargs):
        """Nothing to stop."""

    def checkListening(self):
        """The controller may come later; the switches keep trying."""


class SiteTopo(Topo):
    """The data network of a topology as Mininet describes it: also what ``mn --custom`` builds."""

    def build(
        self, topology: Topology, datapath_type: str = "netdev", environment: Mapping[str, str] | None = None
    ) -> None:
        for site in topology.sites:
            host = topology.host(site.name)
            bridge, host_port = topology.bridge(site.name), topology.ports(site.name)[0]
            self.addSwitch(bridge, cls=SiteSwitch, dpid=f"{topology.dpid(site.name):016x}", datapath_type=datapath_type)
            self.addHost(site.name, cls=SiteHost, ip=f"{host.data_address}/16", environment=environment)
            self.addLink(
                site.name, bridge, intfName1="data0", intfName2=host_port.interface,
                port1=0, port2=host_port.number, addr1=host.data_mac,
            )  # fmt: skip
        for channel in topology.channels:
            a, b = topology.port_of(channel.a, channel.id), topology.port_of(channel.b, channel.id)
            self.addLink(
                topology.bridge(channel.a), topology.bridge(channel.b), intfName1=a.interface, intfName2=b.interface,
                port1=a.number, port2=b.number,
            )  # fmt: skip


@dataclass(frozen=True)
class ControllerAddress:
    """An OpenFlow endpoint: ``protocol`` is ``ssl`` or ``tcp``."""

    host: str
    port: int
    protocol: str = "ssl"


class EmulatedNetwork:
    """A topology, running. Use it as a context manager; leaving it removes everything that entering made."""

    def __init__(
        self,
        topology: Topology,
        datapath_type: str,
        netem: bool,
        controller: ControllerAddress,
        bfd_interval_ms: int | None = None,
        environment: Mapping[str, str] | None = None,
    ):
        """``bfd_interval_ms``: how often channels are tried for silent failures; None: they are not. ``environment``:
        what programs inside hosts see; None: what this process sees."""
        self._bfd_interval_ms = bfd_interval_ms
        self.topology = topology
        self.datapath_type = datapath_type
        self.netem = netem
        endpoint = ControllerEndpoint("c0", controller.host, controller.port, controller.protocol)
        self._mininet = Mininet(
            topo=SiteTopo(topology=topology, datapath_type=datapath_type, environment=environment),
            controller=None,
            build=False,
            link=Link,
        )
        self._mininet.addController(endpoint)

    def __enter__(self) -> EmulatedNetwork:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def mininet(self) -> Mininet:
        """For Mininet's own command line."""
        return self._mininet

    @property
    def pids(self) -> dict[str, int]:
        """The process that holds each namespace open: hosts by site name, the KMS by :data:`KMS_NODE`."""
        return {node.name: node.pid for node in self._mininet.hosts}

    def start(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Build it. NetworkError, with nothing left behind, when a part of it is refused."""
        self._refuse_foreign_leftovers()
        _require_namespaces()
        _require_machine()
        try:
            progress("hosts, switches and channels")
            self._mininet.build()
            self._build_management()
            self._prepare_interfaces()
            with deep_queues():
                self._mininet.start()
            progress("capacities and delays")
            links.apply_shapes(self._shapes())
            if self._bfd_interval_ms is not None:
                bfd.start(bfd.channel_interfaces(self.topology), self._bfd_interval_ms)
        except (OSError, links.LinkError, bfd.BfdError) as error:
            self.stop()
            raise NetworkError(f"cannot build {self.topology.name}: {error}") from error
        except BaseException:  # Ctrl-C among them
            self.stop()
            raise

    def stop(self) -> None:
        """Remove bridges, links and namespaces. Safe to call twice, and when hosts' shells have died.

        Mininet's own way asks each node's shell to remove each link in turn: slow, and it waits for ever on a dead one.
        """
        bridges = [switch.name for switch in self._mininet.switches]
        if bridges:
            forget = [word for bridge in bridges for word in ("--", "--if-exists", "del-br", bridge)]
            # Without ovs-vswitchd this runs into its deadline, but the database has forgotten the bridges by then; a
            # user-space bridge's own interface, which outlives the daemon, is removed with the others.
            subprocess.run(["ovs-vsctl", "--timeout=10", *forget], capture_output=True, check=False)
        ends = (*self._switch_interfaces(), *bridges, ROOT_MANAGEMENT_INTERFACE)
        _ip_batch([f"link del {name}" for name in ends], may_fail=True)
        for node in (*self._mininet.hosts, *self._mininet.switches, *self._mininet.controllers):
            node.terminate()
        self._mininet.hosts, self._mininet.switches, self._mininet.controllers = [], [], []

    def _refuse_foreign_leftovers(self) -> None:
        present = {name for _, name in socket.if_nameindex()}  # /sys/class/net may be another namespace's
        for name in (*self._switch_interfaces(), ROOT_MANAGEMENT_INTERFACE):
            if name in present:
                raise NetworkError(
                    f"interface {name} exists already: end the network that made it, or remove it (ip link del {name})"
                )

    def _switch_interfaces(self) -> list[str]:
        return [port.interface for site in self.topology.site_names for port in self.topology.ports(site)]

    def _build_management(self) -> None:
        kms = self._mininet.addHost(KMS_NODE, cls=SiteHost, ip=None)
        kms.cmd("sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.arp_ignore=1")
        pairs, at_kms = [], []
        for site in self.topology.site_names:
            host, node = self.topology.host(site), self._mininet.get(site)
            peer = f"mgmt{host.index}"
            pairs.append(f"link add name mgmt0 netns {node.pid} type veth peer name {peer} netns {kms.pid}")
            at_kms += [f"addr add {host.kme_address}/{MANAGEMENT_PREFIX_LENGTH} dev {peer}", f"link set {peer} up"]
        _ip_batch(pairs)
        _ip_batch(at_kms, namespace_of=kms.pid)
        for site in self.topology.site_names:
            address = self.topology.host(site).management_address
            at_host = [f"addr add {address}/{MANAGEMENT_PREFIX_LENGTH} dev mgmt0", "link set mgmt0 up"]
            _ip_batch(at_host, namespace_of=self._mininet.get(site).pid)
        root, inner = f"10.254.{ROOT_MANAGEMENT_INDEX}.2", f"10.254.{ROOT_MANAGEMENT_INDEX}.1"
        _ip_batch([f"link add name {ROOT_MANAGEMENT_INTERFACE} type veth peer name root0 netns {kms.pid}"])
        _ip_batch([f"addr add {inner}/{MANAGEMENT_PREFIX_LENGTH} dev root0", "link set root0 up"], namespace_of=kms.pid)
        _disable_ipv6([ROOT_MANAGEMENT_INTERFACE])
        _ip_batch(
            [
                f"addr add {root}/{MANAGEMENT_PREFIX_LENGTH} dev {ROOT_MANAGEMENT_INTERFACE}",
                f"link set {ROOT_MANAGEMENT_INTERFACE} up",
                f"route add {MANAGEMENT_NETWORK} via {inner} dev {ROOT_MANAGEMENT_INTERFACE}",
            ]
        )

    def _prepare_interfaces(self) -> None:
        ports = self._switch_interfaces()
        _disable_ipv6(ports)
        _ip_batch([f"link set dev {name} mtu {links.CHANNEL_MTU}" for name in ports])
        for site in self.topology.site_names:
            # Open vSwitch in user space does not finish checksums that the host left to the hardware: TCP stalls.
            # A host that asks for a peer just before the switch knows the answer must not wait a second to ask again.
            self._mininet.get(site).cmd(
                f"ethtool -K data0 tx off; ip link set dev data0 mtu {HOST_MTU}; "
                f"sysctl -qw net.ipv4.neigh.data0.retrans_time_ms={ARP_RETRY_MS} "
                f"net.ipv4.neigh.data0.mcast_solicit={ARP_ATTEMPTS}"
            )

    def _shapes(self) -> dict[str, links.Shape]:
        return {
            interface: links.shape_of(self.topology, channel, self.netem)
            for channel in self.topology.channels
            for interface in links.interfaces(self.topology, channel)
        }


def _require_namespaces() -> None:
    """Mininet waits for ever for the shell of a host whose namespace could not be made."""
    done = subprocess.run(["mnexec", "-n", "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkError(f"mnexec cannot make a network namespace here: {done.stderr.strip()}")


def _require_machine() -> None:
    refused, taken = refused_settings(), foreign_route()
    if refused is not None:
        raise NetworkError(refused)
    if taken is not None:
        raise NetworkError(
            f"{MANAGEMENT_NETWORK} is taken on this machine: {taken}. QSlice manages its hosts over that network; "
            "end what uses it, or move it to other addresses"
        )


def _disable_ipv6(interfaces: list[str]) -> None:
    for name in interfaces:
        # Without this directory the kernel was started without IPv6: there is nothing to switch off.
        if os.path.isdir("/proc/sys/net/ipv6"):
            with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w", encoding="ascii") as setting:
                setting.write("1")


def _ip_batch(lines: list[str], namespace_of: int | None = None, may_fail: bool = False) -> None:
    prefix = ["nsenter", "-t", str(namespace_of), "-n"] if namespace_of else []
    go_on = ["-force"] if may_fail else []
    done = subprocess.run(
        [*prefix, "ip", *go_on, "-batch", "-"],
        input="\n".join(lines) + "\n",
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode and not may_fail:
        raise NetworkError(f"ip: {done.stderr.strip()} (while doing: {'; '.join(lines[:3])})")
