"""A controller without a process: the real model, operations and journal over switches and tunnels in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from controller.model.request import SliceRequest
from controller.operations.assembly import assemble
from controller.operations.context import OperationContext, OperationOptions
from controller.operations.event_log import EventLog
from controller.persistence.sqlite_journal import Store
from controller.schema.slice_request import parse_slice_request
from controller.state.network_state import NetworkState
from scripts.testbed.paths import REPOSITORY
from tests.support.fake_switches import FakeChannelPorts, FakeKeyRates, FakeSwitches, FakeTunnels
from tests.support.wait import wait_until
from topologies.spec import Topology

EXAMPLES = REPOSITORY / "scripts" / "examples"


def raw_request(
    example: str, /, connections: dict[str, dict[str, Any]] | None = None, **changes: Any
) -> dict[str, Any]:
    """An example from the repository, with changes."""
    raw: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())
    for role, fields in (connections or {}).items():
        raw["connections"][role].update(fields)
    return raw | changes


def request_for(example: str, /, connections: dict[str, dict[str, Any]] | None = None, **changes: Any) -> SliceRequest:
    return parse_slice_request(raw_request(example, connections, **changes))


class Bench:
    """Everything joined together."""

    def __init__(
        self,
        topology: Topology,
        database: Path,
        switches: FakeSwitches | None = None,
        tunnels: FakeTunnels | None = None,
        make_model: Callable[[Topology], NetworkState] = NetworkState,
        extend: Callable[[OperationContext], None] = lambda context: None,
    ) -> None:
        self.topology = topology
        self.database = database
        self.switches = switches or FakeSwitches(topology)
        self.tunnels = tunnels or FakeTunnels()
        self.channel_ports = FakeChannelPorts(self.switches)
        self.key_rates = FakeKeyRates(tuple(s.id for s in topology.sections))
        self.model = make_model(topology)
        self.store = Store(database)
        self.now = 1_000_000_000.0  # the clock, to be moved
        self.set_forth_s = 0.0  # how far somebody has set the machine's clock from it
        self.events = EventLog(clock=lambda: self.now)
        self.checkpoints: list[str] = []
        self.at_checkpoint: Callable[[str], None] = self.checkpoints.append
        options = OperationOptions(
            clock=lambda: self.now + self.set_forth_s,
            steady=lambda: self.now,
            checkpoint=lambda name: self.at_checkpoint(name),
            drain_s=0.0,
        )
        self.context = OperationContext(
            self.model,
            self.switches,
            self.tunnels,
            self.key_rates,
            self.store,
            self.events,
            self.channel_ports,
            options,
        )
        extend(self.context)
        operations = assemble(self.context)
        self.slices, self.maintenance = operations.slices, operations.maintenance
        self.switches.confirmed = self.maintenance.switch_confirmed
        self.maintenance.refresh_keys()

    def next_process(self) -> Bench:
        """Another controller over the same switches, agents and journal: what a restart finds."""
        self.store.close()
        self.switches.refuse = lambda site, changes: None
        return Bench(self.topology, self.database, self.switches, self.tunnels)

    def run_schedule(self) -> None:
        """What is due by the clock, and everything that it begins."""
        self.maintenance.run_schedule()
        wait_until(lambda: not self.maintenance.begun_by_schedule, 20)

    def cut(self, channel: str) -> None:
        self.maintenance.channels_changed({channel: False})

    def mend(self, channel: str) -> None:
        self.maintenance.channels_changed({channel: True})

    def repair_all(self) -> None:
        """What happens when every switch reconnects; asserts that one repair is enough."""
        for site in self.topology.site_names:
            read = partial(self.switches.installed, site)
            self.maintenance.reconcile(site, read)
            assert self.maintenance.reconcile(site, read)

    def state(self) -> Any:
        """Everything that a slice can leave behind."""
        network = self.model.network
        return (
            self.switches.held(),
            dict(self.tunnels.told),
            {(c.id, end): network.reserved_kbps(c.id, end) for c in self.topology.channels for end in c.ends},
            {s.id: network.reserved_key_millibps(s.id) for s in self.topology.sections},
            {s: network.free_compute(s) for s in self.topology.site_names},
            {(c.id, end): self.model.labels.taken(c.id, end) for c in self.topology.channels for end in c.ends},
            {site: self.model.intended.at(site) for site in self.topology.site_names},
            sorted(self.model.slices),
            sorted(self.model.connections),
            self.store.load(),
        )
