"""From a connection and its route to the rules and meters that switches shall hold: values only, no OpenFlow library.

Every switch drops what no rule names. The ingress classifies, meters and pushes the first channel's label; transit
swaps labels; the egress pops and hands over to the host. ARP is answered by the switch itself, so that it works
while no controller does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from controller.records import Connection, Lane
from topologies.spec import Topology

COOKIE_MARK = 0x5153  # "QS": the high 16 bits of every cookie of ours
SHARED_COOKIE = COOKIE_MARK << 48  # rules that serve several connections
CONTROLLER_PORT = 0xFFFF_FFFD  # OFPP_CONTROLLER
HOST_PORT = 1  # Topology.ports
IN_PORT = 0xFFFF_FFF8  # OpenFlow 1.3.5, A.2.1: OFPP_IN_PORT
ETH_IPV4, ETH_ARP, ETH_VLAN = 0x0800, 0x0806, 0x8100
UDP = 17
ARP_REQUEST, ARP_REPLY = 1, 2
VLAN_PRESENT = 0x1000  # OFPVID_PRESENT
UNTAGGED = 0  # OFPVID_NONE: a host does not get to bring a tag of its own
MISS_PRIORITY, TRANSIT_PRIORITY, INGRESS_PRIORITY, ARP_PRIORITY = 0, 100, 200, 300
# A TCP stream that overruns the bucket stalls for its least retransmission timeout of 200 ms (RFC 6298, 2.4, as Linux
# has it): a bucket of 100 ms gives it half the rate, one of 400 ms 91 - 97 %. Measured, see docs/controller.md.
BURST_MS = 400
MIN_BURST_KBITS = 512


@dataclass(frozen=True)
class Output:
    port: int


@dataclass(frozen=True)
class PushVlan:
    ethertype: int = ETH_VLAN


@dataclass(frozen=True)
class PopVlan:
    pass


@dataclass(frozen=True)
class SetField:
    field: str
    value: int | str


@dataclass(frozen=True)
class Move:
    """Copy one header field to another (Nicira's NXAST_REG_MOVE)."""

    source: str
    target: str
    bits: int


@dataclass(frozen=True)
class ToGroup:
    group: int


Action: TypeAlias = Output | PushVlan | PopVlan | SetField | Move | ToGroup
Match: TypeAlias = tuple[tuple[str, int | str], ...]  # sorted by field name


@dataclass(frozen=True)
class Rule:
    """One flow entry of table 0. Two rules with one key cannot stand side by side on a switch."""

    site: str
    priority: int
    match: Match
    actions: tuple[Action, ...]
    cookie: int
    meter: int | None = None
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A rule is looked up a dozen times on its way to the switch; its parts would be hashed anew each time.
        content = (self.site, self.priority, self.match, self.actions, self.cookie, self.meter)
        object.__setattr__(self, "_hash", hash(content))

    def __hash__(self) -> int:
        return self._hash

    @property
    def key(self) -> tuple[str, int, Match]:
        return "rule", self.priority, self.match


@dataclass(frozen=True)
class Meter:
    """A policer: drops what exceeds ``rate_kbps``; headers count (Open vSwitch meters whole frames)."""

    site: str
    id: int
    rate_kbps: int
    burst_kbits: int

    @property
    def key(self) -> tuple[str, int, Match]:
        return "meter", self.id, ()


class GroupType(Enum):
    """What a group does with its buckets (OpenFlow 1.3.5, 5.6.1)."""

    ALL = "all"  # a copy of the packet through each
    FAST_FAILOVER = "ff"  # the first whose port is live


@dataclass(frozen=True)
class Bucket:
    """Actions, and for fast failover the port whose liveness they depend on."""

    actions: tuple[Action, ...]
    watch_port: int | None = None


@dataclass(frozen=True)
class Group:
    """Several ways to treat a packet; changed in one step, and gone after the rules that point to it."""

    site: str
    id: int
    type: GroupType
    buckets: tuple[Bucket, ...]

    @property
    def key(self) -> tuple[str, int, Match]:
        return "group", self.id, ()


Item: TypeAlias = Rule | Meter | Group


@dataclass(frozen=True)
class PortMap:
    """Port numbers by site and channel, looked up once: a reroute must not search the topology."""

    topology: Topology
    numbers: dict[tuple[str, str], int]

    @classmethod
    def of(cls, topology: Topology) -> PortMap:
        numbers = {
            (site, port.channel): port.number
            for site in topology.site_names
            for port in topology.ports(site)
            if port.channel is not None
        }
        return cls(topology, numbers)


def cookie_of(connection: Connection, lane: Lane) -> int:
    """Mark, 24 bits of connection number (from 1), 24 bits of the lane's generation."""
    return COOKIE_MARK << 48 | (connection.number + 1) << 24 | lane.generation & 0xFF_FFFF


def connection_number(cookie: int) -> int | None:
    """The number of the connection that a cookie names; None for shared and foreign rules."""
    if cookie >> 48 != COOKIE_MARK or cookie == SHARED_COOKIE:
        return None
    return (cookie >> 24 & 0xFF_FFFF) - 1


def base_rules(site: str) -> tuple[Rule, ...]:
    """What a switch holds without any slice: drop, and say so by a rule that can be counted."""
    return (Rule(site, MISS_PRIORITY, (), (), SHARED_COOKIE),)


def lane_rules(ports: PortMap, connection: Connection, lane: Lane) -> tuple[Rule, ...]:
    """Transit and egress in both directions: harmless until the ingress sends something into them."""
    route, cookie = lane.route, cookie_of(connection, lane)
    return (
        *_one_way(ports, cookie, route.sites, route.channels, lane.forward),
        *_one_way(ports, cookie, route.sites[::-1], route.channels[::-1], lane.reverse[::-1]),
    )


def entry_items(ports: PortMap, connection: Connection) -> tuple[Item, ...]:
    """ARP, meters and ingress rules at both ends; none while the connection has no lane."""
    if not connection.lanes:
        return ()
    topology, lane = ports.topology, connection.lanes[0]
    rate = connection.request.spec.bandwidth_kbps
    burst = max(MIN_BURST_KBITS, rate * BURST_MS // 1000)
    ends = (
        (lane.route.sites[0], lane.route.sites[-1], False),
        (lane.route.sites[-1], lane.route.sites[0], True),
    )
    items: list[Item] = []
    for here, there, is_reverse in ends:
        meter = Meter(here, connection.number + 1, rate, burst)
        push = (PushVlan(), *into_lane(ports, lane, is_reverse=is_reverse))
        match = _ingress_match(topology, connection, is_reverse)
        peer = topology.host(there)
        address = _peer_address(topology, connection, is_reverse)
        items += (
            meter,
            Rule(here, INGRESS_PRIORITY, match, push, cookie_of(connection, lane), meter.id),
            arp_responder(here, address, peer.data_mac),
        )
    return tuple(items)


def into_lane(ports: PortMap, lane: Lane, *, is_reverse: bool) -> tuple[SetField, Output]:
    """Send a packet that has a tag into a lane from its first site, or in reverse from its last."""
    end = -1 if is_reverse else 0
    label = (lane.reverse if is_reverse else lane.forward)[end]
    port = ports.numbers[lane.route.sites[end], lane.route.channels[end]]
    return SetField("vlan_vid", label | VLAN_PRESENT), Output(port)


def arp_responder(site: str, address: str, mac: str) -> Rule:
    """Turn a request of the site's host for ``address`` into its answer (RFC 826) and send it back.

    The sender's address is not matched: when Linux confirms a neighbour it already knows, it asks from the
    interface's first address, not from the connection's. The answer goes to the asking port alone.
    """
    match = _match(in_port=HOST_PORT, vlan_vid=UNTAGGED, eth_type=ETH_ARP, arp_op=ARP_REQUEST, arp_tpa=address)
    actions = (
        Move("eth_src", "eth_dst", 48),
        SetField("eth_src", mac),
        SetField("arp_op", ARP_REPLY),
        Move("arp_sha", "arp_tha", 48),
        SetField("arp_sha", mac),
        Move("arp_spa", "arp_tpa", 32),
        SetField("arp_spa", address),
        Output(IN_PORT),
    )
    return Rule(site, ARP_PRIORITY, match, actions, SHARED_COOKIE)


def _one_way(
    ports: PortMap, cookie: int, sites: tuple[str, ...], channels: tuple[str, ...], labels: tuple[int, ...]
) -> list[Rule]:
    rules = []
    for i, site in enumerate(sites[1:]):
        match = _match(in_port=ports.numbers[site, channels[i]], vlan_vid=labels[i] | VLAN_PRESENT)
        actions: tuple[Action, ...]
        if i + 1 == len(channels):
            actions = (PopVlan(), Output(HOST_PORT))
        else:
            swap = SetField("vlan_vid", labels[i + 1] | VLAN_PRESENT)
            actions = (swap, Output(ports.numbers[site, channels[i + 1]]))
        rules.append(Rule(site, TRANSIT_PRIORITY, match, actions, cookie))
    return rules


def _ingress_match(topology: Topology, connection: Connection, is_reverse: bool) -> Match:
    if not connection.is_encrypted:
        ends = (connection.src_address, connection.dst_address)
        source, target = ends[::-1] if is_reverse else ends
        return _match(in_port=HOST_PORT, vlan_vid=UNTAGGED, eth_type=ETH_IPV4, ipv4_src=source, ipv4_dst=target)
    request, port = connection.request, connection.tunnel_port
    ends = (topology.host(request.src).data_address, topology.host(request.dst).data_address)
    source, target = ends[::-1] if is_reverse else ends
    return _match(
        in_port=HOST_PORT, vlan_vid=UNTAGGED, eth_type=ETH_IPV4, ip_proto=UDP,
        ipv4_src=source, ipv4_dst=target, udp_src=port, udp_dst=port,
    )  # fmt: skip


def _peer_address(topology: Topology, connection: Connection, is_reverse: bool) -> str:
    if connection.is_encrypted:
        peer = connection.request.src if is_reverse else connection.request.dst
        return topology.host(peer).data_address
    return connection.src_address if is_reverse else connection.dst_address


def _match(**fields: int | str) -> Match:
    return tuple(sorted(fields.items()))
