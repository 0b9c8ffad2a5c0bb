"""Switches in memory: they hold rules as Open vSwitch would, forward packets by them, and fail when told to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controller.drivers import DriverError, SectionStatus, SwitchFault
from controller.flows import (
    HOST_PORT,
    IN_PORT,
    Item,
    Meter,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Rule,
    SetField,
    base_rules,
)
from controller.intended import Changes
from topologies.spec import Topology

Packet = dict[str, int | str]
MAX_HOPS = 64


@dataclass
class FakeTable:
    """One switch's rules and meters by key."""

    items: dict[object, Item] = field(default_factory=dict)

    def apply(self, changes: Changes) -> list[str]:
        errors = []
        for item in changes.remove:
            held = self.items.get(item.key)
            if held is None or (isinstance(item, Rule) and isinstance(held, Rule) and held.cookie != item.cookie):
                continue
            del self.items[item.key]
        for meter in changes.replace:
            self.items[meter.key] = meter
        for item in sorted(changes.add, key=lambda i: isinstance(i, Rule)):  # meters before the rules that use them
            if isinstance(item, Meter) and item.key in self.items:
                errors.append(f"meter {item.id} exists")
            elif isinstance(item, Rule) and item.meter is not None and ("meter", item.meter, ()) not in self.items:
                errors.append(f"no meter {item.meter}")
            else:
                self.items[item.key] = item
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
    """Implements ``controller.drivers.Switches``; ``refuse`` decides about each send which sites fail."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.tables = {s: FakeTable({r.key: r for r in base_rules(s)}) for s in topology.site_names}
        self.refuse: Callable[[str, Changes], str | None] = lambda site, changes: None
        self.sent = 0

    def send(self, changes: Mapping[str, Changes]) -> Delivered:
        faults = []
        for site, change in changes.items():
            self.sent += 1
            message = self.refuse(site, change)
            if message is not None:
                faults.append(SwitchFault(site, None, message))
                continue
            faults += [SwitchFault(site, None, error) for error in self.tables[site].apply(change)]
        return Delivered(tuple(faults))

    def is_ready(self, site: str) -> bool:
        return True

    def held(self) -> dict[str, frozenset[Item]]:
        return {site: frozenset(table.items.values()) for site, table in self.tables.items()}

    def send_packet(self, site: str, packet: Packet) -> tuple[list[tuple[str, Packet]], list[str]]:
        """What a packet from the host at ``site`` becomes: the hosts it reaches, and the channels it crosses."""
        here, current = site, replace_port({"vlan_vid": 0, **packet}, HOST_PORT)
        crossed: list[str] = []
        for _ in range(MAX_HOPS):
            rule = self.tables[here].lookup(current)
            if rule is None:
                return [], crossed
            port, current = _act(rule, current)
            if port is None:
                return [], crossed
            if port == HOST_PORT:
                return [(here, current)], crossed
            channel = next(p.channel for p in self.topology.ports(here) if p.number == port)
            assert channel is not None
            crossed.append(channel)
            here = self.topology.channel(channel).other(here)
            current = replace_port(current, self.topology.port_of(here, channel).number)
        raise AssertionError(f"a packet loops: {crossed}")


def replace_port(packet: Packet, port: int) -> Packet:
    return {**packet, "in_port": port}


def _act(rule: Rule, packet: Packet) -> tuple[int | None, Packet]:
    current, port = dict(packet), None
    for action in rule.actions:
        match action:
            case PushVlan():
                current["vlan_vid"] = 0x1000
            case PopVlan():
                current["vlan_vid"] = 0
            case SetField(name, value):
                current[name] = value
            case Move(source, target, _):
                current[target] = current[source]
            case Output(number):
                port = int(current["in_port"]) if number == IN_PORT else number
    return port, current


class FakeTunnels:
    """Implements ``controller.drivers.Tunnels``; like a real agent it refuses what differs from what it holds."""

    def __init__(self) -> None:
        self.told: dict[tuple[str, str], dict[str, object]] = {}
        self.fail: Callable[[str, str, str], Exception | None] = lambda op, site, connection_id: None

    @property
    def ends(self) -> frozenset[tuple[str, str]]:
        return frozenset(self.told)

    def _step(self, op: str, site: str, connection_id: str) -> None:
        error = self.fail(op, site, connection_id)
        if error is not None:
            raise error

    def add(self, site: str, connection: Mapping[str, object]) -> None:
        end = site, str(connection["id"])
        self._step("add", *end)
        if self.told.setdefault(end, dict(connection)) != connection:
            raise DriverError(f"{end} differs from the one there is")

    def modify(self, site: str, connection: Mapping[str, object]) -> None:
        end = site, str(connection["id"])
        self._step("modify", *end)
        same = {"id", "role", "mode", "interface", "port", "local_address", "peer_address", "peer_sae"}
        if any(self.told[end][name] != connection[name] for name in same):
            raise DriverError(f"{end} cannot be modified so")
        self.told[end] = dict(connection)

    def remove(self, site: str, connection_id: str) -> None:
        self._step("remove", site, connection_id)
        self.told.pop((site, connection_id), None)

    def wait_up(self, site: str, connection_id: str, timeout_s: float) -> None:
        self._step("wait_up", site, connection_id)

    def held(self, site: str) -> dict[str, dict[str, object]]:
        self._step("list", site, "")
        return {i: end for (s, i), end in self.told.items() if s == site}


@dataclass
class FakeKeyRates:
    """Implements ``controller.drivers.KeyRates``: the same rate on every section."""

    section_ids: tuple[str, ...]
    rate_mbps: int = 1_000_000
    unusable: frozenset[str] = frozenset()

    def sections(self) -> tuple[SectionStatus, ...]:
        return tuple(SectionStatus(i, self.rate_mbps, i not in self.unusable, 0.02) for i in self.section_ids)
