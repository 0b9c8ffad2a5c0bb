"""Keys of QKD from a vendor's KMEs: used where the operator vouches for the pair, and called nothing else elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.model.errors import ControllerError
from controller.model.path import Route
from controller.model.states import ConnectionState
from controller.operations.keys.key_reservations import wanted_bookings
from controller.pce.computation import Infeasible, find_route
from controller.pce.network import Network
from controller.policy import reroute_audit
from tests.support.controller_bench import Bench, request_for
from tests.support.small_networks import ask, channel, network, topology
from topologies.catalog import metro_ring
from topologies.spec import SecurityClass, Topology, VendorKme

QKD, QRA = SecurityClass.QKD, SecurityClass.QRA


def vouched(built: Topology, *ends: str, alone: tuple[str, ...] = ()) -> Topology:
    """The same with a vendor's KME at ``ends``, each serving QKD with the others, and at ``alone`` with nobody."""
    kmes = {
        site: VendorKme("https://kme.example", "ca", "cert", "key", "", tuple(e for e in ends if e != site))
        for site in ends
    } | {site: VendorKme("https://kme.example", "ca", "cert", "key") for site in alone}
    return replace(built, sites=tuple(replace(s, kme=kmes.get(s.name)) for s in built.sites))


def line(*ends: str, alone: tuple[str, ...] = ()) -> Network:
    channels = (channel("ab", "a", "b", QKD), channel("bc", "b", "c", QKD))
    return Network(vouched(topology(channels, [("a", "b", ("s1",)), ("b", "c", ("s2",))]), *ends, alone=alone))


def test_a_pair_that_is_vouched_for_needs_nothing_of_our_sections() -> None:
    net = line("a", "c")  # the rates of s1 and s2 are unknown: ours could not promise anything
    route = find_route(net, ask("a", "c", security="qkd"))
    assert isinstance(route, Route)
    assert (route.channels, route.key_links, route.key_sections) == (("ab", "bc"), ("vendor:a-c",), ())
    net.reserve("c", route, 10_000, 85_333)
    assert [net.reserved_key_millibps(s) for s in ("s1", "s2")] == [0, 0]
    assert net.reserved_rate_millibps("c") == 0


@pytest.mark.parametrize(
    ("net", "ends"), [(line("a", "c"), ("a", "b")), (line(alone=("a",)), ("a", "b")), (line(alone=("b",)), ("a", "b"))]
)
def test_no_other_pair_with_a_vendors_kme_has_keys_of_qkd(net: Network, ends: tuple[str, str]) -> None:
    for section in ("s1", "s2"):
        net.set_section(section, 10**9, True)
    found = find_route(net, ask(*ends, security="qkd"))
    assert isinstance(found, Infeasible)
    assert [(r.constraint, r.where, r.available) for r in found.reasons] == [("vendor_keys", "a-b", None)]
    assert found.reasons[0].needed == "a kme at both sites, each with the other in qkd_with"
    assert [n.value for n in found.nearest] == ["qra"]


def test_a_vendors_key_is_not_combined_with_others() -> None:
    found = find_route(line("a", "c"), ask("a", "c", security="qkd+qra"))
    assert isinstance(found, Infeasible)
    assert [(r.constraint, r.needed, r.available) for r in found.reasons] == [("vendor_keys", "qkd+qra", "qkd alone")]


def test_other_levels_and_other_pairs_are_as_before() -> None:
    with_vendor = network(channel("ab", "a", "b", QKD), channel("bc", "b", "c", QKD), links=[("a", "b", ("s1",))])
    assert isinstance(find_route(with_vendor, ask("a", "b", security="qkd")), Route)
    net = line("a", "c")
    assert isinstance(find_route(net, ask("a", "b", security="qra")), Route)


def test_a_slice_on_a_vendors_keys_is_active_books_nothing_and_passes_the_audit(tmp_path: Path) -> None:
    bench = Bench(vouched(metro_ring(), "metro1", "core1"), tmp_path / "db")
    bench.slices.create(request_for("enterprise-app", cells=["cell1"]))
    backhaul = bench.model.connections["enterprise-app/compute-core"]
    assert backhaul.state is ConnectionState.ACTIVE
    assert backhaul.key_source == "qkd"
    assert backhaul.lanes[0].route.key_links == ("vendor:core1-metro1",)
    assert not backhaul.is_keyless
    assert wanted_bookings(bench.model) == {}
    # Our own sections all stop: no concern of this one.
    bench.key_rates.unusable = frozenset(s.id for s in bench.topology.sections)
    bench.maintenance.poll_keys()
    assert bench.model.connections[backhaul.id].state is ConnectionState.ACTIVE
    assert bench.model.connections[backhaul.id].slow_rekey is None
    cut = backhaul.lanes[0].route.channels[0]
    bench.cut(cut)
    moved = bench.model.connections[backhaul.id]
    assert moved.state is ConnectionState.ACTIVE
    assert moved.lanes[0].route.key_links == ("vendor:core1-metro1",)
    (reroute,) = moved.reroutes
    asked = reroute_audit.Asked.of(moved.request)
    assert reroute_audit.check(bench.topology, asked, reroute) == ()
    elsewhere = replace(reroute, new_key_links=("vendor:cell1-metro1",))
    assert reroute_audit.check(bench.topology, asked, elsewhere)


def test_a_slice_between_other_sites_of_the_vendor_is_refused(tmp_path: Path) -> None:
    bench = Bench(vouched(metro_ring(), alone=("core1",)), tmp_path / "db")
    with pytest.raises(ControllerError):
        bench.slices.create(request_for("enterprise-app", cells=["cell1"]))
    assert not bench.model.connections
