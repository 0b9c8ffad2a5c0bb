"""On fifty networks of the Topology Zoo, SNDlib and CAIDA path computation finds what the oracles find.

A part of six sites of each is small enough to try everything; the whole of it is solved as a linear program.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from controller.model.request import Protection
from controller.pce.computation import search_pair, search_route, search_slice
from controller.pce.cost import breakdown
from controller.pce.network import Network
from scripts.bench.pce import brute_force, milp
from scripts.bench.pce.instances import KEY_UNIT_MILLIBPS, SmallLimits, small_connection, small_slice
from scripts.bench.pce.run import without_requirements
from topologies.derivation.document import derive
from topologies.derivation.rules import parse_rules
from topologies.files import parse_document
from topologies.graphs.network_graph import NetworkGraph
from topologies.sources.reader import read_source

pytest.importorskip("topohub", reason="an optional extra: .venv/bin/python -m pip install topohub")

# Of 6 to 30 sites: the linear program takes a second at most.
COLLECTIONS = {
    "caida/2024-08": ("1103 1213 15525 1659 1853 2018 224 2611 2852 3221 3320 4739 5089 5432 5607 577 812"),
    "sndlib": ("abilene geant nobel-germany polska"),
    "topozoo": (
        "Abvt Airtel Arn Arpanet19723 AttMpls Belnet2003 Belnet2006 Belnet2009 Biznet BtEurope Cesnet1999 Claranet "
        "Darkstrand EliBackbone Fccn Garr199901 Garr200109 Garr200404 Getnet Grena GtsHungary GtsSlovakia "
        "HiberniaIreland HiberniaUs HurricaneElectric Iinet Internetmci Itnet Jgn2Plus"
    ),
}
KEYS = [f"{collection}/{name}" for collection, names in COLLECTIONS.items() for name in names.split()]
# 20 Mbit/s a channel and lengths of a metro network, so that what small requests ask for binds.
RULES = parse_rules(
    {
        "fibres": [{"tiers": ["core", "metro"], "channels": ["qkd", "qkd"]}, {"channels": ["qkd", "none"]}],
        "capacity": {"default_gbps": 20},
        "sites": {tier: {"vcpus": 2, "memory_gb": 2} for tier in ("cell", "aggregation", "metro", "core")},
    },
    "rules of the test",
)
PART, PART_OF_SLICES = 6, 5
SLICES = SmallLimits(sites=PART_OF_SLICES, channels=9, cells=1)


def part(graph: NetworkGraph, sites: int, seed: int) -> NetworkGraph:
    """So many nodes around one of them, and what joins them."""
    kept = [random.Random(seed).choice(graph.nodes).key]
    tree = []
    for key in kept:
        for edge in graph.edges:
            far = edge.b if edge.a == key else edge.a
            if key in (edge.a, edge.b) and far not in kept and len(kept) < sites:
                kept.append(far)
                tree.append(edge)
    others = [e for e in graph.edges if e.a in kept and e.b in kept and e not in tree]
    nodes = tuple(node for node in graph.nodes if node.key in kept)
    return replace(graph, nodes=nodes, edges=(*tree, *others[:2]), demands=())


def network_of(graph: NetworkGraph, seed: int) -> Network:
    """Its lengths divided by twenty; sections of unequal rates, some dry."""
    rng = random.Random(seed)
    edges = tuple(replace(edge, km=None if edge.km is None else edge.km / 20) for edge in graph.edges)
    document = derive(replace(graph, edges=edges), RULES).document
    network = Network(parse_document(document, graph.name))
    for section in network.index.section_ids:
        network.set_section(section, rng.choice([1, 3, 6, 9, 9]) * KEY_UNIT_MILLIBPS, rng.random() > 0.05)
    return network


def parts(cost: int) -> tuple[int, int, int]:
    split = breakdown(cost)
    return split.surplus_levels, split.latency_us, split.load_permille


def test_there_are_fifty() -> None:
    assert len(set(KEYS)) == 50


@pytest.mark.parametrize("key", KEYS)
def test_routes_pairs_and_slices_of_a_part_are_the_best_that_there_are(key: str) -> None:
    whole = read_source(f"topohub:{key}")
    feasible = 0
    for seed in range(25):
        network = network_of(part(whole, PART, seed), seed)
        request = small_connection(seed, network)
        expected = brute_force.best_route(network, request)
        route = search_route(network, request)
        found = None if route is None else (parts(route.cost), sum(times for _, times in route.key_sections))
        assert found == expected
        feasible += found is not None
        request = small_connection(seed, network, Protection.ONE_TO_ONE)
        best = brute_force.best_pair(network, request)
        pair = search_pair(network, request)
        if best is None or pair is None:
            assert best is None
            assert pair is None
        else:
            working, backup = pair.routes.working, pair.routes.backup
            ways = (working.sites, working.channels), (backup.sites, backup.channels)
            risks, sites = brute_force.shared(network, *ways)
            assert (len(risks), len(sites), parts(pair.routes.cost)) == best
    for seed in range(5):
        network = network_of(part(whole, PART_OF_SLICES, seed), seed)
        asked = small_slice(seed, network, SLICES)
        planned, wanted = search_slice(network, asked), brute_force.best_slice(network, asked)
        assert (None if planned is None else parts(planned.cost)) == (None if wanted is None else wanted[2])
    assert feasible, "nothing of what was asked for was feasible: nothing was compared"


@pytest.mark.parametrize("key", KEYS)
def test_a_route_over_the_whole_is_the_linear_programs(key: str) -> None:
    network = network_of(read_source(f"topohub:{key}"), 1)
    for seed in range(10):
        request = without_requirements(small_connection(seed, network))
        spec = replace(request.spec, latency_us=request.spec.latency_us * 4, rekey_s=1e6)
        request = replace(request, spec=spec)
        route = search_route(network, request)
        expected = milp.best_route(network, request)
        if route is None and expected is not None:
            # Only keys can be what is lacking, which the program does not model.
            assert request.spec.security.sources[-1].label == "qkd"
            continue
        assert (None if route is None else parts(route.cost)) == expected
