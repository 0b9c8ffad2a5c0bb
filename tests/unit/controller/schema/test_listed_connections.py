"""Requests that list their connections: what is accepted, what a patch does, and that every refusal names the field."""

from __future__ import annotations

from typing import Any

import pytest

from controller.model.request import AnyShape, Compute
from controller.schema.slice_request import (
    InvalidRequest,
    parse_slice_request,
    patch_slice_request,
    slice_request_to_dict,
)
from controller.schema.terms import Terms, check_against
from tests.support.controller_bench import raw_request, request_for
from topologies.catalog import ukqntel


def listed(request: Any) -> AnyShape:
    assert isinstance(request.shape, AnyShape)
    return request.shape


def test_the_example_says_what_each_connection_needs() -> None:
    first, second, third = listed(request_for("ring")).listed
    assert (first.name, first.src, first.dst) == ("agg-metro", "agg1", "metro1")
    assert (first.src_compute, first.dst_compute) == (Compute(1, 2), Compute(2, 4))
    assert second.spec.rates_kbps == (20_000, 20_000)
    assert third.spec.rates_kbps == (2_000, 10_000)


def test_writing_it_down_and_reading_it_gives_the_same() -> None:
    request = request_for("ring")
    assert parse_slice_request(slice_request_to_dict(request)) == request


def test_a_protected_connection_reserves_the_wider_way_in_both_directions_as_packets_go_back_where_it_breaks() -> None:
    for protection, reserved in (("1:1", (10_000, 10_000)), ("1+1", (2_000, 10_000)), ("none", (2_000, 10_000))):
        raw = raw_request("ring")
        raw["connections"][2]["protection"] = protection
        assert listed(parse_slice_request(raw)).listed[2].spec.reserved_kbps == reserved


@pytest.mark.parametrize(
    ("position", "change", "field"),
    [
        (0, {"latency_ms": -1}, "connections.agg-metro.latency_ms"),
        (0, {"reverse_bandwidth_mbps": 0}, "connections.agg-metro.reverse_bandwidth_mbps"),
        (0, {"colour": "blue"}, "connections.agg-metro.colour"),
        (0, {"to": "agg1"}, "connections.agg-metro"),
        (0, {"to": "../etc"}, "connections.agg-metro.to"),
        (0, {"compute": {"via": {}}}, "connections.agg-metro.compute.via"),
        (0, {"compute": {"from": {"vcpus": -1}}}, "connections.agg-metro.compute.from.vcpus"),
        (
            2,
            {"security": "qra", "padding": "constant-rate", "reverse_bandwidth_mbps": 900},
            "connections.agg-core.padding",
        ),
        (1, {"name": "agg-metro"}, "connections"),
        (1, {"name": "Capital"}, "connections.1.name"),
        (1, {"name": 5}, "connections.1.name"),
    ],
)
def test_what_is_wrong_is_refused_and_named(position: int, change: dict[str, Any], field: str) -> None:
    raw = raw_request("ring")
    raw["connections"][position] |= change
    with pytest.raises(InvalidRequest) as caught:
        parse_slice_request(raw)
    assert field in [path for path, _ in caught.value.problems]


@pytest.mark.parametrize("missing", ["name", "from", "to", "security", "bandwidth_mbps", "latency_ms"])
def test_a_missing_field_is_named(missing: str) -> None:
    raw = raw_request("ring")
    del raw["connections"][0][missing]
    with pytest.raises(InvalidRequest, match=rf"connections\.\S+\.{missing}: Field required"):
        parse_slice_request(raw)


@pytest.mark.parametrize("connections", [[], [None], ["agg1"], [[]], [{}], "ring", 3, None])
def test_what_is_no_list_of_connections_is_refused(connections: Any) -> None:
    with pytest.raises(InvalidRequest, match="connections"):
        parse_slice_request(raw_request("ring") | {"connections": connections})


def test_a_list_takes_no_members_of_the_template() -> None:
    with pytest.raises(InvalidRequest, match="cells: unknown field"):
        parse_slice_request(raw_request("ring", cells=["cell1"]))


def test_sites_and_suites_that_are_not_to_be_had_are_named() -> None:
    raw = raw_request("ring")
    raw["connections"][0] |= {"from": "nowhere", "exclude_channels": ["ch9"]}
    with pytest.raises(InvalidRequest) as caught:
        check_against(ukqntel(), parse_slice_request(raw))
    assert {path for path, _ in caught.value.problems} == {
        "connections.agg-metro.from", "connections.agg-metro.exclude_channels",
    }  # fmt: skip
    with pytest.raises(InvalidRequest, match=r"connections\.agg-metro\.suite"):
        Terms(ukqntel(), frozenset({"aes-256-gcm"})).accept(request_for("ring"))


def test_a_patch_changes_connections_by_name_adds_some_and_takes_some_away() -> None:
    added = {"from": "cell1", "to": "core1", "security": "dh", "bandwidth_mbps": 1, "latency_ms": 9}
    patch = {"connections": {"agg-metro": {"bandwidth_mbps": 5}, "metro-core": None, "up": added}}
    first, second, third = listed(patch_slice_request(request_for("ring"), patch)).listed
    assert (first.name, first.spec.bandwidth_kbps, first.dst_compute) == ("agg-metro", 5_000, Compute(2, 4))
    assert (second.name, third.name) == ("agg-core", "up")


def test_a_patch_with_a_list_replaces_all_of_them() -> None:
    raw = raw_request("ring")
    patched = patch_slice_request(request_for("ring"), {"connections": raw["connections"][:1]})
    assert [c.name for c in listed(patched).listed] == ["agg-metro"]


@pytest.mark.parametrize(
    ("example", "patch", "field"),
    [
        ("ring", {"connections": {"agg-metro": {"latency_ms": -1}}}, "connections.agg-metro.latency_ms"),
        ("ring", {"connections": {"agg-metro": 5}}, "connections.agg-metro"),
        ("ring", {"connections": {"other": {}}}, "connections.other.security"),
        ("ring", {"connections": dict.fromkeys(("agg-metro", "metro-core", "agg-core"))}, "connections"),
        ("ring", {"connections": None}, "connections"),
        ("ring", {"name": "other"}, "name"),
        ("ring", {"cells": ["cell1"]}, "cells"),
        ("cdn", {"connections": []}, "connections"),
    ],
)
def test_a_patch_that_makes_no_request_is_refused(example: str, patch: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        patch_slice_request(request_for(example), patch)
    assert field in [path for path, _ in caught.value.problems]


@pytest.mark.parametrize("connections", [None, "agg-metro", 3])
def test_a_patch_that_takes_the_list_away_is_not_told_of_the_templates_members(connections: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        patch_slice_request(request_for("ring"), {"connections": connections})
    assert [path for path, _ in caught.value.problems] == ["connections"]


def test_one_bandwidth_is_that_of_both_directions_as_before_until_the_other_is_named() -> None:
    request = request_for("cdn")
    wider = patch_slice_request(request, {"connections": {"access": {"bandwidth_mbps": 30}}})
    assert wider.specs["access"].rates_kbps == (30_000, 30_000)
    uneven = patch_slice_request(wider, {"connections": {"access": {"reverse_bandwidth_mbps": 90}}})
    assert uneven.specs["access"].rates_kbps == (30_000, 90_000)
    even = patch_slice_request(uneven, {"connections": {"access": {"reverse_bandwidth_mbps": None}}})
    assert even == wider
