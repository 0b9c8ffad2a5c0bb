"""The network of label histories: four sites, their switches as they are, and the routes between any two of them."""

from __future__ import annotations

from dataclasses import dataclass

from controller.forwarding.items import HOST_PORT, Group, Item, Output, Rule, ToGroup
from controller.forwarding.label_quarantine import longest_queue_s, sent_by
from controller.forwarding.rules import PortMap, connection_number
from controller.model.path import Route
from tests.support.fake_switches import FakeTable
from tests.support.small_networks import channel, topology

EDGES = (("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("a", "c"))
TOPOLOGY = topology([channel(f"{x}{y}", x, y) for x, y in EDGES])
PORTS = PortMap.of(TOPOLOGY)
CHANNEL_AT = {(site, number): channel_id for (site, channel_id), number in PORTS.numbers.items()}
QUEUE_S = {c.id: longest_queue_s(TOPOLOGY, c.id) for c in TOPOLOGY.channels}


def _routes() -> dict[tuple[str, str], list[Route]]:
    """Every simple route of at most three channels between two sites."""
    beside: dict[str, list[tuple[str, str]]] = {}
    for x, y in EDGES:
        beside.setdefault(x, []).append((f"{x}{y}", y))
        beside.setdefault(y, []).append((f"{x}{y}", x))
    found: dict[tuple[str, str], list[Route]] = {}

    def walk(sites: tuple[str, ...], channels: tuple[str, ...]) -> None:
        if channels:
            found.setdefault((sites[0], sites[-1]), []).append(Route(sites, channels, 1, 1))
        if len(channels) < 3:
            for name, there in beside[sites[-1]]:
                if there not in sites:
                    walk((*sites, there), (*channels, name))

    for site in beside:
        walk((site,), ())
    return found


ROUTES = _routes()


@dataclass
class Switch:
    """What one switch holds, and how it stands with the controller."""

    table: FakeTable
    is_connected: bool = True
    is_ready: bool = True
    is_refusing: bool = False
    connection: int = 0  # counts up with each connection to the controller
    arrives_at: float = 0.0  # of the last message on its way: messages do not overtake one another


def number_of(item: Item) -> int | None:
    """Of the connection that an item is for; None of one that serves several."""
    if isinstance(item, Group):
        return (item.id >> 8) - 1
    return connection_number(item.cookie) if isinstance(item, Rule) else None


def ways_out(table: FakeTable, rule: Rule) -> list[tuple[int, int]]:
    """The ports and labels by which a packet leaves; of a fast-failover group any bucket may be the live one."""
    found = [(a.port, 0) for a in rule.actions if isinstance(a, Output) and a.port == HOST_PORT]
    found += sent_by(rule)
    for action in rule.actions:
        if isinstance(action, ToGroup) and (group := table.items.get(("group", action.group, ()))) is not None:
            assert isinstance(group, Group)
            outputs = [a for b in group.buckets for a in b.actions if isinstance(a, Output)]
            found += [(a.port, 0) for a in outputs if a.port == HOST_PORT]
            found += sent_by(group)
    return found
