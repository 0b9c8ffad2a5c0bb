"""Whatever order slices come and go and channels fail in: no reservation leaks, no packet goes astray."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.model.errors import DuplicateSlice, ProvisioningFailed, UnknownSlice
from controller.model.states import ConnectionState
from controller.operations.context import InfeasibleRequest
from tests.support.controller_bench import Bench, request_for
from tests.unit.controller.operations.slices.test_slices import packet_of
from topologies.catalog import metro_ring

TOPOLOGY = metro_ring(mbps_per_gbps=0.5)
NAMES = st.sampled_from(["one", "two", "three"])
CHANNELS = st.sampled_from([c.id for c in TOPOLOGY.channels if c.id.startswith(("cell1", "agg1", "metro1"))])


class Operator(RuleBasedStateMachine):
    """Creates, deletes, cuts, mends, restarts, and makes switches refuse."""

    @initialize()
    def start(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.bench = Bench(TOPOLOGY, Path(self.directory.name) / "db")
        self.untouched = self.bench.state()
        self.down: set[str] = set()

    @rule(name=NAMES, example=st.sampled_from(["enterprise-app", "cdn"]), refused_send=st.integers(0, 40))
    def create(self, name: str, example: str, refused_send: int) -> None:
        count = 0

        def refuse(site: str, changes: object) -> str | None:
            nonlocal count
            count += 1
            return "injected" if count == refused_send else None

        self.bench.switches.refuse = refuse
        with contextlib.suppress(DuplicateSlice, InfeasibleRequest, ProvisioningFailed):
            self.bench.slices.create(request_for(example, name=name))
        self.bench.switches.refuse = lambda site, changes: None
        self.bench.repair_all()

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        try:
            self.bench.slices.delete(name)
        except UnknownSlice:
            assert name not in self.bench.model.slices

    @rule(channel=CHANNELS)
    def cut(self, channel: str) -> None:
        self.down.add(channel)
        self.bench.cut(channel)

    @rule(channel=CHANNELS)
    def mend(self, channel: str) -> None:
        self.down.discard(channel)
        self.bench.mend(channel)

    @rule()
    def restart(self) -> None:
        self.bench = self.bench.next_process()
        self.bench.maintenance.load()
        self.bench.maintenance.refresh_keys()
        self.bench.maintenance.channels_changed(dict.fromkeys(self.down, False))
        self.bench.maintenance.recover()
        self.bench.repair_all()

    @invariant()
    def resources_add_up(self) -> None:
        network = self.bench.model.network
        reserved = {c.id: 0 for c in TOPOLOGY.channels}
        for connection in self.bench.model.connections.values():
            for lane in connection.lanes:
                for channel in lane.route.channels:
                    reserved[channel] += connection.request.spec.bandwidth_kbps
        assert {c: network.reserved_kbps(c) for c in reserved} == reserved
        assert all(network.residual_kbps(c) >= 0 for c in reserved)

    @invariant()
    def switches_hold_what_is_intended(self) -> None:
        for site, held in self.bench.switches.held().items():
            assert held == self.bench.model.intended.at(site)

    @invariant()
    def packets_arrive_or_are_dropped_as_the_states_say(self) -> None:
        for connection in self.bench.model.connections.values():
            for is_reverse in (False, True):
                site, packet = packet_of(self.bench, connection, is_reverse)
                arrived, crossed = self.bench.switches.send_packet(site, packet)
                if connection.state is ConnectionState.DEGRADED:
                    assert arrived == []
                    continue
                assert connection.state is ConnectionState.ACTIVE
                target = connection.request.src if is_reverse else connection.request.dst
                assert [where for where, _ in arrived] == [target]
                assert not self.down.intersection(crossed)
                level = connection.request.spec.security.level
                assert all(TOPOLOGY.channel(c).security >= level for c in crossed)

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        for name in list(self.bench.model.slices):
            self.bench.slices.delete(name)
        assert self.bench.state() == self.untouched
        self.bench.store.close()
        self.directory.cleanup()


Operator.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
test_operator = Operator.TestCase
