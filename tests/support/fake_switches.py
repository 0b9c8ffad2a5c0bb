"""Switches in memory: they hold rules as Open vSwitch would, forward packets by them, and fail when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from controller.forwarding.continuity_test import ETH_TRIAL
from controller.forwarding.intended import Changes
from controller.forwarding.items import (
    HOST_PORT,
    IN_PORT,
    Action,
    Bucket,
    Group,
    GroupType,
    Item,
    Meter,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Rule,
    SetField,
    ToGroup,
)
from controller.forwarding.rules import base_rules
from controller.forwarding.tunnel_endpoint import MODIFIABLE, TunnelEndpoint, as_wire
from controller.model.connectivity import TunnelReport
from controller.model.errors import DriverError
from controller.model.key_rates import BookingFailed, BookingRefused, KeyBooking, KeyPool, SectionStatus
from controller.operations.drivers import SwitchFault
from topologies.spec import Topology

Packet = dict[str, int | str]
MAX_HOPS = 64


@dataclass
class FakeTable:
    """One switch's rules and meters by key."""

    items: dict[object, Item] = field(default_factory=dict)

    def apply(self, changes: Changes) -> list[str]:
        errors = []
        for gone in [i for i in changes.remove if not isinstance(i, Group)]:
            held = self.items.get(gone.key)
            if held is None or (isinstance(gone, Rule) and isinstance(held, Rule) and held.cookie != gone.cookie):
                continue
            del self.items[gone.key]
        for changed in changes.replace:
            self.items[changed.key] = changed
        for item in sorted(changes.add, key=lambda i: isinstance(i, Rule)):  # meters and groups before their rules
            if isinstance(item, Meter) and item.key in self.items:
                errors.append(f"meter {item.id} exists")
            elif isinstance(item, Group) and item.key in self.items:
                errors.append(f"group {item.id} exists")
            elif isinstance(item, Rule) and item.meter is not None and ("meter", item.meter, ()) not in self.items:
                errors.append(f"no meter {item.meter}")
            elif isinstance(item, Rule) and any(("group", g, ()) not in self.items for g in _groups_of(item)):
                errors.append(f"no group {_groups_of(item)}")
            else:
                self.items[item.key] = item
        for group in [i for i in changes.remove if isinstance(i, Group)]:
            # As OpenFlow has it: with a group, the rules that point to it go.
            self.items.pop(group.key, None)
            for rule in [i for i in self.items.values() if isinstance(i, Rule) and group.id in _groups_of(i)]:
                del self.items[rule.key]
        return errors

    def lookup(self, packet: Packet) -> Rule | None:
        rules = [i for i in self.items.values() if isinstance(i, Rule)]
        hits = [r for r in rules if all(packet.get(name) == value for name, value in r.match)]
        return max(hits, key=lambda r: r.priority, default=None)


class Delivered:
    """Faults known already; nothing to wait for."""

    def __init__(self, faults: tuple[SwitchFault, ...]) -> None:
        self._faults = faults

    def wait(self, deadline_s: float) -> tuple[SwitchFault, ...]:
        return self._faults


class FakeSwitches:
    """Implements ``controller.operations.drivers.Switches``; ``refuse`` decides about each send which sites fail."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.tables = {s: FakeTable({r.key: r for r in base_rules(s)}) for s in topology.site_names}
        self.refuse: Callable[[str, Changes], str | None] = lambda site, changes: None
        self.confirmed: Callable[[str, tuple[int, ...]], None] = lambda site, departures: None
        self.sent = 0
        self.reported: list[SwitchFault] = []  # faults that nobody acts on: the switch is to be repaired
        self.reported_to: Callable[[SwitchFault], None] = lambda fault: None
        self.dead: set[str] = set()  # channels that carry nothing, and whose ports are not live

    def send(self, changes: Mapping[str, Changes]) -> Delivered:
        faults = []
        for site, change in changes.items():
            self.sent += 1
            message = self.refuse(site, change)
            if message is not None:
                faults.append(SwitchFault(site, None, message))
                continue
            errors = self.tables[site].apply(change)
            faults += [SwitchFault(site, None, error) for error in errors]
            if not errors:
                self.confirmed(site, change.departures)
        return Delivered(tuple(faults))

    def repair(self, site: str, changes: Changes) -> Delivered:
        return self.send({site: changes})

    def post(self, changes: Mapping[str, Changes]) -> None:
        for fault in self.send(changes).wait(0.0):
            self.report(fault)

    def report(self, fault: SwitchFault, /) -> None:
        self.reported.append(fault)
        self.reported_to(fault)

    def is_ready(self, site: str) -> bool:
        return True

    def installed(self, site: str) -> frozenset[Item]:
        return frozenset(self.tables[site].items.values())

    def held(self) -> dict[str, frozenset[Item]]:
        return {site: frozenset(table.items.values()) for site, table in self.tables.items()}

    def send_packet(self, site: str, packet: Packet) -> tuple[list[tuple[str, Packet]], list[str]]:
        """What a packet from the host at ``site`` becomes: the hosts it reaches, and the channels it crosses."""
        arrived: list[tuple[str, Packet]] = []
        crossed: list[str] = []
        waiting = [(site, replace_port({"vlan_vid": 0, **packet}, HOST_PORT))]
        while waiting:
            assert len(crossed) < MAX_HOPS, f"a packet loops: {crossed}"
            here, current = waiting.pop(0)
            rule = self.tables[here].lookup(current)
            for port, leaving in self._act(here, () if rule is None else rule.actions, current):
                if port == HOST_PORT:
                    arrived.append((here, leaving))
                    continue
                channel = self._channel_at(here, port)
                if channel in self.dead:
                    continue
                crossed.append(channel)
                there = self.topology.channel(channel).other(here)
                waiting.append((there, replace_port(leaving, self.topology.port_of(there, channel).number)))
        return arrived, crossed

    def _act(self, site: str, actions: tuple[Action, ...], packet: Packet) -> list[tuple[int, Packet]]:
        """The ports that a packet leaves by, each with what it is by then."""
        current, out = dict(packet), []
        for action in actions:
            match action:
                case PushVlan():
                    current["vlan_vid"] = 0x1000
                case PopVlan():
                    current["vlan_vid"] = 0
                case SetField(name, value):
                    current[name] = value
                case Move(source, target, _):
                    current[target] = current[source]
                case ToGroup(number):
                    for bucket in self._buckets(site, number):
                        out += self._act(site, bucket.actions, current)
                case Output(number):
                    # A switch never sends a packet back by the port it came from, unless told so by this name.
                    if number == IN_PORT or number != current["in_port"]:
                        out.append((int(current["in_port"]) if number == IN_PORT else number, dict(current)))
        return out

    def _buckets(self, site: str, number: int) -> tuple[Bucket, ...]:
        group = self.tables[site].items["group", number, ()]
        assert isinstance(group, Group)
        if group.type is GroupType.ALL:
            return group.buckets
        return tuple(b for b in group.buckets if b.watch_port is not None and self._is_live(site, b.watch_port))[:1]

    def _is_live(self, site: str, port: int) -> bool:
        return port == HOST_PORT or self._channel_at(site, port) not in self.dead

    def _channel_at(self, site: str, port: int) -> str:
        channel = next(p.channel for p in self.topology.ports(site) if p.number == port)
        assert channel is not None
        return channel


class FakeChannelPorts:
    """Implements ``controller.operations.drivers.ChannelPorts``.

    A channel lights up unless it is broken, or dead to the switches.
    """

    def __init__(self, switches: FakeSwitches) -> None:
        self._switches = switches
        self.dark = {c.id for c in switches.topology.channels if c.dark}
        self.broken: set[str] = set()
        self.meanwhile: Callable[[], None] = lambda: None  # what happens while a channel is being lit

    def activate(self, channels: Iterable[str], deadline_s: float) -> dict[str, str | None]:
        chosen = tuple(channels)
        for channel in chosen:
            for site in self._switches.topology.channel(channel).ends:
                assert any(dict(r.match).get("eth_type") == ETH_TRIAL for r in self._rules(site)), (
                    "no rule to try it by"
                )
        self.dark -= set(chosen)
        self.meanwhile()
        bad = self.broken | self._switches.dead
        return {channel: "no carrier" if channel in bad else None for channel in chosen}

    def deactivate(self, channels: Iterable[str]) -> Delivered:
        self.dark |= set(channels)
        return Delivered(())

    def _rules(self, site: str) -> list[Rule]:
        return [i for i in self._switches.tables[site].items.values() if isinstance(i, Rule)]


def replace_port(packet: Packet, port: int) -> Packet:
    return {**packet, "in_port": port}


def _groups_of(rule: Rule) -> list[int]:
    return [action.group for action in rule.actions if isinstance(action, ToGroup)]


PASSING: dict[str, object] = {
    "state": "up",
    "reachable_for_s": 0.0,
    "hears_peer": True,
    "is_heard": True,
    "rtt_ms": 1.0,
}


class FakeTunnels:
    """Implements ``controller.operations.drivers.Tunnels``.

    Like a real agent it refuses what differs from what it holds.
    """

    def __init__(self) -> None:
        self.told: dict[tuple[str, str], TunnelEndpoint] = {}
        self.reports: dict[
            tuple[str, str], dict[str, object]
        ] = {}  # what ends say of their probes, else that they pass
        self.instance, self.watched = "one", 0
        self._in_use: dict[tuple[str, str], str] = {}  # the source of the keys that an end seals with
        self.fail: Callable[[str, str, str], Exception | None] = lambda op, site, connection_id: None

    @property
    def ends(self) -> frozenset[tuple[str, str]]:
        return frozenset(self.told)

    def _step(self, op: str, site: str, connection_id: str) -> None:
        error = self.fail(op, site, connection_id)
        if error is not None:
            raise error

    def add(self, site: str, endpoint: TunnelEndpoint) -> None:
        end = site, endpoint.id
        self._step("add", *end)
        if self.told.setdefault(end, endpoint) != endpoint:
            raise DriverError(f"{end} differs from the one there is")

    def modify(self, site: str, endpoint: TunnelEndpoint) -> None:
        end = site, endpoint.id
        self._step("modify", *end)
        if not endpoint.differing(as_wire(self.told[end])) <= MODIFIABLE:
            raise DriverError(f"{end} cannot be modified so")
        self._agree(endpoint.id)
        self.told[end] = endpoint

    def _agree(self, connection_id: str) -> None:
        """Keys of the source that both ends have been told are in use, unless waiting for them fails at one."""
        ends = {end: told for end, told in self.told.items() if end[1] == connection_id}
        sources = {told.key_source for told in ends.values()}
        if len(ends) == 2 and len(sources) == 1 and all(self.fail("wait_up", *end) is None for end in ends):
            self._in_use |= dict.fromkeys(ends, sources.pop())

    def keys_in_use(self, site: str, connection_id: str) -> str | None:
        self._agree(connection_id)
        return self._in_use.get((site, connection_id))

    def remove(self, site: str, connection_id: str) -> None:
        self._step("remove", site, connection_id)
        self.told.pop((site, connection_id), None)
        self._in_use.pop((site, connection_id), None)

    def wait_up(self, site: str, connection_id: str, timeout_s: float) -> None:
        self._step("wait_up", site, connection_id)
        told = self.told.get((site, connection_id))
        if told is not None:
            self._in_use[site, connection_id] = told.key_source

    def watch(self, site: str, token: str | None, timeout_s: float) -> tuple[str, dict[str, TunnelReport]]:
        self._step("watch", site, "")
        self.watched += 1
        return f"{self.instance}.{self.watched}", {
            i: TunnelReport(**self.reports.get((site, i), PASSING), keys_in_use=self.keys_in_use(site, i))  # type: ignore[arg-type]
            for (s, i) in list(self.told)
            if s == site
        }

    def held(self, site: str) -> dict[str, dict[str, object]]:
        self._step("list", site, "")
        return {
            i: {**as_wire(end), "state": "up", "keys_in_use": self.keys_in_use(site, i)}
            for (s, i), end in list(self.told.items())
            if s == site
        }


@dataclass
class FakeKeyRates:
    """Implements ``controller.operations.drivers.KeyRates``: the same rate on every section."""

    section_ids: tuple[str, ...]
    rate_millibps: int = 1_000_000
    unusable: frozenset[str] = frozenset()
    starting: frozenset[str] = frozenset()
    rates: dict[str, int] = field(default_factory=dict)  # of sections that differ
    stored: dict[KeyPool, int] = field(default_factory=dict)
    booked: dict[str, KeyBooking] = field(default_factory=dict)
    most_bps: int = 1 << 40  # that is promised to one booking
    failing: set[str] = field(default_factory=set)  # ids of bookings about which the KMS answers with an error
    asked: int = 0  # how often for a booking

    def bookings(self) -> dict[str, KeyBooking]:
        return dict(self.booked)

    def book(self, booking: KeyBooking, is_new: bool) -> None:
        self.asked += 1
        assert is_new == (booking.id not in self.booked)
        if booking.id in self.failing:
            raise BookingFailed("KMS answered 400: app_priority")
        if booking.rate_bps > self.most_bps:
            raise BookingRefused("too much", self.most_bps)
        self.booked[booking.id] = booking

    def release(self, booking: KeyBooking) -> None:
        if booking.id in self.failing:
            raise BookingFailed("KMS answered 500")
        del self.booked[booking.id]

    def sections(self) -> tuple[SectionStatus, ...]:
        return tuple(
            SectionStatus(
                i,
                self.rates.get(i, self.rate_millibps),
                i not in self.unusable | self.starting,
                None if i in self.starting else 0.02,
                i not in self.starting,
            )
            for i in self.section_ids
        )

    def pools(self) -> dict[KeyPool, int]:
        return dict(self.stored)
