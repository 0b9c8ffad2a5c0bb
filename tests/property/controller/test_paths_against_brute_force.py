"""On small random networks path computation finds what trying everything finds: as feasible and as cheap."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model.latency import LatencyModel
from controller.model.operator_policy import CostProfile
from controller.model.request import (
    ConnectionRequest,
    ConnectionSpec,
    Protection,
    Role,
    SecurityRequirement,
    SliceRequest,
    compute_of,
)
from controller.pce.computation import reserve_planned, search_pair, search_route, search_slice
from controller.pce.cost import breakdown
from controller.pce.disjoint_pair import RISK_PENALTY, SITE_PENALTY
from controller.pce.network import Network
from controller.pce.route_query import search_relay
from scripts.bench.pce import brute_force
from scripts.bench.pce.instances import (
    SmallLimits,
    small_connection,
    small_listed,
    small_network,
    small_slice,
)
from tests.support.small_networks import ask, topology
from topologies.spec import Allocation, SecurityClass

seeds = st.integers(0, 2**32)
allocations = st.sampled_from(Allocation)
profiles = st.sampled_from(CostProfile)
models = st.builds(LatencyModel, st.integers(1, 60), st.integers(1, 150))  # of the order of small requests' bounds
SLICE_LIMITS = SmallLimits(sites=5, channels=9, cells=1)


def parts(cost: int) -> tuple[int, int, int]:
    split = breakdown(cost)
    return split.surplus_levels, split.latency_us, split.load_permille


@given(seeds, seeds)
@settings(max_examples=1500, deadline=None)
def test_one_route(network_seed: int, request_seed: int) -> None:
    network = small_network(network_seed)
    check_route(network, small_connection(request_seed, network))


@given(seeds, seeds, profiles)
@settings(max_examples=1500, deadline=None)
def test_one_route_with_another_bandwidth_there_than_back(
    network_seed: int, request_seed: int, profile: CostProfile
) -> None:
    network = small_network(network_seed, is_one_sided=True, profile=profile)
    check_route(network, small_connection(request_seed, network, is_directed=True))


@given(seeds, seeds, allocations, st.booleans())
@settings(max_examples=1500, deadline=None)
def test_one_route_over_wavelengths_with_several_circuits(
    network_seed: int, request_seed: int, allocation: Allocation, is_loaded: bool
) -> None:
    network = small_network(network_seed, is_one_sided=is_loaded, pooled=allocation)
    check_route(network, small_connection(request_seed, network, is_directed=is_loaded, is_eased=True))


@given(seeds, seeds, models, st.booleans())
@settings(max_examples=1500, deadline=None)
def test_one_route_whose_latency_counts_switches_and_tunnel(
    network_seed: int, request_seed: int, latency: LatencyModel, is_sealed_by_cards: bool
) -> None:
    network = small_network(network_seed, latency=latency)
    request = small_connection(request_seed, network)
    check_route(network, replace(request, spec=replace(request.spec, hosts_seal=not is_sealed_by_cards)))


def check_route(network: Network, request: ConnectionRequest) -> None:
    expected = brute_force.best_route(network, request)
    route = search_route(network, request)
    if expected is None or route is None:
        assert expected is None
        assert route is None
        return
    assert (parts(route.cost), sum(times for _, times in route.key_sections)) == expected
    ways = {way for _, way in brute_force.allowed_ways(network, request)}
    assert (route.sites, route.channels) in ways
    latency_us = brute_force.latency_of(network, request, (route.sites, route.channels))
    assert route.latency_us == route.latency_parts.total == latency_us
    network.reserve("owner", route, request.spec.reserved_kbps, request.spec.key_rate_millibps)


@given(seeds, st.data())
@settings(max_examples=600, deadline=None)
def test_required_sites_do_not_make_a_route_meet_a_site_twice(network_seed: int, data: st.DataObject) -> None:
    """With loose limits and sites required, the cheapest walk often goes in and out of a stub."""
    network = small_network(network_seed, SmallLimits(sites=8, channels=13))
    src, dst, *others = data.draw(st.permutations(network.topology.site_names))
    required = data.draw(st.lists(st.sampled_from(others), min_size=1, max_size=3, unique=True))
    spec = ConnectionSpec(SecurityRequirement((SecurityClass.NONE,)), 0, 10**6, include_sites=tuple(required))
    request = ConnectionRequest("s", "c", Role.ACCESS, src, dst, spec)
    expected = brute_force.best_route(network, request)
    route = search_route(network, request)
    assert (None if route is None else parts(route.cost)) == (None if expected is None else expected[0])
    assert route is None or len(set(route.sites)) == len(route.sites)


@given(seeds)
@settings(max_examples=1500, deadline=None)
def test_key_relay_over_links_that_share_sections(seed: int) -> None:
    """The shortest relay often crosses a shared section more often than it can bear, where a longer one does not."""
    rng = Random(seed)
    sites, sections = "abcdef", ("s1", "s2", "s3", "s4")
    ends = [*pairwise(sites), *(rng.sample(sites, 2) for _ in range(6))]
    links = [(a, b, tuple(rng.choices(sections, k=rng.randint(1, 3)))) for a, b in ends]
    network = Network(topology([], links, sites=sites))
    for section in network.topology.sections:
        network.set_section(section.id, rng.randint(1, 4) * 1000, True)
    request = ask("a", "f", security="qkd", rekey_s=256.0)  # 1 bit/s
    expected = brute_force.relays(network, request)
    relay = search_relay(network, request)
    assert (relay is None) == (not expected)
    if relay is not None:
        crossings = {network.index.section_ids[s]: times for s, times in relay.crossings}
        assert sum(crossings.values()) == expected[0].total()
        assert crossings in [dict(used) for used in expected]


@given(seeds, seeds)
@settings(max_examples=1500, deadline=None)
def test_pair(network_seed: int, request_seed: int) -> None:
    network = small_network(network_seed)
    check_pair(network, small_connection(request_seed, network, Protection.ONE_TO_ONE))


@given(seeds, seeds, st.sampled_from([Protection.ONE_TO_ONE, Protection.ONE_PLUS_ONE]), profiles)
@settings(max_examples=2500, deadline=None)
def test_pair_with_another_bandwidth_there_than_back(
    network_seed: int, request_seed: int, protection: Protection, profile: CostProfile
) -> None:
    network = small_network(network_seed, is_one_sided=True, profile=profile)
    check_pair(network, small_connection(request_seed, network, protection, is_directed=True))


@given(seeds, seeds, allocations, st.booleans())
@settings(max_examples=1500, deadline=None)
def test_pair_over_wavelengths_with_several_circuits(
    network_seed: int, request_seed: int, allocation: Allocation, is_loaded: bool
) -> None:
    network = small_network(network_seed, is_one_sided=is_loaded, pooled=allocation)
    protection = Protection.ONE_PLUS_ONE if is_loaded else Protection.ONE_TO_ONE
    check_pair(network, small_connection(request_seed, network, protection, is_directed=is_loaded, is_eased=True))


@given(seeds, seeds, models)
@settings(max_examples=1000, deadline=None)
def test_pair_whose_latency_counts_switches_and_tunnel(
    network_seed: int, request_seed: int, latency: LatencyModel
) -> None:
    network = small_network(network_seed, latency=latency)
    check_pair(network, small_connection(request_seed, network, Protection.ONE_TO_ONE))


def check_pair(network: Network, request: ConnectionRequest) -> None:
    expected = brute_force.best_pair(network, request)
    found = search_pair(network, request)
    if expected is None or found is None:
        assert expected is None
        assert found is None
        return
    working, backup = found.routes.working, found.routes.backup
    risks, sites = brute_force.shared(network, (working.sites, working.channels), (backup.sites, backup.channels))
    assert (len(risks), len(sites), parts(found.routes.cost)) == expected
    assert sorted(found.routes.shared) == sorted(risks | sites)
    assert found.objective == found.routes.cost + len(risks) * RISK_PENALTY + len(sites) * SITE_PENALTY
    assert working.cost <= backup.cost
    network.reserve("working", working, request.spec.reserved_kbps, request.spec.key_rate_millibps)
    network.reserve("backup", backup, request.spec.reserved_kbps, request.spec.key_rate_millibps)


@given(seeds, seeds)
@settings(max_examples=600, deadline=None)
def test_slice(network_seed: int, request_seed: int) -> None:
    network = small_network(network_seed, SLICE_LIMITS)
    check_slice(network, small_slice(request_seed, network, SLICE_LIMITS))


@given(seeds, seeds, st.booleans(), profiles)
@settings(max_examples=1200, deadline=None)
def test_slice_of_any_shape(network_seed: int, request_seed: int, is_loaded: bool, profile: CostProfile) -> None:
    network = small_network(network_seed, SLICE_LIMITS, is_one_sided=is_loaded, profile=profile)
    check_slice(network, small_listed(request_seed, network))


@given(seeds, seeds, allocations, st.booleans())
@settings(max_examples=800, deadline=None)
def test_slice_over_wavelengths_with_several_circuits(
    network_seed: int, request_seed: int, allocation: Allocation, is_listed: bool
) -> None:
    network = small_network(network_seed, SLICE_LIMITS, pooled=allocation)
    made = small_listed(request_seed, network) if is_listed else small_slice(request_seed, network, SLICE_LIMITS)
    check_slice(network, made)


@given(seeds, seeds, models, st.booleans())
@settings(max_examples=600, deadline=None)
def test_slice_whose_latency_counts_switches_and_tunnels(
    network_seed: int, request_seed: int, latency: LatencyModel, is_listed: bool
) -> None:
    network = small_network(network_seed, SLICE_LIMITS, latency=latency)
    made = small_listed(request_seed, network) if is_listed else small_slice(request_seed, network, SLICE_LIMITS)
    check_slice(network, made)


def check_slice(network: Network, request: SliceRequest) -> None:
    before = network_state(network)
    expected = brute_force.best_slice(network, request)
    plan = search_slice(network, request)
    assert network_state(network) == before
    if expected is None or plan is None:
        assert expected is None
        assert plan is None
        return
    risks = sites = 0
    for c in plan.connections:
        if c.backup is not None:
            common = brute_force.shared(
                network, (c.working.sites, c.working.channels), (c.backup.sites, c.backup.channels)
            )
            risks, sites = risks + len(common[0]), sites + len(common[1])
    assert (risks, sites, parts(plan.cost)) == expected
    for connection in plan.connections:
        reserve_planned(network, connection)
    network.reserve_compute("s", compute_of(request, plan.compute_site))


def network_state(network: Network) -> list[int]:
    return [network.reserved_kbps(c.id, end) for c in network.topology.channels for end in c.ends] + [
        network.reserved_key_millibps(s) for s in network.index.section_ids
    ]
