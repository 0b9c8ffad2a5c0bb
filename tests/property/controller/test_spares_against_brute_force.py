"""The spares that are lit are the fewest and cheapest that serve everybody who can be served: by trying everything."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model.request import ConnectionRequest, Match
from controller.pce.augmentation import cheapest_new_link
from controller.pce.network import Network
from controller.policy.dark_channels import choose
from scripts.bench.pce import brute_force
from tests.support.small_networks import ask, channel, spec, topology
from topologies.spec import Channel, SecurityClass, Topology

SITES = "abcdef"
randoms = st.randoms(use_true_random=False)


def drawn_topology(rng: Random) -> Topology:
    """Two halves of which each hangs together more or less, and spares, most of them between the two."""
    channels: list[Channel] = []

    def add(ends: tuple[str, str], dark: bool) -> None:
        security = rng.choice(list(SecurityClass))
        made = channel(f"c{len(channels):02}", *ends, security, rng.choice((10, 20, 30)), rng.choice((5, 10, 40)))
        channels.append(made if not dark else Channel(**{**vars(made), "dark": True}))

    for half in (SITES[:3], SITES[3:]):
        for _ in range(rng.randint(2, 4)):
            first, second = rng.sample(half, 2)
            add((first, second), dark=False)
    for _ in range(rng.randint(1, 5)):
        add((rng.choice(SITES[:3]), rng.choice(SITES[3:])) if rng.random() < 0.8 else tuple(rng.sample(SITES, 2)), True)  # type: ignore[arg-type]
    links = [(a, b, (f"s{n}",)) for n, (a, b) in enumerate(itertools.pairwise(SITES))]
    return topology(channels, links, sites=SITES)


def drawn_network(rng: Random) -> Network:
    network = Network(drawn_topology(rng))
    for section in network.topology.sections:
        network.set_section(section.id, rng.choice((0, 1000, 2000)), True)
    for one in network.topology.channels:
        if rng.random() < 0.1:
            network.set_channel_up(one.id, False)
    return network


def drawn_request(rng: Random, name: str) -> ConnectionRequest:
    src, dst = rng.sample(SITES, 2)
    asked = spec(
        rng.choice(("none", "dh", "qra", "qkd")), rng.choice((5, 10, 20)), rng.choice((0.2, 0.4, 10.0)),
        rekey_s=256.0, match=rng.choice((Match.AT_LEAST, Match.AT_LEAST, Match.EXACT)),
    )  # fmt: skip
    return ask(src, dst, asked, name)


def lit(network: Network, chosen: tuple[str, ...]) -> Network:
    trial = network.copy()
    for spare in chosen:
        trial.set_dark(spare, False)
    return trial


def fit_together(network: Network, requests: tuple[ConnectionRequest, ...]) -> bool:
    """Whether any choice of one way and one relay each respects bandwidth and key rate in all."""
    options = []
    for request in requests:
        ways = [way for _, way in brute_force.allowed_ways(network, request)]
        relays = brute_force.relays(network, request) if request.spec.key_rate_millibps else [Counter()]
        options.append([(way, relay) for way in ways for relay in relays[:1]])
    for choice in itertools.product(*options):
        load: Counter[str] = Counter()
        keys: Counter[str] = Counter()
        for request, (way, relay) in zip(requests, choice, strict=True):
            load.update(dict.fromkeys(way[1], request.spec.bandwidth_kbps))
            keys.update({section: times * request.spec.key_rate_millibps for section, times in dict(relay).items()})
        if all(network.residual_kbps(c) >= need for c, need in load.items()) and all(
            network.residual_key_millibps(s) >= need for s, need in keys.items()
        ):
            return True
    return False


def best(network: Network, requests: tuple[ConnectionRequest, ...], spares: tuple[str, ...]) -> tuple[str, ...] | None:
    everything = lit(network, spares)
    served: tuple[ConnectionRequest, ...] = ()
    for request in requests:
        if fit_together(everything, (*served, request)):
            served = (*served, request)
    if not served:
        return None

    def price(chosen: tuple[str, ...]) -> tuple[int, int, int, tuple[str, ...]]:
        parts = [network.topology.channel(c) for c in chosen]
        return (
            len(chosen),
            sum(c.security for c in parts),
            sum(brute_force.latency_us(c.length_km) for c in parts),
            chosen,
        )

    sets = [s for size in range(len(spares) + 1) for s in itertools.combinations(sorted(spares), size)]
    return min((s for s in sets if fit_together(lit(network, s), served)), key=price)


@given(randoms)
@settings(max_examples=250, deadline=None)
def test_spares_to_light(rng: Random) -> None:
    network = drawn_network(rng)
    spares = tuple(c.id for c in network.topology.channels if c.dark)
    requests = tuple(drawn_request(rng, f"r{n}") for n in range(rng.randint(1, 3)))
    plan = choose(network, requests, spares)
    expected = best(network, requests, spares)
    assert (None if plan is None else plan.channels) == expected
    if plan is None:
        return
    assert plan.is_proven
    trial = lit(network, plan.channels)
    for request in requests:
        if request.id in plan.routes:
            route = plan.routes[request.id]
            ways = {way for _, way in brute_force.allowed_ways(trial, request)}
            assert (route.sites, route.channels) in ways
            trial.reserve(request.id, route, request.spec.bandwidth_kbps, request.spec.key_rate_millibps)


@given(randoms)
@settings(max_examples=200, deadline=None)
def test_the_new_link_heals_and_no_shorter_one_does(rng: Random) -> None:
    network, request = drawn_network(rng), drawn_request(rng, "r")
    if brute_force.best_route(network, request) is not None:
        return
    found = cheapest_new_link(network, request)
    ducts = {frozenset((a, b)): km for a, b, km in duct_lengths(network.topology)}
    heals = []
    for pair, km in ducts.items():
        first, second = sorted(pair)
        more = channel("new", first, second, request.spec.security.level, request.spec.bandwidth_kbps / 1000, km)
        grown = network.onto(topology_with(network.topology, more))
        if brute_force.best_route(grown, request) is not None:
            heals.append((km, first, second))
    if found is None:
        assert not heals
        return
    assert (found.length_km, found.a, found.b) == min(heals)
    assert found.security is request.spec.security.level
    assert found.capacity_kbps == request.spec.bandwidth_kbps


def topology_with(old: Topology, more: Channel) -> Topology:
    links = [(q.a, q.b, q.sections) for q in old.qkd_links]
    return topology((*old.channels, more), links, sites=old.site_names)


def duct_lengths(whole: Topology) -> list[tuple[str, str, float]]:
    """Floyd and Warshall."""
    far = float("inf")
    km = {(a, b): 0.0 if a == b else far for a in whole.site_names for b in whole.site_names}
    for one in whole.channels:
        for a, b in (one.ends, one.ends[::-1]):
            km[a, b] = min(km[a, b], one.length_km)
    for via, a, b in itertools.product(whole.site_names, repeat=3):
        km[a, b] = min(km[a, b], km[a, via] + km[via, b])
    return [(a, b, km[a, b]) for a, b in itertools.combinations(whole.site_names, 2) if km[a, b] < far]
