"""The demo on any network: what it chooses can be created there, and what it cannot show it says."""

from __future__ import annotations

from typing import Any

import pytest

from controller.model.request import compute_of
from controller.pce.computation import SlicePlan, plan_slice, reserve_planned
from controller.pce.network import Network
from controller.schema.slice_request import parse_slice_request
from scripts.demo.use_cases import Demonstration, choose
from scripts.testbed.slice_requests import load_example
from tests.support.small_networks import channel, topology
from topologies.catalog import CATALOG, load
from topologies.spec import Allocation, QkdLink, QkdSection, SecurityClass, Site, Tier, Topology, Wavelength

NONE, DH, QRA, QKD = SecurityClass
EXAMPLES = [load_example(name) for name in ("enterprise-app", "cdn")]
PLENTY = 10_000_000  # millibit/s


def rates(network: Topology, millibps: int = PLENTY) -> dict[str, int]:
    return {section.id: millibps for section in network.sections}


def made(network: Topology, key_rates: dict[str, int]) -> Demonstration:
    """What is chosen, after it has been held against the path computation, one slice after the other."""
    found = choose(network, key_rates, EXAMPLES)
    trial = Network(network)
    for section in network.sections:
        trial.set_section(section.id, key_rates.get(section.id, 0), usable=True)
    for request in found.requests:
        plan = plan_slice(trial, parse_slice_request(request))
        assert isinstance(plan, SlicePlan), (request, plan)
        assert plan.compute_site == request["compute"]["site"]
        for planned in plan.connections:
            reserve_planned(trial, planned)
        trial.reserve_compute(plan.request.name, compute_of(plan.request, plan.compute_site))
    return found


def line(*classes: SecurityClass, tiers: str = "camo", vcpus: int = 64, km: float = 10) -> Topology:
    """Sites in a row, by tier; between neighbours a channel of each class, and QKD where that is among them."""
    tier_of = {"c": Tier.CELL, "a": Tier.AGGREGATION, "m": Tier.METRO, "o": Tier.CORE}
    sites = tuple(Site(f"s{n}", tier_of[t], vcpus, 256, n / 10, 0.5) for n, t in enumerate(tiers))
    pairs = [(f"s{n}", f"s{n + 1}") for n in range(len(tiers) - 1)]
    channels = tuple(channel(f"{a}-{b}-{c.label}", a, b, c, 100, km) for a, b in pairs for c in classes)
    wavelengths = tuple(Wavelength(c.wavelength, c.security) for c in channels)
    with_qkd = pairs if QKD in classes else []
    sections = tuple(QkdSection(f"q{a}", a, b, km) for a, b in with_qkd)
    links = tuple(QkdLink(f"q{a}", a, b, (f"q{a}",)) for a, b in with_qkd)
    return Topology("line", sites, wavelengths, channels, sections, links)


SHARED = sorted(name for name in CATALOG if load(name).allocation is Allocation.SHARED)


@pytest.mark.parametrize("name", SHARED)
def test_our_own_networks_show_the_papers_use_cases_as_they_stand(name: str) -> None:
    network = load(name)
    found = made(network, rates(network))
    assert list(found.requests) == EXAMPLES
    assert found.remarks == ()
    assert found.restorable


def test_a_client_port_carries_less_than_the_use_cases_ask_for() -> None:
    network = load("ukqntel-ports")
    found = made(network, rates(network))
    assert [r["connections"]["backhaul"]["bandwidth_mbps"] for r in found.requests] == [10, 10]
    assert (
        len([remark for remark in found.remarks if "bandwidth_mbps 10" in remark and "instead of 20" in remark]) == 2
    ), found.remarks


def test_sites_are_chosen_by_tier_and_distance() -> None:
    network = line(NONE, DH, QRA, QKD, tiers="ccamo")
    found = made(network, rates(network))
    sites: list[Any] = [(r["cells"], r["compute"]["site"], r["core"]) for r in found.requests]
    assert sites == [(["s1", "s0"], "s3", "s4"), (["s1", "s0"], "s2", "s4")]
    assert set(found.sites) == {"s0", "s1", "s2", "s3", "s4"}
    # A line of single channels of each class: what asks for QKD alone has no second way, others go one class up.
    assert not any(c.endswith("qkd") for c in found.restorable)


def test_without_qkd_it_shows_the_next_level_and_says_why() -> None:
    found = made(line(NONE, DH, QRA), {})
    assert all(r["connections"]["backhaul"]["security"] in ("qra", "dh") for r in found.requests)
    about = [remark for remark in found.remarks if "backhaul.security" in remark and "instead of qkd" in remark]
    assert len(about) == 2
    assert all("key_rate" in remark for remark in about)


def test_a_latency_that_the_distance_forbids_is_loosened_before_security() -> None:
    network = line(NONE, DH, QRA, QKD, km=3000)
    found = made(network, rates(network))
    assert [r["connections"]["backhaul"]["security"] for r in found.requests] == ["qkd", "qkd"]
    assert any("latency_ms" in remark for remark in found.remarks)


def test_other_tiers_stand_in_for_those_that_are_missing() -> None:
    network = line(NONE, DH, QRA, QKD, tiers="mmmm")
    found = made(network, rates(network))
    assert found.requests
    assert any("stands in for a cell" in remark for remark in found.remarks)
    assert any("stands in for the core" in remark for remark in found.remarks)


def test_without_compute_anywhere_it_shows_the_connections_and_says_so() -> None:
    found = made(line(NONE, DH, QRA, QKD, vcpus=0), rates(line(NONE, DH, QRA, QKD)))
    assert [r["compute"]["vcpus"] for r in found.requests] == [0, 0]
    about = [remark for remark in found.remarks if "compute.vcpus 0 instead of" in remark]
    assert len(about) == 2


@pytest.mark.parametrize("network", [topology([], sites=["a"]), topology([], sites=["a", "b"])])
def test_networks_without_channels_show_nothing_and_say_so(network: Topology) -> None:
    found = choose(network, {}, EXAMPLES)
    assert (found.requests, found.restorable) == ((), frozenset())
    assert len(found.remarks) == 2


def test_a_single_way_is_not_cut() -> None:
    found = made(line(QKD), rates(line(QKD)))
    assert found.restorable == frozenset()
    assert any("no failure is shown" in remark for remark in found.remarks)
