"""The latency of a path counts everything that it passes, and a bound is kept by all of it together."""

from __future__ import annotations

from typing import Any

import pytest

from controller.extending.audit import Refused, audited_route
from controller.extending.views import connection_ask
from controller.model.latency import LatencyModel, LatencyParts
from controller.model.path import Route
from controller.northbound.views.paths import path_view
from controller.northbound.views.slices import infeasible_view
from controller.pce.augmentation import cheapest_new_link
from controller.pce.computation import search_pair, search_route
from controller.pce.infeasibility import explain_connection
from controller.pce.network import Network
from controller.persistence.codec import route_from
from scripts.extensions import api
from tests.support.small_networks import ask, channel, spec, topology
from topologies.spec import SecurityClass

MODEL = LatencyModel(switch_us=20, tunnel_us=200)
# Two channels of 10 km, 49 us of fibre and 15 us of card each, and three switches.
FIBRE, CARDS, SWITCHES, TUNNEL = 98, 30, 60, 200
OPEN_US, SEALED_US = FIBRE + CARDS + SWITCHES, FIBRE + CARDS + SWITCHES + TUNNEL


def row() -> Network:
    return Network(topology([channel("x", "a", "b"), channel("y", "b", "c")]), latency=MODEL)


def asked(bound_us: int, security: str = "none", **more: Any) -> Any:
    return ask("a", "c", spec(security, latency_ms=bound_us / 1000, **more))


def secure(model: LatencyModel = MODEL) -> Network:
    channels = [channel("x", "a", "b", SecurityClass.DH), channel("y", "b", "c", SecurityClass.DH)]
    return Network(topology(channels), latency=model)


def found(network: Network, request: Any) -> Route:
    route = search_route(network, request)
    assert route is not None
    return route


def test_the_parts_are_what_the_path_passes_and_sum_to_its_latency() -> None:
    route = found(secure(), asked(10_000, "dh"))
    assert route.latency_parts == LatencyParts(FIBRE, CARDS, SWITCHES, TUNNEL)
    assert route.latency_us == route.latency_parts.total == SEALED_US
    shown = path_view(route).to_json()
    assert shown["latency_parts_us"] == {"fibre": FIBRE, "cards": CARDS, "switches": SWITCHES, "tunnel": TUNNEL}
    assert sum(shown["latency_parts_us"].values()) == shown["latency_ms"] * 1000
    assert path_view(None).to_json()["latency_parts_us"] is None


@pytest.mark.parametrize(("security", "hosts_seal"), [("none", True), ("dh", False)])
def test_a_tunnel_counts_where_hosts_seal_alone(security: str, hosts_seal: bool) -> None:
    request = asked(OPEN_US, security, hosts_seal=hosts_seal)
    assert found(secure(), request).latency_parts == LatencyParts(FIBRE, CARDS, SWITCHES, 0)


def test_a_bound_that_the_tunnel_alone_breaks_is_refused_and_says_so() -> None:
    network, request = secure(), asked(SEALED_US - 1, "dh")
    assert search_route(network, request) is None
    assert found(secure(LatencyModel(MODEL.switch_us, 0)), request).latency_us == OPEN_US
    assert found(network, asked(SEALED_US, "dh")).latency_us == SEALED_US
    why = explain_connection(network, request, lambda n, r: None if (way := search_route(n, r)) is None else (way,))
    (reason,) = [r for r in infeasible_view(why)["reasons"] if r["constraint"] == "latency"]
    assert (reason["needed"], reason["available"], reason["unit"]) == (SEALED_US - 1, SEALED_US, "us")
    assert reason["detail"] == "fibre 98 us, cards 30 us, switches 60 us, tunnel 200 us; most of it tunnel"
    assert reason["detail"] in why.summary
    assert ("connections.access.latency_ms", SEALED_US / 1000) in [(n.field, n.value) for n in why.nearest]


def test_a_bound_below_what_every_path_takes_is_refused() -> None:
    assert search_route(secure(), asked(MODEL.switch_us + MODEL.tunnel_us - 1, "dh")) is None
    assert search_route(secure(), asked(1, "dh", max_hops=3)) is None


def test_both_ways_of_a_pair_count_all_of_it() -> None:
    channels = [channel("x", "a", "b"), channel("y", "b", "c"), channel("z", "a", "c", km=10)]
    network = Network(topology(channels), latency=MODEL)
    pair = search_pair(network, asked(OPEN_US))
    assert pair is not None
    assert (pair.routes.working.latency_us, pair.routes.backup.latency_us) == (49 + 15 + 2 * 20, OPEN_US)
    assert search_pair(network, asked(OPEN_US - 1)) is None


def test_a_new_link_counts_its_switch() -> None:
    network = row()
    network.set_channel_up("y", False)
    assert cheapest_new_link(network, asked(OPEN_US)) is not None
    assert cheapest_new_link(network, asked(103)) is None  # 10 km at best: 49 + 15 + 2 switches


def test_the_auditor_counts_what_the_search_counts() -> None:
    network = secure()
    assert audited_route(network, asked(SEALED_US, "dh"), api.Route(("x", "y"))) == found(
        network, asked(SEALED_US, "dh")
    )
    with pytest.raises(Refused, match=f"{SEALED_US} us, at most {SEALED_US - 1} us"):
        audited_route(network, asked(SEALED_US - 1, "dh"), api.Route(("x", "y")))


def test_an_extension_is_told_what_channels_may_take() -> None:
    network = secure()
    told = connection_ask(network, asked(SEALED_US, "dh")).latency_us
    assert told == sum(network.index.latency_us) == SEALED_US - MODEL.switch_us - MODEL.tunnel_us


def test_a_route_of_a_journal_from_before_is_fibre_and_cards() -> None:
    raw = {"sites": ["a", "b"], "channels": ["x"], "latency_us": 64, "cost": 1, "key_links": [], "key_sections": []}
    assert route_from(raw).latency_parts == LatencyParts(49, 15, 0, 0)
