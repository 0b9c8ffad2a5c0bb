"""What a plan would come to: its labels, addresses, rules and meters, found by carrying it out on the model and taking
it back. So a dry run shows what the real thing would do, not what another piece of code thinks that it would.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.flows import Item
from controller.intended import Changes, join
from controller.orchestrator import Orchestrator
from controller.placement import SlicePlan
from controller.records import Connection


@dataclass(frozen=True)
class Preview:
    """A plan with the connections as they would stand and what each switch would be told."""

    plan: SlicePlan
    connections: tuple[Connection, ...]
    switches: dict[str, tuple[Item, ...]]
    key_rate_mbps: dict[str, int]  # by section, thousandths of a bit per second
    bandwidth_kbps: dict[str, int]  # by channel, in each direction


def preview(model: Orchestrator, plan: SlicePlan) -> Preview:
    """Reserve, look, give back. Call it with nobody else at the model. Raises what reserving raises."""
    network, topology = model.network, model.topology
    channels = {c.id: network.reserved_kbps(c.id) for c in topology.channels}
    sections = {s.id: network.reserved_key_mbps(s.id) for s in topology.sections}
    model.reserve(plan, now=0.0)
    try:
        connections = model.connections_of(plan.request.name)
        ids = [connection.id for connection in connections]
        told = join([model.prepare(ids), model.enter(ids)])
        bandwidth = {c: network.reserved_kbps(c) - before for c, before in channels.items()}
        key_rate = {s: network.reserved_key_mbps(s) - before for s, before in sections.items()}
    finally:
        model.clear(plan.request.name)
        model.forget(plan.request.name)
    return Preview(
        plan,
        connections,
        {site: _items(changes) for site, changes in sorted(told.items())},
        {section: rate for section, rate in key_rate.items() if rate},
        {channel: rate for channel, rate in bandwidth.items() if rate},
    )


def _items(changes: Changes) -> tuple[Item, ...]:
    return (*changes.replace, *changes.add)
