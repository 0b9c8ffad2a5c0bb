"""What an operator reads when nothing fits, by example."""

from __future__ import annotations

from controller.model.path import Route
from controller.model.request import Match, Protection, Role
from controller.pce.computation import Infeasible, Relaxation, find_route, plan_slice
from controller.pce.network import Network
from tests.support.disjoint_pairs import find_disjoint_pair
from tests.support.small_networks import PLENTY_MILLIBPS, ask, ask_slice, channel, network, spec
from topologies.catalog import load
from topologies.spec import SecurityClass

NONE, DH, QRA, QKD = SecurityClass


def refusal(found: object) -> Infeasible:
    assert isinstance(found, Infeasible), found
    return found


def values(nearest: tuple[Relaxation, ...]) -> dict[str, object]:
    return {r.field.removeprefix("connections.access."): r.value for r in nearest if not r.also}


def test_bandwidth() -> None:
    net = network(channel("ab", "a", "b", mbps=100), channel("bc", "b", "c", mbps=12), channel("far", "b", "c", mbps=8))
    found = refusal(find_route(net, ask("a", "c", mbps=20)))
    assert [(r.connection, r.constraint, r.where, r.needed, r.available) for r in found.reasons] == [
        ("s/c", "bandwidth", "bc", 20_000, 12_000)
    ]
    assert values(found.nearest) == {"bandwidth_mbps": 12.0}
    assert found.nearest[0].description == "connections.access.bandwidth_mbps 12.0 instead of 20"
    assert found.summary == "s/c: bandwidth at bc: 20000 kbit/s needed, 12000 kbit/s available"


def test_channels_that_are_full_are_named_though_no_bandwidth_would_help() -> None:
    net = network(channel("full", "a", "b", DH, mbps=10), channel("weak", "a", "b", NONE))
    net.reserve("other", Route((), ("full",), 0, 0), 10_000, 0)
    found = refusal(find_route(net, ask("a", "b", security="dh")))
    assert [(r.constraint, r.where, r.needed, r.available) for r in found.reasons] == [
        ("bandwidth", "full", 10_000, 0),
        ("security", "weak", "dh", "none"),
    ]
    assert values(found.nearest) == {"security": "none"}


def test_latency() -> None:
    net = network(channel("ab", "a", "b", km=10), channel("bc", "b", "c", km=20))
    found = refusal(find_route(net, ask("a", "c", latency_ms=0.1)))
    assert [(r.constraint, r.where, r.needed, r.available) for r in found.reasons] == [("latency", "a-c", 100, 177)]
    assert values(found.nearest) == {"latency_ms": 0.177}


def test_security_names_the_channels_that_are_too_weak_and_the_best_level_there_is() -> None:
    net = network(channel("ab", "a", "b", QKD), channel("bc1", "b", "c", QRA), channel("bc2", "b", "c", DH))
    net_with_keys = network(*net.topology.channels, links=[("a", "c", ("s1",))])
    found = refusal(find_route(net_with_keys, ask("a", "c", security="qkd")))
    assert [(r.constraint, r.where, r.needed, r.available) for r in found.reasons] == [
        ("security", "bc1", "qkd", "qra")
    ]
    assert values(found.nearest) == {"security": "qra"}


def test_an_exact_match_may_be_given_up() -> None:
    net = network(channel("ab", "a", "b", QRA))
    found = refusal(find_route(net, ask("a", "b", security="dh", match=Match.EXACT)))
    assert values(found.nearest) == {"match": "at-least"}
    assert found.reasons[0].needed == "dh exactly"


def test_key_rate_is_eased_by_rekeying_less_often() -> None:
    net = network(channel("ab", "a", "b", QKD), links=[("a", "b", ("s1",))])
    net.set_section("s1", 30_000, True)  # 30 bit/s; 256 bits every 3 s are 85.3
    found = refusal(find_route(net, ask("a", "b", security="qkd")))
    assert [(r.constraint, r.where, r.needed, r.available) for r in found.reasons] == [
        ("key_rate", "s1", 85_333, 30_000)
    ]
    assert values(found.nearest) == {"rekey_s": 8.534, "security": "qra"}


def test_a_dead_section_leaves_only_a_lower_level() -> None:
    net = Network(load("ukqntel"))
    for section in net.topology.sections:
        net.set_section(section.id, PLENTY_MILLIBPS, section.id != "s3")
    found = refusal(find_route(net, ask("metro1", "core1", security="qkd")))
    assert [(r.constraint, r.where, r.available) for r in found.reasons] == [("key_rate", "s3", 0)]
    assert values(found.nearest) == {"security": "qra"}


def test_no_qkd_link_at_all() -> None:
    found = refusal(find_route(network(channel("ab", "a", "b", QKD)), ask("a", "b", security="qkd")))
    assert [(r.constraint, r.where, r.available) for r in found.reasons] == [("key_rate", "a-b", None)]


def test_two_constraints_that_bind_together_are_loosened_together() -> None:
    net = network(channel("ab", "a", "b", DH, mbps=10, km=100))
    found = refusal(find_route(net, ask("a", "b", mbps=20, latency_ms=0.1)))
    assert {(r.constraint, r.needed, r.available) for r in found.reasons} == {
        ("bandwidth", 20_000, 10_000),
        ("latency", 100, 505),
    }
    (only,) = found.nearest
    assert [(r.field, r.value) for r in (only, *only.also)] == [
        ("connections.access.bandwidth_mbps", 10.0),
        ("connections.access.latency_ms", 0.505),
    ]


def test_hops_and_elements() -> None:
    net = network(channel("ab", "a", "b"), channel("bc", "b", "c"), channel("bs", "b", "s"))
    found = refusal(find_route(net, ask("a", "c", max_hops=1)))
    assert values(found.nearest) == {"max_hops": 2}
    found = refusal(find_route(net, ask("a", "c", exclude_sites=frozenset({"b"}))))
    assert [(r.constraint, r.where) for r in found.reasons] == [("exclude", "b")]
    assert values(found.nearest) == {"exclude_sites": ()}
    found = refusal(find_route(net, ask("a", "c", include_sites=("s",))))
    assert [(r.constraint, r.where) for r in found.reasons] == [("include", "s")]
    assert values(found.nearest) == {"include_sites": ()}


def test_what_nothing_helps_against_is_said_plainly() -> None:
    net = network(channel("ab", "a", "b"), channel("cd", "c", "d"))
    found = refusal(find_route(net, ask("a", "d")))
    assert [(r.constraint, r.where) for r in found.reasons] == [("connectivity", "a-d")]
    assert found.nearest == ()
    net.set_site_up("b", False)
    assert refusal(find_route(net, ask("a", "b"))).reasons[0].where == "b"


def test_protection() -> None:
    net = network(channel("ab", "a", "b"))
    found = refusal(find_disjoint_pair(net, ask("a", "b", protection=Protection.ONE_PLUS_ONE)))
    assert [(r.constraint, r.needed) for r in found.reasons] == [("protection", "two routes (1+1)")]


def test_compute_is_found_elsewhere_or_asked_for_less() -> None:
    net = network(
        channel("cm", "cell1", "m"), channel("mn", "m", "n"), channel("nc", "n", "core1"), compute={"m": 2, "n": 4}
    )
    found = refusal(plan_slice(net, ask_slice(dict.fromkeys(Role, spec()), site="m", vcpus=4)))
    assert {(r.constraint, r.where, r.needed, r.available) for r in found.reasons} == {
        ("compute", "m vcpus", 4, 2),
        ("compute", "m memory_gb", 4, 2),
    }
    assert {r.field: r.value for r in found.nearest} == {"compute.site": "n"}
    found = refusal(plan_slice(net, ask_slice(dict.fromkeys(Role, spec()), vcpus=8)))
    (only,) = found.nearest
    assert {r.field: r.value for r in (only, *only.also)} == {"compute.vcpus": 4, "compute.memory_gb": 4}


def test_a_slice_whose_connections_compete_says_for_what() -> None:
    net = network(channel("cm", "cell1", "m", mbps=15), channel("mc", "m", "core1"), compute={"m": 1})
    found = refusal(plan_slice(net, ask_slice(dict.fromkeys(Role, spec(mbps=10)))))
    assert [(r.connection, r.constraint, r.where, r.needed, r.available) for r in found.reasons] == [
        ("s/cell1-control, s/cell1-compute", "bandwidth", "cm", 20_000, 15_000)
    ]
    assert {r.field: r.value for r in found.nearest} == {
        "connections.control.bandwidth_mbps": 5.0,
        "connections.access.bandwidth_mbps": 5.0,
    }
