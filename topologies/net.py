"""Adapter: a :class:`Topology` as a running Mininet network, and nothing left of it afterwards.

One Open vSwitch bridge per site, one veth pair per channel, a host per site. The management network is apart
from all this: point-to-point links from each host into the namespace of the KMS, which forwards nothing, so that
a host reaches the KMS and nothing else over it. One more such link joins the KMS to the machine itself.

Mininet knows the parts and gives them its command line. They are made here: many with one request, where Mininet asks
a shell for each.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface
from types import TracebackType

from mininet.net import Mininet

from topologies import attachments, bfd, bridges, interfaces, links, namespaces
from topologies.attachments import Attached
from topologies.cards import LINE_MTU, LINE_NODES, CardPlan
from topologies.errors import NetworkError
from topologies.machine import MANAGEMENT_NETWORK, ROOT_MANAGEMENT_INTERFACE, foreign_route, refused_settings
from topologies.mininet_nodes import ControllerEndpoint, MadeLink, SiteHost, SiteTopo
from topologies.namespaces import InterfaceSettings, NamespaceSettings
from topologies.queues import deep_queues, quick_closing
from topologies.spec import DATA_PREFIX_LENGTH, MANAGEMENT_PREFIX_LENGTH, ROOT_MANAGEMENT_INDEX, Topology

_ROOT, _INNER = f"10.254.{ROOT_MANAGEMENT_INDEX}.2", f"10.254.{ROOT_MANAGEMENT_INDEX}.1"
KMS_NODE = "qs-kms"  # a dash: no site can have this name
HOST_MTU = 1500
ARP_RETRY_MS = 10
ARP_ATTEMPTS = 100
# Only tunnels have IPv6; router solicitations would disturb their counters.
_NO_IPV6 = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}
# A host that asks for a peer just before the switch knows the answer must not wait a second to ask again.
_OF_HOSTS = {
    **_NO_IPV6,
    "ipv4/neigh/data0/retrans_time_ms": str(ARP_RETRY_MS),
    "ipv4/neigh/data0/mcast_solicit": str(ARP_ATTEMPTS),
}
_OF_KMS = {**_NO_IPV6, "ipv4/ip_forward": "0", "ipv4/conf/all/arp_ignore": "1"}


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
        attached: Sequence[Attached] = (),
        cards: Sequence[CardPlan] = (),
    ):
        """``attached``: the machine's interfaces that become ports, as :func:`attachments.look` found them; they are as
        they were afterwards. ``bfd_interval_ms``: how often channels are tried for silent failures; None: they are not.
        ``environment``: what programs inside hosts see; None: what this process sees. ``cards``: those that seal; the
        ports of their clients are TAP devices, which have no carrier until somebody reads them."""
        self._cards = tuple(cards)
        self._bfd_interval_ms = bfd_interval_ms
        self.topology = topology
        self.datapath_type = datapath_type
        self.netem = netem
        endpoint = ControllerEndpoint("c0", controller.host, controller.port, controller.protocol)
        self._mininet = Mininet(
            topo=SiteTopo(topology=topology, datapath_type=datapath_type, environment=environment),
            controller=None,
            build=False,
            link=MadeLink,
        )
        self._mininet.addController(endpoint)
        self._target = f"{controller.protocol}:{controller.host}:{controller.port}"
        self._environment = environment
        self._attached = tuple(attached)

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
        """The process that holds each namespace open: hosts by site name, the KMS by :data:`KMS_NODE`, the
        ends of sealed lines by :data:`LINE_NODES`."""
        return {node.name: node.pid for node in self._mininet.hosts}

    def start(self) -> None:
        """Build it. NetworkError, with nothing left behind, when a part of it is refused."""
        self.make_hosts()
        self.join_hosts()

    def make_hosts(self) -> None:
        """Hosts with all their links and addresses: programs can start there. NetworkError, with nothing left."""
        self._refuse_foreign_leftovers()
        _require_machine()
        with self._all_or_nothing():
            self._make_hosts()
            interfaces.ip_batch([*self._data_links(), *self._management_links(), *self._lines()])
            attachments.prepare(self._attached)
            interfaces.disable_ipv6((*self._switch_interfaces(), ROOT_MANAGEMENT_INTERFACE))
            namespaces.apply(self._settings())
            interfaces.ip_batch(self._management_of_root())

    def join_hosts(self) -> None:
        """Switches, and carrier on all channels. NetworkError, with nothing left of the hosts either."""
        with self._all_or_nothing():
            with deep_queues():
                session = None if self._bfd_interval_ms is None else bfd.session(self._bfd_interval_ms)
                remembered = {each.name: {attachments.REMEMBERED: each.to_text()} for each in self._attached}
                bridges.make(self.topology, self.datapath_type, self._target, session, remembered)
            # Open vSwitch removes what it finds at a port that is added; the kernel waits for packets under way where
            # a port is up: so this is done between the two.
            links.apply_shapes(self._shapes())
            interfaces.raise_group()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, links.LinkError) as error:
            self.stop()
            raise NetworkError(f"cannot build {self.topology.name}: {error}") from error
        except BaseException:  # Ctrl-C among them
            self.stop()
            raise

    def stop(self) -> None:
        """Remove bridges, links and namespaces. Safe to call twice, and when hosts' shells have died."""
        nodes = (*self._mininet.hosts, *self._mininet.switches, *self._mininet.controllers)
        made = [switch.name for switch in self._mininet.switches]
        with suppress(NetworkError), quick_closing():  # without Open vSwitch there is nothing that it holds
            bridges.remove(made)
        for host in self._mininet.hosts:
            host.release()
        # A user-space bridge's own interface outlives an Open vSwitch that has died.
        interfaces.remove(made)
        attachments.restore(self._attached)
        for node in nodes:
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
        """Those that are made."""
        return [port.interface for site in self.topology.site_names for port in self.topology.made_ports(site)]

    def _make_hosts(self) -> None:
        self._mininet.buildFromTopo(self._mininet.topo)
        self._mininet.addHost(KMS_NODE, cls=SiteHost, ip=None, environment=self._environment)
        for line_node in LINE_NODES.values() if self._cards else ():
            self._mininet.addHost(line_node, cls=SiteHost, ip=None, environment=self._environment)
        self._mininet.built = True
        for host in self._mininet.hosts:
            host.wait_held()
        for site in self.topology.site_names:
            attachment = self._mininet.get(site).intf("data0")
            attachment.ip, attachment.prefixLen = self.topology.host(site).data_address, DATA_PREFIX_LENGTH

    def _data_links(self) -> list[str]:
        topology, of_group = self.topology, f"mtu {links.CHANNEL_MTU} group {interfaces.GROUP}"
        lines = []
        for site in topology.site_names:
            at_host = f"mtu {HOST_MTU} address {topology.host(site).data_mac} netns {self.pids[site]}"
            lines.append(interfaces.veth(topology.ports(site)[0].interface, "data0", of_group, at_host))
        sealed = {client.channel for card in self._cards for client in card.clients}
        for channel in topology.channels:
            if channel.attached:
                continue
            if channel.id in sealed:
                for port in links.interfaces(topology, channel):
                    lines += interfaces.tap(port, of_group)
                continue
            lines.append(interfaces.veth(*links.interfaces(topology, channel), of_group, of_group))
        return lines

    def _lines(self) -> list[str]:
        """A pair for each two cards."""
        ends = [f"mtu {LINE_MTU} index {card.index} netns {self.pids[LINE_NODES[card.end]]}" for card in self._cards]
        pairs = zip(self._cards[::2], ends[::2], ends[1::2], strict=True)
        return [interfaces.veth(card.interface, card.interface, a, b) for card, a, b in pairs]

    def _management_links(self) -> list[str]:
        kms = self.pids[KMS_NODE]
        lines = [
            interfaces.veth("mgmt0", self._kms_end(site), f"netns {self.pids[site]}", f"netns {kms}")
            for site in self.topology.site_names
        ]
        of_group = f"group {interfaces.GROUP}"
        return [*lines, interfaces.veth(ROOT_MANAGEMENT_INTERFACE, "root0", of_group, f"netns {kms}")]

    def _kms_end(self, site: str) -> str:
        return f"mgmt{self.topology.host(site).index}"

    def _settings(self) -> list[NamespaceSettings]:
        at_kms = [InterfaceSettings("root0", _management(_INNER))]
        found = []
        for site in self.topology.site_names:
            host = self.topology.host(site)
            # Open vSwitch in user space does not finish checksums that the host left to the hardware: TCP stalls.
            data = InterfaceSettings(
                "data0", IPv4Interface(f"{host.data_address}/{DATA_PREFIX_LENGTH}"), checksums=False
            )
            management = InterfaceSettings("mgmt0", _management(host.management_address))
            found.append(NamespaceSettings(self.pids[site], _OF_HOSTS, (InterfaceSettings("lo"), data, management)))
            at_kms.append(InterfaceSettings(self._kms_end(site), _management(host.kme_address)))
        for end, node in LINE_NODES.items() if self._cards else ():
            ends = (InterfaceSettings(card.interface, card.address) for card in self._cards if card.end == end)
            found.append(NamespaceSettings(self.pids[node], _NO_IPV6, tuple(ends)))
        return [*found, NamespaceSettings(self.pids[KMS_NODE], _OF_KMS, tuple(at_kms))]

    def _management_of_root(self) -> list[str]:
        return [
            f"addr add {_management(_ROOT)} dev {ROOT_MANAGEMENT_INTERFACE}",
            f"link set {ROOT_MANAGEMENT_INTERFACE} up",
            f"route add {MANAGEMENT_NETWORK} via {_INNER} dev {ROOT_MANAGEMENT_INTERFACE}",
        ]

    def _shapes(self) -> dict[str, links.Shape]:
        return {
            interface: links.shape_of(self.topology, channel, self.netem)
            for channel in self.topology.channels
            for interface in links.interfaces(self.topology, channel)
        }


def _require_machine() -> None:
    refused, taken = refused_settings(), foreign_route()
    if refused is not None:
        raise NetworkError(refused)
    if taken is not None:
        raise NetworkError(
            f"{MANAGEMENT_NETWORK} is taken on this machine: {taken}. QSlice manages its hosts over that network; "
            "end what uses it, or move it to other addresses"
        )


def _management(address: str) -> IPv4Interface:
    return IPv4Interface(f"{address}/{MANAGEMENT_PREFIX_LENGTH}")
