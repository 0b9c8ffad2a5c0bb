"""A wavelength's client ports and capacity: what is refused when they are used up, with the reason and a way out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.model.path import Route
from controller.model.request import ConnectionRequest, Match, Protection, SecurityRequirement
from controller.pce.computation import Infeasible, find_route, search_pair, search_route
from controller.pce.network import Network, OverCommitted
from tests.support.small_networks import ask, spec
from topologies.catalog import ukqntel
from topologies.spec import Allocation, SecurityClass, Topology

DH_ALONE = spec("dh", mbps=10, match=Match.EXACT)
PORTS = 10


def bed(allocation: Allocation) -> Topology:
    """One wavelength in each class but QKD, which has two; ten client ports of 10G on each."""
    return replace(ukqntel(), allocation=allocation)


def filled(allocation: Allocation, count: int) -> Network:
    """So many clients of ch2, each over one hop."""
    network = Network(bed(allocation))
    for n in range(count):
        ends = ("cell1", "agg1") if n % 2 else ("cell2", "agg1")
        route = search_route(network, ask(*ends, DH_ALONE))
        assert route is not None
        network.reserve(f"client {n}", route, DH_ALONE.reserved_kbps, 0)
    return network


def test_the_eleventh_client_of_a_wavelength_is_refused_with_the_reason_and_what_fits() -> None:
    network = filled(Allocation.CIRCUIT, PORTS)
    assert network.ports_left("ch2") == 0
    request = ask("metro1", "core1", DH_ALONE)
    refused = find_route(network, request)
    assert isinstance(refused, Infeasible)
    reason = refused.reasons[0]
    assert (reason.constraint, reason.where, reason.needed, reason.available) == ("client_ports", "ch2", 1, 0)
    assert {r.constraint for r in refused.reasons}.isdisjoint({"bandwidth", "connectivity"})
    assert {remedy.field for remedy in refused.nearest} == {"connections.access.security", "connections.access.match"}
    # Any of them, as it was tried.
    more = replace(request, spec=replace(DH_ALONE, security=SecurityRequirement((SecurityClass.DH,), Match.AT_LEAST)))
    assert isinstance(find_route(network, more), Route)
    network.release("client 3")
    assert isinstance(find_route(network, request), Route)


def test_a_path_takes_a_port_for_each_of_its_hops() -> None:
    network = filled(Allocation.CIRCUIT, PORTS - 2)
    assert search_route(network, ask("cell1", "metro1", DH_ALONE)) is not None
    refused = find_route(network, ask("cell1", "core1", DH_ALONE))
    assert isinstance(refused, Infeasible)
    assert (refused.reasons[0].constraint, refused.reasons[0].needed, refused.reasons[0].available) == (
        "client_ports",
        3,
        2,
    )


def test_nobody_gets_more_than_a_client_port_carries() -> None:
    network = Network(bed(Allocation.CIRCUIT))
    refused = find_route(network, ask("cell1", "agg1", replace(DH_ALONE, bandwidth_kbps=10_001)))
    assert isinstance(refused, Infeasible)
    assert [(r.constraint, r.needed, r.available) for r in refused.reasons] == [("bandwidth", 10_001, 10_000)]


def test_a_backup_takes_ports_too() -> None:
    network = filled(Allocation.CIRCUIT, 0)
    both = replace(spec("qkd", mbps=10, rekey_s=3), protection=Protection.ONE_TO_ONE)
    for section in network.topology.sections:
        network.set_section(section.id, 10**9, usable=True)
    for n in range(PORTS):
        pair = search_pair(network, ask("cell1", "agg1", both))
        assert pair is not None
        for k, route in enumerate((pair.routes.working, pair.routes.backup)):
            network.reserve(f"{n} {k}", route, both.reserved_kbps, 0)
    assert (network.ports_left("ch4"), network.ports_left("ch5")) == (0, 0)
    assert search_pair(network, ask("cell2", "agg1", both)) is None


def test_the_sum_of_a_wavelengths_circuits_does_not_pass_its_capacity() -> None:
    network = filled(Allocation.SHARED, PORTS)
    assert network.carried_kbps("ch2") == (100_000, 100_000)
    assert network.residual_kbps("metro1-core1-ch2") == 100_000  # the circuit itself is idle
    refused = find_route(network, ask("metro1", "core1", DH_ALONE))
    assert isinstance(refused, Infeasible)
    reason = refused.reasons[0]
    assert (reason.constraint, reason.where, reason.needed, reason.available) == ("wavelength", "ch2", 10_000, 0)
    assert "bandwidth" not in {r.constraint for r in refused.reasons}
    with pytest.raises(OverCommitted, match=r"wavelength ch2: 1 asked for, 0 left"):
        network.reserve("one more", Route(("metro1", "core1"), ("metro1-core1-ch2",), 0, 0), 1, 0)
    assert not network.is_reserved("one more")


def test_directions_of_a_wavelength_count_by_themselves() -> None:
    network = Network(bed(Allocation.SHARED))

    def one_way(src: str, dst: str, mbps: int) -> ConnectionRequest:
        return ask(src, dst, replace(DH_ALONE, bandwidth_kbps=mbps * 1000, reverse_bandwidth_kbps=0))

    up = search_route(network, one_way("cell1", "agg1", 100))
    assert up is not None
    network.reserve("up", up, (100_000, 0), 0)
    assert search_route(network, one_way("agg1", "metro1", 1)) is None
    assert search_route(network, one_way("metro1", "agg1", 100)) is not None


def test_a_wavelength_with_room_for_all_of_its_circuits_is_not_looked_at() -> None:
    topology = ukqntel()
    roomy = replace(topology, wavelengths=tuple(replace(w, capacity_gbps=400) for w in topology.wavelengths))
    assert Network(roomy).index.pools.pooled == ()
    assert len(Network(topology).index.pools.pooled) == 5
