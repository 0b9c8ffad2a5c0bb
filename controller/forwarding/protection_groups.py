"""What protects a connection in the switches, without the controller: groups and ways back. Values only.

``1:1``: a fast-failover group at each end sends into the backup when the port of the working lane's first channel is
not live. A switch further along that finds its next channel dead turns packets round (crankback): under labels of
their own they go back to the end they came from, which sends them into the backup. So a failure anywhere on the
working lane is answered by the switch beside it. The way back needs no bandwidth of its own: what the lane's other
direction has reserved there is idle, since its traffic is turned round on the far side of the failure.

``1+1``: an ALL group at each end sends a copy into both lanes; the receiving tunnel's anti-replay window removes the
second to arrive (RFC 4303, 3.4.3).
"""

from __future__ import annotations

from dataclasses import replace

from controller.forwarding.items import (
    HOST_PORT,
    IN_PORT,
    INGRESS_PRIORITY,
    TRANSIT_PRIORITY,
    VLAN_PRESENT,
    Action,
    Bucket,
    Group,
    GroupType,
    Item,
    Output,
    PushVlan,
    Rule,
    SetField,
    ToGroup,
)
from controller.forwarding.rules import PortMap, cookie_of, into_lane, lane_rules
from controller.forwarding.rules import entry_items as plain_entry_items
from controller.model.connection import Connection
from controller.model.path import Lane
from controller.model.request import Protection

# A group's number: the connection's number (from 1), six bits of the lane's generation, and what the group is for.
INGRESS, FORWARD_TRANSIT, REVERSE_TRANSIT = range(3)


def has_detours(connection: Connection) -> bool:
    """Whether the connection's lanes need labels for ways back."""
    return connection.request.spec.protection is Protection.ONE_TO_ONE


def has_fitting_labels(connection: Connection, lane: Lane) -> bool:
    """Whether the lane has the labels for ways back that the connection needs."""
    return not has_detours(connection) or bool(lane.forward_detour) or len(lane.route.channels) == 1


def lane_items(ports: PortMap, connection: Connection, lane: Lane) -> tuple[Item, ...]:
    """Transit and egress of a lane in both directions, and for a working lane with a backup the ways back."""
    rules = lane_rules(ports, connection, lane)
    working, *backups = connection.lanes or (lane,)
    is_covered = has_detours(connection) and backups and lane == working
    if not is_covered or not (lane.forward_detour or lane.reverse_detour):
        return rules
    return _with_ways_back(ports, connection, lane, backups[0], rules)


def is_inner(item: Item) -> bool:
    """Transit, egress or way back, as against what lets traffic enter."""
    if isinstance(item, Group):
        return item.id & 3 != INGRESS
    return isinstance(item, Rule) and item.priority == TRANSIT_PRIORITY


def entry_items(ports: PortMap, connection: Connection) -> tuple[Item, ...]:
    """ARP, meters and ingress rules at both ends; into a group while the connection has a backup."""
    items = plain_entry_items(ports, connection)
    if len(connection.lanes) < 2:
        return items
    protected: list[Item] = []
    for item in items:
        if isinstance(item, Rule) and item.priority == INGRESS_PRIORITY:
            group = _ingress_group(ports, connection, item.site)
            protected += (group, replace(item, actions=(ToGroup(group.id),)))
        else:
            protected.append(item)
    return tuple(protected)


def _ingress_group(ports: PortMap, connection: Connection, site: str) -> Group:
    is_reverse = site == connection.request.dst
    ways = [(PushVlan(), *into_lane(ports, lane, is_reverse=is_reverse)) for lane in connection.lanes[:2]]
    number = _group_id(connection, 0, INGRESS)
    if connection.request.spec.protection is Protection.ONE_PLUS_ONE:
        return Group(site, number, GroupType.ALL, tuple(Bucket(way) for way in ways))
    buckets = [Bucket(way, watch_port=_port_of(way)) for way in ways]
    # When both seem dead, the first is still the better guess than dropping: watching may be wrong, as just after a
    # restart of the switch. The host's port stands for "always".
    buckets.append(Bucket(ways[0], watch_port=HOST_PORT))
    return Group(site, number, GroupType.FAST_FAILOVER, tuple(buckets))


def _with_ways_back(
    ports: PortMap, connection: Connection, lane: Lane, backup: Lane, rules: tuple[Rule, ...]
) -> tuple[Item, ...]:
    """The lane's transit rules led through groups that turn packets round, and the rules that lead them back."""
    route, numbers, cookie = lane.route, ports.numbers, cookie_of(connection, lane)
    turning: dict[tuple[str, int], tuple[int, int]] = {}  # (site, in port) -> label of the way back, kind of group
    back: list[Item] = []
    for i, site in enumerate(route.sites[1:-1]):
        before, behind = numbers[site, route.channels[i]], numbers[site, route.channels[i + 1]]
        if lane.forward_detour:
            turning[site, before] = lane.forward_detour[i], FORWARD_TRANSIT
        if lane.reverse_detour:
            turning[site, behind] = lane.reverse_detour[i], REVERSE_TRANSIT
    items: list[Item] = []
    for rule in rules:
        in_port = int(dict(rule.match)["in_port"])
        found = turning.get((rule.site, in_port))
        if found is None:
            items.append(rule)
            continue
        label, kind = found
        group = Group(
            rule.site, _group_id(connection, lane.generation, kind), GroupType.FAST_FAILOVER,
            (
                Bucket(rule.actions, watch_port=_port_of(rule.actions)),
                Bucket((_label(label), Output(IN_PORT)), watch_port=in_port),
            ),
        )  # fmt: skip
        items += (group, replace(rule, actions=(ToGroup(group.id),)))
    for labels, sites, channels, is_reverse in (
        (lane.forward_detour, route.sites, route.channels, False),
        (lane.reverse_detour[::-1], route.sites[::-1], route.channels[::-1], True),
    ):
        # labels[i] is on channels[i], towards sites[i]; sites[0] is the end that sends into the backup.
        for i, label in enumerate(labels):
            onward: tuple[Action, ...]
            if i == 0:
                onward = into_lane(ports, backup, is_reverse=is_reverse)
                if _port_of(onward) == numbers[sites[0], channels[0]]:
                    onward = (onward[0], Output(IN_PORT))
            else:
                onward = (_label(labels[i - 1]), Output(numbers[sites[i], channels[i - 1]]))
            match = (("in_port", numbers[sites[i], channels[i]]), ("vlan_vid", label | VLAN_PRESENT))
            back.append(Rule(sites[i], TRANSIT_PRIORITY, match, onward, cookie))
    return (*items, *back)


def _group_id(connection: Connection, generation: int, kind: int) -> int:
    return (connection.number + 1) << 8 | (generation & 0x3F) << 2 | kind


def _label(label: int) -> SetField:
    return SetField("vlan_vid", label | VLAN_PRESENT)


def _port_of(actions: tuple[Action, ...]) -> int:
    return next(a.port for a in actions if isinstance(a, Output))
