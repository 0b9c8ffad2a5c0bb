"""Path computation by example."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.model.path import Route
from controller.pce.computation import Infeasible, find_route
from controller.pce.cost import breakdown
from controller.pce.disjoint_pair import RoutePair
from controller.pce.network import Network
from tests.support.disjoint_pairs import find_disjoint_pair
from tests.support.small_networks import PLENTY_MILLIBPS, ask, channel, network, topology
from topologies.catalog import load
from topologies.spec import SecurityClass

NONE, DH, QRA, QKD = SecurityClass


def catalogued(name: str) -> Network:
    built = Network(load(name))
    for section in built.topology.sections:
        built.set_section(section.id, PLENTY_MILLIBPS, True)
    return built


def route_of(found: Route | Infeasible) -> Route:
    assert isinstance(found, Route), found
    return found


def pair_of(found: RoutePair | Infeasible) -> RoutePair:
    assert isinstance(found, RoutePair), found
    return found


def test_the_level_asked_for_comes_before_a_shorter_way() -> None:
    net = network(
        channel("premium", "a", "c", QKD, km=1), channel("ab", "a", "b", DH, km=50), channel("bc", "b", "c", DH, km=50)
    )
    assert route_of(find_route(net, ask("a", "c", security="dh"))).channels == ("ab", "bc")
    tight = route_of(find_route(net, ask("a", "c", security="dh", latency_ms=0.1)))
    assert tight.channels == ("premium",)
    assert breakdown(tight.cost).surplus_levels == 2


def test_load_is_spread_over_equal_channels() -> None:
    net = network(channel("x1", "a", "b"), channel("x2", "a", "b"))
    taken = []
    for i in range(4):
        route = route_of(find_route(net, ask("a", "b")))
        net.reserve(str(i), route, 10_000, 0)
        taken.append(route.channels[0])
    assert taken == ["x1", "x2", "x1", "x2"]


def test_a_greedy_search_would_miss_the_way_within_the_latency_bound() -> None:
    """The cheapest way to b is the slow one, from where the bound cannot be held (OK: edge case 15)."""
    net = network(
        channel("slow", "a", "b", NONE, km=100), channel("fast", "a", "b", QKD, km=1), channel("bc", "b", "c", km=10)
    )
    assert route_of(find_route(net, ask("a", "c"))).channels == ("slow", "bc")
    assert route_of(find_route(net, ask("a", "c", latency_ms=0.2))).channels == ("fast", "bc")


def test_the_answer_does_not_depend_on_the_order_of_the_topology() -> None:
    channels = [channel(f"{a}{b}{n}", a, b) for a, b in ("ab", "bd", "ac", "cd") for n in range(3)]
    one = Network(topology(channels))
    other = Network(topology(channels[::-1]))
    assert find_route(one, ask("a", "d")) == find_route(other, ask("a", "d"))
    assert find_disjoint_pair(one, ask("a", "d")) == find_disjoint_pair(other, ask("a", "d"))


def test_required_and_excluded_elements() -> None:
    net = network(
        channel("ad", "a", "d"), channel("ab", "a", "b"), channel("bd", "b", "d"), channel("bd2", "b", "d", km=90)
    )
    assert route_of(find_route(net, ask("a", "d", include_sites=("b",)))).channels == ("ab", "bd")
    assert route_of(find_route(net, ask("a", "d", include_channels=("bd2",)))).channels == ("ab", "bd2")
    assert route_of(find_route(net, ask("a", "d", exclude_channels=frozenset({"ad"})))).channels == ("ab", "bd")
    both = ask("a", "d", include_sites=("b",), exclude_sites=frozenset({"b"}))
    assert isinstance(find_route(net, both), Infeasible)


def test_no_site_is_met_twice_even_for_a_required_stub() -> None:
    net = network(
        channel("ab", "a", "b"), channel("bc", "b", "c"), channel("bs", "b", "s"), channel("sc", "s", "c", km=99)
    )
    assert route_of(find_route(net, ask("a", "c", include_sites=("s",)))).sites == ("a", "b", "s", "c")
    net.set_channel_up("sc", False)
    assert isinstance(find_route(net, ask("a", "c", include_sites=("s",))), Infeasible)


def test_keys_travel_with_the_data_or_the_request_is_refused() -> None:
    net = network(channel("x", "a", "b", QKD), links=[("a", "b", ("s1", "s2", "s1"))])
    route = route_of(find_route(net, ask("a", "b", security="qkd")))
    assert route.key_sections == (("s1", 2), ("s2", 1))
    need = ask("a", "b", security="qkd").spec.key_rate_millibps
    net.set_section("s1", 2 * need, True)
    assert isinstance(find_route(net, ask("a", "b", security="qkd")), Route)
    net.set_section("s1", 2 * need - 1, True)  # crossed twice, it needs the rate twice
    refused = find_route(net, ask("a", "b", security="qkd"))
    assert isinstance(refused, Infeasible)
    assert [(r.constraint, r.where, r.needed, r.available) for r in refused.reasons] == [
        ("key_rate", "s1", 2 * need, 2 * need - 1)
    ]


def test_keys_may_go_another_way_than_the_data_but_not_through_an_excluded_site() -> None:
    net = network(channel("x", "a", "b", QKD), channel("y", "a", "c"), links=[("a", "c", ("s1",)), ("c", "b", ("s2",))])
    route = route_of(find_route(net, ask("a", "b", security="qkd")))
    assert route.sites == ("a", "b")
    assert [s for s, _ in route.key_sections] == ["s1", "s2"]
    assert isinstance(find_route(net, ask("a", "b", security="qkd", exclude_sites=frozenset({"c"}))), Infeasible)
    net.set_site_up("c", False)
    assert isinstance(find_route(net, ask("a", "b", security="qkd")), Infeasible)


def test_the_two_ends_must_differ() -> None:
    refused = find_route(catalogued("ukqntel"), ask("agg1", "agg1"))
    assert isinstance(refused, Infeasible)
    assert refused.reasons[0].constraint == "connectivity"


def test_metro_ring_has_disjoint_pairs_in_every_class_between_any_cell_and_any_core() -> None:
    net = catalogued("metro-ring")
    for cell in ("cell1", "cell2"):
        for core in ("core1", "core2"):
            for security in SecurityClass:
                pair = pair_of(find_disjoint_pair(net, ask(cell, core, security=security.label)))
                assert pair.shared == ()
                assert not set(pair.working.sites[1:-1]) & set(pair.backup.sites)
                assert pair.working.cost <= pair.backup.cost


def test_on_a_line_the_shared_sites_and_fibre_are_named() -> None:
    pair = pair_of(find_disjoint_pair(catalogued("ukqntel"), ask("cell1", "core1", security="none")))
    assert pair.shared == ("agg1", "metro1", "fibre-adastral-cambridge")
    assert pair.risks == ("fibre-adastral-cambridge",)
    assert not set(pair.working.channels) & set(pair.backup.channels)


def test_a_pair_avoids_a_common_duct_at_any_cost() -> None:
    net = network(
        channel("w1", "a", "b", km=1, groups=("duct",)),
        channel("w2", "a", "b", km=2, groups=("duct",)),
        channel("far1", "a", "c", QKD, km=90),
        channel("far2", "c", "b", QKD, km=90),
    )
    pair = pair_of(find_disjoint_pair(net, ask("a", "b")))
    assert (pair.working.channels, pair.backup.channels, pair.shared) == (("w1",), ("far1", "far2"), ())
    net.set_channel_up("far1", False)
    pair = pair_of(find_disjoint_pair(net, ask("a", "b")))
    assert (pair.working.channels, pair.backup.channels, pair.shared) == (("w1",), ("w2",), ("duct",))


def test_the_trap_that_two_searches_in_a_row_fall_into() -> None:
    """The shortest way uses both bridges, so that removing it leaves no second one."""
    net = network(
        channel("am", "a", "m", km=1), channel("mn", "m", "n", km=1), channel("nb", "n", "b", km=1),
        channel("an", "a", "n", km=20), channel("mb", "m", "b", km=20),
    )  # fmt: skip
    pair = pair_of(find_disjoint_pair(net, ask("a", "b")))
    assert pair.shared == ()
    assert {pair.working.channels, pair.backup.channels} == {("am", "mb"), ("an", "nb")}


def test_a_channel_is_shared_only_with_room_for_both() -> None:
    net = network(channel("ab", "a", "b", mbps=19), channel("bc1", "b", "c"), channel("bc2", "b", "c"))
    refused = find_disjoint_pair(net, ask("a", "c"))
    assert isinstance(refused, Infeasible)
    assert {r.field for r in refused.nearest} == {"connections.access.bandwidth_mbps", "connections.access.protection"}
    pair = pair_of(find_disjoint_pair(net, ask("a", "c", mbps=9.5)))
    assert "ab" in pair.shared
    assert "b" in pair.shared


def test_a_pair_is_two_routes() -> None:
    refused = find_disjoint_pair(network(channel("ab", "a", "b")), ask("a", "b"))
    assert isinstance(refused, Infeasible)
    assert [r.value for r in refused.nearest] == ["restoration"]


@pytest.mark.parametrize("mbps", [0, 100])
def test_the_bounds_themselves_are_feasible(mbps: float) -> None:
    net = network(channel("x", "a", "b", mbps=100, km=10))
    assert isinstance(find_route(net, ask("a", "b", mbps=mbps, latency_ms=0.064, max_hops=1)), Route)
    assert isinstance(find_route(net, ask("a", "b", mbps=mbps, latency_ms=0.063)), Infeasible)


def test_an_unknown_end_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        find_route(catalogued("ukqntel"), replace(ask("cell1", "core1"), dst="nowhere"))
