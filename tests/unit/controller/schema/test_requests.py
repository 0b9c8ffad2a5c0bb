"""Slice requests: what is accepted, and that every refusal names the field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.model.request import Match, Protection
from controller.schema.slice_request import InvalidRequest, parse_slice_request, slice_request_to_dict
from controller.schema.terms import check_against
from tests.support.controller_bench import raw_request, request_for
from topologies.catalog import ukqntel
from topologies.spec import SecurityClass

NAN, INFINITY = float("nan"), float("inf")


def test_the_examples_say_what_the_papers_say() -> None:
    request = request_for("enterprise-app")
    assert {role: spec.security.level.label for role, spec in request.specs.items()} == {
        "control": "dh", "access": "qra", "backhaul": "qkd",
    }  # fmt: skip
    assert {spec.protection for spec in request.specs.values()} == {Protection.RESTORATION}
    assert request.specs["backhaul"].bandwidth_kbps == 20_000
    assert request.specs["control"].latency_us == 20_000
    assert request.specs["control"].rekey_s == 3.0
    assert request.specs["control"].security.match is Match.AT_LEAST
    delivery = request_for("cdn")
    assert delivery.shape.site == "agg1"
    assert delivery.specs["access"].security.level is SecurityClass.NONE
    assert {spec.protection for spec in delivery.specs.values()} == {Protection.RESTORATION}
    assert delivery.snssai != request.snssai


@pytest.mark.parametrize(("name", "protection"), [("enterprise-app", "1:1"), ("cdn", "1+1")])
def test_the_protected_examples_are_those_of_the_papers_with_a_second_way(name: str, protection: str) -> None:
    papers, protected = request_for(name), request_for(f"{name}-protected")
    assert protected.specs["backhaul"].protection.value == protection
    assert protected.specs == {**papers.specs, "backhaul": protected.specs["backhaul"]}
    assert replace(protected.specs["backhaul"], protection=Protection.RESTORATION) == papers.specs["backhaul"]
    assert protected.shape.site == papers.shape.site


@pytest.mark.parametrize("name", ["enterprise-app", "cdn", "resilient"])
def test_writing_a_request_down_and_reading_it_gives_the_same(name: str) -> None:
    request = request_for(name, {"access": {"exclude_channels": ["cell1-agg1-ch3"], "max_hops": 4}})
    assert parse_slice_request(slice_request_to_dict(request)) == request


def test_hybrid_keys_and_automatic_placement() -> None:
    request = request_for("cdn", {"backhaul": {"security": ["qra", "qkd"]}}, compute={"vcpus": 1, "memory_gb": 1})
    assert request.shape.is_open
    assert request.specs["backhaul"].security.key_source == "qkd+qra"


NOT_NUMBERS: tuple[Any, ...] = (0, -1, NAN, INFINITY, -INFINITY, 1e300, "10", True, None, [])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[(f"connections.access.{f}", v) for f in ("bandwidth_mbps", "latency_ms", "rekey_s") for v in NOT_NUMBERS],
        ("connections.access.security", "aes"),
        ("connections.access.security", []),
        ("connections.access.security", ["qkd", "none"]),
        ("connections.access.security", ["qkd", "qkd"]),
        ("connections.access.security", 3),
        ("connections.access.match", "roughly"),
        ("connections.access.protection", "2:1"),
        ("connections.access.protection", "1+1"),
        ("connections.access.colour", "blue"),
        ("connections.access.max_hops", 0),
        ("connections.access.include_sites", ["agg1", "agg1"]),
        ("connections.bypass", {}),
        ("sNSSAI.sst", 256),
        ("sNSSAI.sst", "1"),
        ("sNSSAI.sd", "12345"),
        ("compute.vcpus", -1),
        ("compute.vcpus", 1.5),
        ("compute.memory_gb", 10**9),
        ("cells", []),
        ("cells", ["cell1", "cell1"]),
        ("name", ""),
        ("name", "Capital"),
        ("name", "a/b"),
        ("name", "x" * 64),
        ("name", "new\nline"),
        ("core", "../etc"),
        ("surprise", 1),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_and_named(path: str, value: Any) -> None:
    raw = raw_request("cdn")
    *parents, last = path.split(".")
    place = raw
    for parent in parents:
        place = place[parent]
    place[last] = value
    with pytest.raises(InvalidRequest) as caught:
        parse_slice_request(raw)
    assert next(p for p, _ in caught.value.problems).startswith(path)


@pytest.mark.parametrize("raw", [None, [], "cdn", 3, {}])
def test_what_is_no_request_at_all_is_refused(raw: Any) -> None:
    with pytest.raises(InvalidRequest):
        parse_slice_request(raw)


@pytest.mark.parametrize("missing", ["name", "sNSSAI", "cells", "compute", "core", "connections"])
def test_a_missing_field_is_named(missing: str) -> None:
    raw = raw_request("cdn")
    del raw[missing]
    with pytest.raises(InvalidRequest, match=missing):
        parse_slice_request(raw)


@pytest.mark.parametrize("compute_site", ["cell1", "core1"])
def test_the_ends_of_a_connection_differ(compute_site: str) -> None:
    with pytest.raises(InvalidRequest, match=r"compute\.site"):
        request_for("cdn", compute={"site": compute_site, "vcpus": 1, "memory_gb": 1})
    with pytest.raises(InvalidRequest, match="both a cell and the core"):
        request_for("cdn", core="cell1")


def test_a_fallback_is_lower_than_what_is_asked_for() -> None:
    assert request_for("cdn", {"backhaul": {"fallback": ["qra", "dh"]}})
    with pytest.raises(InvalidRequest, match="not lower"):
        request_for("cdn", {"backhaul": {"security": "qra", "fallback": ["qkd"]}})


def test_names_that_the_topology_does_not_have_are_named() -> None:
    request = request_for(
        "cdn", {"access": {"exclude_channels": ["ch9"], "include_sites": ["nowhere"]}}, cells=["cell1", "cell9"]
    )
    with pytest.raises(InvalidRequest) as caught:
        check_against(ukqntel(), request)
    assert {path for path, _ in caught.value.problems} == {
        "cells.1", "connections.access.exclude_channels", "connections.access.include_sites.0",
    }  # fmt: skip
