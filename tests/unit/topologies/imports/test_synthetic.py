"""Random networks: the same seed is the same file everywhere; what is drawn is what paper 000 says."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from itertools import combinations

import pytest

from controller.schema.slice_request import parse_slice_request
from scripts.testbed.paths import REPOSITORY
from topologies.derivation.cleaning import components
from topologies.derivation.document import derive
from topologies.files import parse_document, to_yaml
from topologies.spec import FIBRE_DELAY_US_PER_KM, Tier, TopologyError
from topologies.synthetic.options import RandomOptions
from topologies.synthetic.paper_000 import draw, letter_name
from topologies.synthetic.pcg32 import Pcg32
from topologies.synthetic.requests import RANDOM_RULES, requests_of
from topologies.synthetic.tiered import draw_tiered


def fingerprint(options: RandomOptions, tiers: bool = False) -> str:
    network = draw_tiered(options) if tiers else draw(options)
    derived = derive(network.graph, RANDOM_RULES)
    text = to_yaml(derived.document, derived.assumptions) + json.dumps(requests_of(network, derived, options, "qkd"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_generator_is_pcg32() -> None:
    """The first numbers of its authors' demonstration (pcg32-demo.c, seed 42, stream 54)."""
    rng = Pcg32(42, 54)
    assert [rng.next() for _ in range(6)] == [
        0xA15C02B7, 0x7B47F409, 0xBA1D3330, 0x83D2F293, 0xBFA4784B, 0xCBED606E
    ]  # fmt: skip


def test_draws_are_within_their_bounds_and_even() -> None:
    rng = Pcg32(1)
    drawn = [rng.between(3, 7) for _ in range(5000)]
    assert set(drawn) == {3, 4, 5, 6, 7}
    assert all(abs(drawn.count(value) - 1000) < 120 for value in range(3, 8))
    assert not any(rng.happens(0) for _ in range(1000))
    assert all(rng.happens(1) for _ in range(1000))
    assert 150 < sum(rng.happens(0.2) for _ in range(1000)) < 250


@pytest.mark.parametrize(
    ("options", "tiers", "expected"),
    [
        (RandomOptions(), False, "99daa4e014283e0e"),
        (RandomOptions(42, 5, 10, weighs="latency"), False, "b74ab7043564cea9"),
        (RandomOptions(1), True, "9d5598d8b67c71f7"),
        (RandomOptions(2**64 - 1, 20, 25), True, "0f2678fd6bcb207e"),
    ],
)
def test_a_seed_is_the_same_file_for_ever(options: RandomOptions, tiers: bool, expected: str) -> None:
    assert fingerprint(options, tiers) == expected


def test_neither_hashes_nor_the_order_of_sets_matter() -> None:
    program = (
        "from tests.unit.topologies.imports.test_synthetic import *;"
        "print(fingerprint(RandomOptions(7)), fingerprint(RandomOptions(7), True))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }  # fmt: skip
    assert found == {f"{fingerprint(RandomOptions(7))} {fingerprint(RandomOptions(7), True)}\n"}


def test_other_seeds_are_other_networks() -> None:
    assert len({fingerprint(RandomOptions(seed)) for seed in range(20)}) == 20


def test_the_papers_network() -> None:
    options = RandomOptions(5, slices=3, nodes_per_slice=8, node_weight=(2, 4), edge_weight=(5, 9), within=1, between=0)
    network = draw(options)
    assert [n.label for n in network.graph.nodes] == list("ABCDEFGHIJKLMNOPQRSTUVWX")
    assert {n.vcpus for n in network.graph.nodes} <= {2, 3, 4}
    within = [set(pair) for members in ("ABCDEFGH", "IJKLMNOP", "QRSTUVWX") for pair in combinations(members, 2)]
    assert [{e.a, e.b} for e in network.graph.edges[:84]] == within
    # No edge was drawn between slices: the paper's healing joins the three parts by two.
    assert len(network.graph.edges) == 86
    assert len(components(network.graph)) == 1
    assert {e.capacity_gbps for e in network.graph.edges} <= {50.0, 60.0, 70.0, 80.0, 90.0}
    assert [len(pairs) for pairs in network.slices] == [28, 28, 28]


def test_a_weight_that_is_the_latency() -> None:
    graph = draw(RandomOptions(1, weighs="latency", edge_weight=(3, 3))).graph
    assert {round(e.km * FIBRE_DELAY_US_PER_KM) for e in graph.edges if e.km is not None} == {300}
    assert {e.capacity_gbps for e in graph.edges} == {None}


def test_probabilities_are_those_asked_for() -> None:
    graph = draw(RandomOptions(3, slices=2, nodes_per_slice=60, within=0.5, between=0.1)).graph
    first = {node.key for node in graph.nodes[:60]}
    inner = sum((edge.a in first) == (edge.b in first) for edge in graph.edges)
    assert 0.45 < inner / (2 * 60 * 59 / 2) < 0.55
    assert 0.07 < (len(graph.edges) - inner) / 3600 < 0.13


def test_four_tiers_hang_on_no_single_site() -> None:
    graph = draw_tiered(RandomOptions(2, slices=4, nodes_per_slice=25)).graph
    tiers = [n.tier for n in graph.nodes]
    assert [tiers.count(tier) for tier in Tier] == [50, 25, 15, 10]
    for node in graph.nodes:
        rest = [e for e in graph.edges if node.key not in (e.a, e.b)]
        without = type(graph)("g", tuple(n for n in graph.nodes if n is not node), tuple(rest))
        assert len(components(without)) == 1


@pytest.mark.parametrize("tiers", [False, True])
@pytest.mark.parametrize("weighs", ["capacity", "latency"])
def test_what_is_drawn_is_a_network_and_its_slices_name_its_sites(tiers: bool, weighs: str) -> None:
    for seed in range(10):
        options = RandomOptions(seed, weighs=weighs)  # type: ignore[arg-type]
        network = draw_tiered(options) if tiers else draw(options)
        derived = derive(network.graph, RANDOM_RULES)
        topology = parse_document(derived.document, "random")
        requests, _ = requests_of(network, derived, options, "qkd")
        assert requests
        for request in requests:
            parse_slice_request(request)
            assert all(topology.has_site(c[end]) for c in request["connections"] for end in ("from", "to"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": -1}, "seed: -1"), ({"slices": 0}, "slices: 0"), ({"nodes_per_slice": 0}, "nodes per slice"),
        ({"slices": 100, "nodes_per_slice": 21}, "at most 2000 nodes"), ({"within": 1.5}, "within slices is 1.5"),
        ({"between": float("nan")}, "between slices is nan"), ({"edge_weight": (0, 1)}, "edge weights, the least: 0"),
        ({"node_weight": (5, 4)}, "node weights, the greatest: 4"),
    ],
)  # fmt: skip
def test_bounds(values: dict[str, object], said: str) -> None:
    with pytest.raises(TopologyError, match=said):
        RandomOptions(**values)  # type: ignore[arg-type]


def test_names_go_on_after_z() -> None:
    assert [letter_name(n) for n in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
