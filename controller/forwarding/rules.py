"""From a connection and its route to the rules and meters that switches shall hold: values only, no OpenFlow library.

Every switch drops what no rule names. The ingress classifies, meters and pushes the first channel's label; transit
swaps labels; the egress pops and hands over to the host. ARP is answered by the switch itself, so that it works
while no controller does.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.forwarding.items import (
    ARP_PRIORITY,
    ARP_REPLY,
    ARP_REQUEST,
    COOKIE_MARK,
    ETH_ARP,
    ETH_IPV4,
    HOST_PORT,
    IN_PORT,
    INGRESS_PRIORITY,
    MISS_PRIORITY,
    SHARED_COOKIE,
    TRANSIT_PRIORITY,
    UDP,
    UNTAGGED,
    VLAN_PRESENT,
    Action,
    Item,
    Match,
    Meter,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Rule,
    SetField,
)
from controller.model.connection import Connection
from controller.model.path import Lane
from topologies.spec import Topology

# A TCP stream that overruns the bucket stalls for its least retransmission timeout of 200 ms (RFC 6298, 2.4, as Linux
# has it): a bucket of 100 ms gives it half the rate, one of 400 ms 91 - 97 %. Measured: docs/benchmarks.md.
BURST_MS = 400
# Of the largest datagram (RFC 791, 3.1) all fragments come at once, and one that is dropped is all of it: a smaller
# bucket would never let such a datagram through, however often it is sent. A host's frames have 1518 octets at most;
# one carries the least of a datagram inside a tunnel under IPv6, padded to full size.
DATAGRAM_OCTETS = 65_535
FRAME_OCTETS = 1518
LEAST_FRAGMENT_OCTETS = 1384
FRAGMENTS = -(-DATAGRAM_OCTETS // LEAST_FRAGMENT_OCTETS)
BESIDE = 4  # frames of the tunnel's own (probes, a key exchange) that may come at the same time
MIN_BURST_KBITS = -(-(FRAGMENTS + BESIDE) * FRAME_OCTETS * 8 // 1000)


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
    ends = (
        (lane.route.sites[0], lane.route.sites[-1], False),
        (lane.route.sites[-1], lane.route.sites[0], True),
    )
    items: list[Item] = []
    for here, there, is_reverse in ends:
        rate = connection.request.spec.rates_kbps[is_reverse]
        burst = max(MIN_BURST_KBITS, rate * BURST_MS // 1000)
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
