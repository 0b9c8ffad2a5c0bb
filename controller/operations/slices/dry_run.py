"""What a plan would come to: labels, addresses, rules and meters, found by carrying it out on a fork of the model.

So a dry run shows what the real thing would do, not what another piece of code thinks that it would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.forwarding.intended import join
from controller.forwarding.items import Item
from controller.model.connection import Connection
from controller.model.slice_record import SliceRecord
from controller.pce.computation import SlicePlan
from controller.policy.slice_change import begin
from controller.state.network_state import NetworkState


@dataclass(frozen=True)
class Preview:
    """A plan with the connections as they would stand and what each switch would be told."""

    plan: SlicePlan
    connections: tuple[Connection, ...]
    switches: dict[str, tuple[Item, ...]]
    key_rate_millibps: dict[str, int]  # by section, thousandths of a bit per second
    bandwidth_kbps: dict[str, int]  # by channel, in the direction where it is more


def preview(model: NetworkState, plan: SlicePlan, scheduled: SliceRecord | None = None) -> Preview:
    """What creating the slice would do, in place of a SCHEDULED one perhaps. Raises what reserving raises."""
    trial = model.fork()
    if scheduled is not None and scheduled.name in trial.slices:
        trial.unschedule(scheduled.name)
    trial.reserve(plan, now=0.0)
    return _look(trial, plan, _reserved(model))


def preview_change(model: NetworkState, plan: SlicePlan) -> Preview:
    """What changing the slice would do; reservations are those beyond what it holds already."""
    trial = model.fork()
    begin(trial, plan)
    return _look(trial, plan, _reserved(model))


def _look(trial: NetworkState, plan: SlicePlan, before: Mapping[tuple[str, str | None], int]) -> Preview:
    connections = trial.connections_of(plan.request.name)
    ids = [connection.id for connection in connections]
    told = join([trial.install_transit(ids), trial.switch_ingress(ids)])
    more = {key: amount - before[key] for key, amount in _reserved(trial).items() if amount > before[key]}
    bandwidth: dict[str, int] = {}
    for (channel, sender), amount in more.items():
        if sender is not None:
            bandwidth[channel] = max(amount, bandwidth.get(channel, 0))
    return Preview(
        plan,
        connections,
        {site: (*changes.replace, *changes.add) for site, changes in sorted(told.items())},
        key_rate_millibps={section: amount for (section, sender), amount in more.items() if sender is None},
        bandwidth_kbps=bandwidth,
    )


def _reserved(model: NetworkState) -> dict[tuple[str, str | None], int]:
    """What is reserved by channel and sender, and by section and nobody."""
    network, topology = model.network, model.topology
    return {
        **{(c.id, end): network.reserved_kbps(c.id, end) for c in topology.channels for end in c.ends},
        **{(s.id, None): network.reserved_key_millibps(s.id) for s in topology.sections},
    }
