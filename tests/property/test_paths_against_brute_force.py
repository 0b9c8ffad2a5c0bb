"""On small random networks path computation finds what trying everything finds: as feasible and as cheap."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.cost import breakdown
from controller.disjoint import RISK_PENALTY, SITE_PENALTY
from controller.graph import Network
from controller.model import ConnectionSpec, Match, Protection, Role, SecurityRequirement
from controller.paths import search_pair, search_route
from controller.placement import reserve_planned, search_slice
from tests.fakes import brute_force
from tests.fakes.networks import ask, ask_slice, channel, topology
from topologies.spec import SecurityClass

SITES = ("a", "b", "c", "d", "e")
KEY_UNIT = 1000  # mbit/s; rates and needs are small multiples of it


@st.composite
def networks(draw: st.DrawFn, most_channels: int = 9) -> Network:
    """Multigraphs of five sites with parallel channels, ties, full channels, dead elements and shared sections."""
    channels = []
    for i in range(draw(st.integers(1, most_channels))):
        a, b = draw(st.sampled_from([(x, y) for x in SITES for y in SITES if x != y]))
        channels.append(
            channel(
                f"ch{i}", a, b,
                security=draw(st.sampled_from(SecurityClass)),
                mbps=draw(st.sampled_from([10, 20, 30, 100])),
                km=draw(st.sampled_from([0, 1, 1.5, 10, 10, 30])),
                groups=draw(st.sets(st.sampled_from(["g1", "g2", "g3", "g4"]), max_size=2)),
            )
        )  # fmt: skip
    links = draw(
        st.lists(
            st.tuples(
                st.sampled_from(SITES), st.sampled_from(SITES),
                st.lists(st.sampled_from(["s1", "s2", "s3"]), min_size=1, max_size=3).map(tuple),
            ),
            max_size=6,
        )
    )  # fmt: skip
    compute = {site: draw(st.integers(0, 2)) for site in SITES}
    network = Network(topology(channels, links, compute, SITES))
    for section in network.topology.sections:
        network.set_section(section.id, draw(st.integers(0, 6)) * KEY_UNIT, draw(st.integers(0, 9)) > 0)
    for c in channels:
        if draw(st.integers(0, 9)) == 0:
            network.set_channel_up(c.id, False)
    if draw(st.integers(0, 9)) == 0:
        network.set_site_up(draw(st.sampled_from(SITES)), False)
    return network


@st.composite
def specs(draw: st.DrawFn, channels: tuple[str, ...], protections: tuple[Protection, ...]) -> ConnectionSpec:
    some_sites = st.sets(st.sampled_from(SITES), max_size=2)
    some_channels = st.sets(st.sampled_from(channels), max_size=1)
    is_picky = draw(st.integers(0, 2)) == 0
    return ConnectionSpec(
        SecurityRequirement(
            draw(st.sampled_from([(s,) for s in SecurityClass] + [(SecurityClass.QRA, SecurityClass.QKD)])),
            draw(st.sampled_from([Match.AT_LEAST, Match.AT_LEAST, Match.EXACT])),
        ),
        bandwidth_kbps=draw(st.sampled_from([0, 1, 9_999, 10_000, 10_001, 15_000])),
        latency_us=draw(st.sampled_from([0, 15, 64, 100, 150, 300, 10**6, 10**6])),
        rekey_s=256_000 / KEY_UNIT / draw(st.integers(1, 3)),
        protection=draw(st.sampled_from(protections)),
        exclude_sites=frozenset(draw(some_sites)) if is_picky else frozenset(),
        exclude_channels=frozenset(draw(some_channels)) if is_picky else frozenset(),
        include_sites=tuple(sorted(draw(some_sites))) if is_picky else (),
        include_channels=tuple(draw(some_channels)) if is_picky else (),
        max_hops=draw(st.sampled_from([None, None, 1, 2, 3])),
    )


def parts(cost: int) -> tuple[int, int, int]:
    split = breakdown(cost)
    return split.surplus_levels, split.latency_us, split.load_permille


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_one_route(data: st.DataObject) -> None:
    network = data.draw(networks())
    spec = data.draw(specs(network.index.channel_ids, (Protection.NONE,)))
    request = ask(data.draw(st.sampled_from(SITES)), data.draw(st.sampled_from(SITES)), spec)
    expected = brute_force.best_route(network, request)
    route = search_route(network, request)
    if expected is None or route is None:
        assert expected is None
        assert route is None
        return
    assert (parts(route.cost), sum(times for _, times in route.key_sections)) == expected
    ways = {way for _, way in brute_force.allowed_ways(network, request)}
    assert (route.sites, route.channels) in ways
    network.reserve("owner", route, spec.bandwidth_kbps, spec.key_rate_mbps)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_pair(data: st.DataObject) -> None:
    network = data.draw(networks())
    spec = data.draw(specs(network.index.channel_ids, (Protection.ONE_TO_ONE,)))
    request = ask(data.draw(st.sampled_from(SITES)), data.draw(st.sampled_from(SITES)), spec)
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
    network.reserve("working", working, spec.bandwidth_kbps, spec.key_rate_mbps)
    network.reserve("backup", backup, spec.bandwidth_kbps, spec.key_rate_mbps)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_slice(data: st.DataObject) -> None:
    network = data.draw(networks(most_channels=8))
    channels = network.index.channel_ids
    some = specs(channels, (Protection.NONE, Protection.NONE, Protection.ONE_PLUS_ONE))
    connections = {role: data.draw(some) for role in Role}
    # Requests that exclude or require elements are rarely feasible together; one role has them at most.
    for role in data.draw(st.sets(st.sampled_from(list(Role)), min_size=2)):
        connections[role] = replace(
            connections[role],
            exclude_sites=frozenset(),
            exclude_channels=frozenset(),
            include_sites=(),
            include_channels=(),
            max_hops=None,
        )
    cells = data.draw(st.sampled_from([("a",), ("a",), ("a", "b")]))
    site = data.draw(st.sampled_from([None, None, "c", "d"]))
    request = ask_slice(connections, cells, core="e", site=site)
    before = brute_force.best_slice(network, request)
    plan = search_slice(network, request)
    if before is None or plan is None:
        assert before is None
        assert plan is None
        return
    risks = sites = 0
    for c in plan.connections:
        if c.backup is not None:
            common = brute_force.shared(
                network, (c.working.sites, c.working.channels), (c.backup.sites, c.backup.channels)
            )
            risks, sites = risks + len(common[0]), sites + len(common[1])
    assert (risks, sites, parts(plan.cost)) == before
    for connection in plan.connections:
        reserve_planned(network, connection)
    network.reserve_compute("s", plan.compute_site, request.compute.vcpus, request.compute.memory_gb)
