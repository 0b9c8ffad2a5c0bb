"""Whole slices by example: the use cases of paper 002, placement, and competition for what is scarce."""

from __future__ import annotations

import pytest

from controller.model.request import Protection, Role, SliceRequest
from controller.pce.computation import Infeasible, SlicePlan, UnknownKeyRates, plan_slice, reserve_planned
from controller.pce.network import Network
from tests.support.small_networks import PLENTY_MILLIBPS, ask_slice, channel, network, spec
from topologies.catalog import load
from topologies.spec import SecurityClass

CONTROL, ACCESS, BACKHAUL = Role
NONE, DH, QRA, QKD = SecurityClass


def catalogued(name: str) -> Network:
    built = Network(load(name))
    for section in built.topology.sections:
        built.set_section(section.id, PLENTY_MILLIBPS, True)
    return built


def plan_of(found: SlicePlan | UnknownKeyRates | Infeasible) -> SlicePlan:
    assert isinstance(found, SlicePlan), found
    return found


def enterprise_app(site: str | None = "metro1", protection: Protection = Protection.RESTORATION) -> SliceRequest:
    """Use case 1 of paper 002, or that with protection."""
    connections = {
        CONTROL: spec("dh", 1, 20),
        ACCESS: spec("qra", 10, 10),
        BACKHAUL: spec("qkd", 20, 15, protection=protection),
    }
    return ask_slice(connections, ("cell1", "cell2"), "core1", site, vcpus=4)


def classes(network: Network, plan: SlicePlan) -> dict[str, set[SecurityClass]]:
    return {
        c.request.name: {network.topology.channel(i).security for i in c.working.channels} for c in plan.connections
    }


def test_enterprise_app_gets_exactly_the_levels_of_paper_002() -> None:
    net = catalogued("ukqntel")
    plan = plan_of(plan_slice(net, enterprise_app()))
    assert classes(net, plan) == {
        "cell1-control": {DH}, "cell2-control": {DH}, "cell1-compute": {QRA}, "cell2-compute": {QRA},
        "compute-core": {QKD},
    }  # fmt: skip
    backhaul = plan.connections[-1]
    assert backhaul.backup is None
    assert set(backhaul.working.channels) == {"metro1-core1-ch4"}
    assert dict(backhaul.working.key_sections) == {"s1": 1, "s2": 1, "s3": 1, "s4": 1}


@pytest.mark.parametrize("protection", [Protection.ONE_TO_ONE, Protection.ONE_PLUS_ONE])
def test_a_protected_connection_has_two_ways_and_one_stream_of_keys(protection: Protection) -> None:
    net = catalogued("metro-ring")
    backhaul = plan_of(plan_slice(net, enterprise_app(protection=protection))).connections[-1]
    assert backhaul.backup is not None
    groups = [
        {group for channel in route.channels for group in net.topology.channel(channel).risk_groups}
        for route in (backhaul.working, backhaul.backup)
    ]
    assert groups[0].isdisjoint(groups[1])
    assert dict(backhaul.working.key_sections)
    assert backhaul.backup.key_sections == ()


@pytest.mark.parametrize("name", ["ukqntel", "ukqntel-242km", "ukqntel-cow", "uk-east"])
@pytest.mark.parametrize("protection", [Protection.ONE_TO_ONE, Protection.ONE_PLUS_ONE])
def test_protection_over_one_fibre_is_refused_by_its_name_and_restoration_offered(
    name: str, protection: Protection
) -> None:
    """Two channels of one fibre are two ways for the eye alone: what cuts the fibre takes both."""
    found = plan_slice(catalogued(name), enterprise_app(protection=protection))
    assert isinstance(found, Infeasible)
    fibre = "fibre-metro1-core1" if name == "uk-east" else "fibre-adastral-cambridge"
    assert [(r.connection, r.constraint, r.where, r.needed, r.available) for r in found.reasons] == [
        (
            "s/compute-core", "protection", fibre,
            f"two routes ({protection.value}) with no risk in common", "two that share it",
        )
    ]  # fmt: skip
    assert [(n.field, n.value) for n in found.nearest] == [("connections.backhaul.protection", "restoration")]


def test_cdn_at_the_aggregation_site() -> None:
    net = catalogued("ukqntel")
    connections = {CONTROL: spec("dh", 1, 20), ACCESS: spec("none", 10, 10), BACKHAUL: spec("qkd", 20, 15)}
    plan = plan_of(plan_slice(net, ask_slice(connections, ("cell1", "cell2"), "core1", "agg1")))
    assert classes(net, plan)["cell1-compute"] == {NONE}
    assert classes(net, plan)["compute-core"] == {QKD}
    assert dict(plan.connections[-1].working.key_sections) == {"s1": 2, "s2": 2, "s3": 2, "s4": 2}


def test_planning_leaves_the_network_alone_and_the_plan_can_be_reserved() -> None:
    net = catalogued("ukqntel")
    plan = plan_of(plan_slice(net, enterprise_app()))
    assert all(net.reserved_kbps(c.id) == 0 for c in net.topology.channels)
    for connection in plan.connections:
        reserve_planned(net, connection)
    assert net.reserved_kbps("metro1-core1-ch4") == 20_000
    assert net.reserved_kbps("cell1-agg1-ch3") == 10_000


def test_the_site_is_chosen_for_the_whole_slice() -> None:
    """Near the cells the accesses are short; two of them outweigh the one backhaul."""
    net = network(
        channel("1m", "cell1", "m", km=10), channel("2m", "cell2", "m", km=10),
        channel("mn", "m", "n", km=50), channel("nc", "n", "core1", km=10),
        compute={"m": 2, "n": 8},
    )  # fmt: skip
    specs = dict.fromkeys(Role, spec())
    assert plan_of(plan_slice(net, ask_slice(specs, ("cell1", "cell2")))).compute_site == "m"
    big = ask_slice(specs, ("cell1", "cell2"), vcpus=4)
    assert plan_of(plan_slice(net, big)).compute_site == "n"


def test_connections_of_one_slice_do_not_overdraw_a_channel() -> None:
    """The first come would take the short channel; the other has no other way. Only one of both orders works."""
    net = network(
        channel("short", "cell1", "m", mbps=10, km=1), channel("long", "cell1", "m", mbps=10, km=90),
        channel("mc", "m", "core1", mbps=30, km=1),
        compute={"m": 1},
    )  # fmt: skip
    for hurried in (CONTROL, ACCESS):
        connections = dict.fromkeys(Role, spec(mbps=10)) | {hurried: spec(mbps=10, latency_ms=0.05)}
        plan = plan_of(plan_slice(net, ask_slice(connections)))
        taken = {c.request.role: c.working.channels[0] for c in plan.connections}
        patient = ACCESS if hurried is CONTROL else CONTROL
        assert (taken[hurried], taken[patient]) == ("short", "long")


def test_key_rate_is_shared_out_among_the_connections_of_a_slice() -> None:
    net = network(
        channel("x", "cell1", "m", QKD), channel("y", "m", "core1", QKD),
        links=[("cell1", "m", ("s1",)), ("m", "core1", ("s2",))], compute={"m": 1},
    )  # fmt: skip
    connections = dict.fromkeys(Role, spec("qkd"))
    need = spec("qkd").key_rate_millibps
    for section in ("s1", "s2"):
        net.set_section(section, 2 * need, True)
    assert isinstance(plan_slice(net, ask_slice(connections)), SlicePlan)
    net.set_section("s2", 2 * need - 1, True)
    refused = plan_slice(net, ask_slice(connections))
    assert isinstance(refused, Infeasible)
    assert [(r.constraint, r.where, r.needed, r.available) for r in refused.reasons] == [
        ("key_rate", "s2", 2 * need, 2 * need - 1)
    ]
    assert "s/cell1-control" in refused.reasons[0].connection
