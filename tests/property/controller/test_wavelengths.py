"""Whatever comes, changes and fails: no wavelength gives more than it has, no client port serves two connections."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.forwarding.client_ports import ClientPortPool, ClientPortsExhausted
from controller.model.errors import BoundReached, DuplicateSlice, ProvisioningFailed, UnknownSlice
from controller.model.path import Lane, Route
from controller.northbound.views.wavelengths import cross_connects
from controller.operations.context import InfeasibleRequest
from controller.pce.network import Network, OverCommitted
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import ukqntel
from topologies.spec import Allocation, Channel, SecurityClass, Site, Tier, Topology, Wavelength

PORTS = 8
REFUSALS = (InfeasibleRequest, ProvisioningFailed, BoundReached)  # the last where the machine is busy
NAMES = st.sampled_from(["one", "two", "three"])
CHANNELS = st.sampled_from([c.id for c in ukqntel().channels])
CLASSES = st.sampled_from(["dh", "qra", "qkd"])
PROTECTIONS = st.sampled_from(["none", "restoration", "1:1", "1+1"])
RATES = st.sampled_from([0.5, 3, 7, 10])


def test_bed(allocation: Allocation) -> Topology:
    bed = ukqntel()
    return replace(
        bed,
        allocation=allocation,
        wavelengths=tuple(replace(w, client_ports=PORTS, client_gbps=10, capacity_gbps=100) for w in bed.wavelengths),
        sites=tuple(replace(s, optical_switch=s.name in ("agg1", "metro1")) for s in bed.sites),
    )


test_bed.__test__ = False  # type: ignore[attr-defined]


class Circuits(RuleBasedStateMachine):
    """Slices over few client ports."""

    allocation = Allocation.CIRCUIT

    @initialize()
    def start(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.topology = test_bed(self.allocation)
        self.bench = Bench(self.topology, Path(self.directory.name) / "db")
        self.untouched = self.bench.state()
        self.down: set[str] = set()

    @rule(name=NAMES, level=CLASSES, protection=PROTECTIONS, mbps=RATES)
    def create(self, name: str, level: str, protection: str, mbps: float) -> None:
        asked = {"security": level, "bandwidth_mbps": mbps, "latency_ms": 50, "protection": protection}
        request = request_for("cdn", {"access": asked, "backhaul": {"bandwidth_mbps": mbps}}, name=name)
        with contextlib.suppress(DuplicateSlice, *REFUSALS):
            self.bench.slices.create(request)
        self.bench.repair_all()

    @rule(name=NAMES, level=CLASSES, protection=PROTECTIONS, mbps=RATES)
    def change(self, name: str, level: str, protection: str, mbps: float) -> None:
        asked = {"security": level, "bandwidth_mbps": mbps, "protection": protection}
        with contextlib.suppress(UnknownSlice, ClientPortsExhausted, *REFUSALS):
            self.bench.slices.modify(name, {"connections": {"access": asked}})
        self.bench.repair_all()

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        with contextlib.suppress(UnknownSlice):
            self.bench.slices.delete(name)

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
    def no_wavelength_carries_more_than_it_has(self) -> None:
        network = self.bench.model.network
        for wavelength in self.topology.wavelengths:
            assert max(network.carried_kbps(wavelength.id)) <= wavelength.capacity_gbps * 1000

    @invariant()
    def every_port_serves_one_connection(self) -> None:
        model = self.bench.model
        held: dict[tuple[str, int], str] = {}
        hops: Counter[str] = Counter()
        for connection in model.connections.values():
            for lane in connection.lanes:
                assert len(lane.ports) == (len(lane.route.channels) if self.allocation is Allocation.CIRCUIT else 0)
                for channel, port in zip(lane.route.channels, lane.ports, strict=False):
                    wavelength = self.topology.channel(channel).wavelength
                    assert 1 <= port <= PORTS
                    assert (wavelength, port) not in held
                    held[wavelength, port] = connection.id
                    hops[wavelength] += 1
        for name in (w.id for w in self.topology.wavelengths):
            holders = {(name, port): set(names) for port, names in model.client_ports.holders(name).items()}
            assert holders == {place: {who} for place, who in held.items() if place[0] == name}
            left = model.network.ports_left(name)
            assert left is None or left == PORTS - hops[name]

    @invariant()
    def every_cross_connect_carries_one_task(self) -> None:
        found = cross_connects(self.topology, self.bench.model.connections.values())
        ends = [(c["site"], end["wavelength"], end["port"]) for c in found for end in (c["from"], c["to"]) if end]
        assert len(set(ends)) == len(ends)

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        for name in list(self.bench.model.slices):
            self.bench.slices.delete(name)
        assert self.bench.state() == self.untouched
        network = self.bench.model.network
        assert network.pool_left == list(network.index.pools.capacity)
        assert not any(self.bench.model.client_ports.holders(w.id) for w in self.topology.wavelengths)
        self.bench.store.close()
        self.directory.cleanup()


class Shared(Circuits):
    """The same where connections share channels."""

    allocation = Allocation.SHARED


Circuits.TestCase.settings = settings(
    max_examples=10, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
Shared.TestCase.settings = settings(
    max_examples=4, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
test_circuits = Circuits.TestCase
test_shared = Shared.TestCase


def star(ports: int, count: int = 3) -> Topology:
    """Circuits of one wavelength from a hub."""
    leaves = [f"leaf{n}" for n in range(count)]
    channels = tuple(
        Channel(f"c-{leaf}", leaf, "hub", "w", SecurityClass.DH, 10, 1, frozenset({"w"})) for leaf in leaves
    )
    wavelength = Wavelength("w", SecurityClass.DH, 10.0 * ports, ports, 10.0)
    sites = tuple(Site(name, Tier.METRO) for name in ("hub", *leaves))
    return Topology("star", sites, (wavelength,), channels, allocation=Allocation.CIRCUIT)


OWNERS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2), st.booleans()), max_size=40)


@given(OWNERS)
def test_reservations_never_pass_the_ports_and_all_come_back(steps: list[tuple[int, int, bool]]) -> None:
    network = Network(star(4))
    held: dict[str, int] = {}
    for owner, leaf, is_release in steps:
        name = str(owner)
        if is_release and name in held:
            network.release(name)
            del held[name]
        elif name not in held:
            hops = 2 if leaf else 1
            route = Route(("leaf0", "hub", "leaf1")[: hops + 1], ("c-leaf0", "c-leaf1")[:hops], 0, 0)
            if hops <= 4 - sum(held.values()):
                network.reserve(name, route, 1, 0)
                held[name] = hops
                continue
            with pytest.raises(OverCommitted) as refused:
                network.reserve(name, route, 1, 0)
            assert refused.value.element == "wavelength w"
            assert (refused.value.need, refused.value.available) == (hops, 4 - sum(held.values()))
        assert network.ports_left("w") == 4 - sum(held.values())
    for name in held:
        network.release(name)
    assert network.ports_left("w") == 4


def test_a_connection_that_moves_keeps_the_ports_of_the_hops_it_keeps() -> None:
    pool = ClientPortPool(star(3))
    old = Lane(Route(("leaf0", "hub", "leaf1"), ("c-leaf0", "c-leaf1"), 0, 0), (), (), 1)
    old = replace(old, ports=pool.take("a", old.route, 1))
    assert old.ports == (1, 2)
    pool.leave("a", old)
    new = Route(("leaf0", "hub", "leaf2"), ("c-leaf0", "c-leaf2"), 0, 0)
    assert pool.take("a", new, 2) == (1, 3)  # the kept hop's, and a free one beside that which is still patched
    assert pool.take("b", Route(("leaf1", "hub"), ("c-leaf1",), 0, 0), 1) == (2,)  # left, and nothing else is free
    with pytest.raises(ClientPortsExhausted, match="wavelength w: all of its client ports are patched"):
        pool.take("c", Route(("leaf1", "hub"), ("c-leaf1",), 0, 0), 1)
    other = pool.copy()
    other.release("b", Lane(Route((), (), 0, 0), (), (), 1, ports=(2,)))
    assert other.holders("w").keys() == {1, 3}
    pool.release("a", old)
    assert pool.holders("w") == {1: {"a"}, 2: {"b"}, 3: {"a"}}
