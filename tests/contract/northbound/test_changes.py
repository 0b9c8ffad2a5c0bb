"""Changes, batches, reservations and feasibility jobs over the API, and exports in other standards' words."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_client import Client
from tests.support.controller_bench import Bench, raw_request
from topologies.catalog import metro_ring, ukqntel


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(Bench(ukqntel(), tmp_path / "db"))


@pytest.fixture
def with_cdn(client: Client) -> Client:
    assert client.call("POST", "/v1/slices", raw_request("cdn"))[0] == 201
    return client


def access(**fields: Any) -> dict[str, Any]:
    return {"connections": {"access": fields}}


@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json; charset=utf-8"])
def test_a_patch_changes_what_it_names(with_cdn: Client, media_type: str) -> None:
    before = with_cdn.call("GET", "/v1/slices/cdn")[2]
    status, _, after = with_cdn.call("PATCH", "/v1/slices/cdn", access(bandwidth_mbps=7), CONTENT_TYPE=media_type)
    assert (status, after["state"]) == (200, "ACTIVE")
    before["request"]["connections"]["access"]["bandwidth_mbps"] = 7
    assert after["request"] == before["request"]
    assert [c["src_address"] for c in after["connections"]] == [c["src_address"] for c in before["connections"]]
    assert with_cdn.call("GET", "/v1/slices/cdn")[2] == after


def test_a_patch_can_be_planned_first_and_then_changes_nothing(with_cdn: Client) -> None:
    before, listed = with_cdn.bench.state(), with_cdn.call("GET", "/v1/slices")[2]
    patch = access(bandwidth_mbps=30, security="qra")
    status, _, plan = with_cdn.call("PATCH", "/v1/slices/cdn?dry_run=true", patch)
    assert (status, plan["dry_run"]) == (200, True)
    assert with_cdn.bench.state() == before
    assert with_cdn.call("GET", "/v1/slices")[2] == listed
    after = with_cdn.call("PATCH", "/v1/slices/cdn", patch)[2]
    assert [(c["name"], c["path"], c["labels"]) for c in plan["connections"]] == [
        (c["name"], c["path"], c["labels"]) for c in after["connections"]
    ]


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"name": "other"}, "name"),
        ({"cells": ["cell1"]}, "cells"),
        ({"core": "metro1"}, "core"),
        (access(bandwidth_mbps=-1), "connections.access.bandwidth_mbps"),
        (access(bandwidth_mbps=None), "connections.access.bandwidth_mbps"),
        (access(security=["qkd", "none"]), "connections.access.security"),
        (access(speed=1), "connections.access.speed"),
        ({"compute": {"site": "nowhere"}}, "compute.site"),
        ({"end": "2001-01-01T00:00:00Z"}, "end"),
        ([], "request"),
        (None, "request"),
        ("text", "request"),
    ],
)
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_patch_that_says_something_impossible_names_the_field_and_changes_nothing(
    with_cdn: Client, patch: Any, field: str, query: str
) -> None:
    before = with_cdn.bench.state()
    status, _, problem = with_cdn.call("PATCH", f"/v1/slices/cdn{query}", patch)
    assert status == 422
    assert problem["errors"][0]["field"] == field
    assert with_cdn.bench.state() == before


def test_a_patch_that_does_not_fit_is_explained_and_changes_nothing(with_cdn: Client) -> None:
    before = with_cdn.bench.state()
    status, _, problem = with_cdn.call("PATCH", "/v1/slices/cdn", access(bandwidth_mbps=5000))
    assert (status, problem["reasons"][0]["constraint"]) == (422, "bandwidth")
    assert problem["nearest"]
    assert with_cdn.bench.state() == before
    assert with_cdn.call("PATCH", "/v1/slices/other", access(bandwidth_mbps=1))[0] == 404


def test_a_batch_is_made_whole_or_not_at_all(client: Client) -> None:
    both = {"slices": [raw_request("cdn"), raw_request("enterprise-app")]}
    status, _, made = client.call("POST", "/v1/batches", both)
    assert (status, [s["state"] for s in made["slices"]]) == (201, ["ACTIVE", "ACTIVE"])
    for name in ("cdn", "enterprise-app"):
        client.call("DELETE", f"/v1/slices/{name}")
    before = client.bench.state()
    too_much = raw_request("enterprise-app", {"access": {"bandwidth_mbps": 5000}})
    status, _, problem = client.call("POST", "/v1/batches", {"slices": [raw_request("cdn"), too_much]})
    assert (status, problem["detail"].startswith("slice enterprise-app")) == (422, True)
    assert client.bench.state() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "slices"),
        ({"slices": []}, "slices"),
        ({"slices": {}}, "slices"),
        ({"slices": [1]}, "slices.0"),
        ({"slices": [], "more": 1}, "slices"),
        ({"slices": [raw_request("cdn"), raw_request("cdn")]}, "slices.1.name"),
        ({"slices": [raw_request("cdn", {"access": {"rekey_s": 0}})]}, "slices.0.connections.access.rekey_s"),
        ({"slices": [raw_request("cdn", core="core9")]}, "slices.0.core"),
        ({"slices": [raw_request("cdn")] * 65}, "slices"),
    ],
)
def test_a_batch_that_is_wrong_is_refused_by_the_path(client: Client, body: Any, field: str) -> None:
    before = client.bench.state()
    status, _, problem = client.call("POST", "/v1/batches", body)
    assert (status, problem["errors"][0]["field"]) == (422, field)
    assert client.bench.state() == before


def test_a_reservation_is_committed_rolled_back_or_expires(client: Client) -> None:
    before = client.bench.state()
    body = {"slice": raw_request("cdn"), "expires_in_s": 30}
    status, headers, held = client.call("POST", "/v1/reservations", body)
    assert (status, held["slice"]["state"]) == (201, "RESERVED")
    assert datetime.fromisoformat(held["expires_at"]).timestamp() == client.bench.now + 30
    assert client.call("GET", headers["Location"])[2] == held
    assert client.call("GET", "/v1/reservations")[2] == {"reservations": [held]}
    assert client.call("POST", "/v1/slices", raw_request("cdn"))[0] == 409
    status, _, made = client.call("POST", f"{headers['Location']}/commit")
    assert (status, made["state"]) == (201, "ACTIVE")
    assert client.call("POST", f"{headers['Location']}/commit")[0] == 410
    client.call("DELETE", "/v1/slices/cdn")
    assert client.bench.state() == before

    headers = client.call("POST", "/v1/reservations", body)[1]
    assert client.call("DELETE", headers["Location"])[0] == 200
    assert client.bench.state() == before

    headers = client.call("POST", "/v1/reservations", body)[1]
    client.bench.now += 31
    status, _, problem = client.call("POST", f"{headers['Location']}/commit")
    assert (status, problem["detail"].endswith("has expired")) == (410, True)
    assert client.bench.state() == before
    assert client.call("POST", "/v1/reservations/unknown/commit")[0] == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"expires_in_s": 0}, "expires_in_s"), ({"expires_in_s": -1}, "expires_in_s"),
        ({"expires_in_s": float("nan")}, "expires_in_s"), ({"expires_in_s": 1e9}, "expires_in_s"),
        ({"expires_in_s": "60"}, "expires_in_s"), ({"slice": None}, "slice"), ({"hold": True}, "hold"),
        ({"slice": {**raw_request("cdn"), "core": "x"}}, "slice.core"),
    ],
)  # fmt: skip
def test_a_reservation_that_is_wrong_is_refused_by_the_path(
    client: Client, changes: dict[str, Any], field: str
) -> None:
    before = client.bench.state()
    for path in ("/v1/reservations", "/v1/feasibility-jobs"):
        status, _, problem = client.call("POST", path, {"slice": raw_request("cdn"), **changes})
        assert (status, problem["errors"][0]["field"]) == (422, field)
    assert client.bench.state() == before


def test_a_feasibility_job_answers_without_holding_or_with(client: Client) -> None:
    before = client.bench.state()
    status, headers, job = client.call("POST", "/v1/feasibility-jobs", {"slice": raw_request("cdn")})
    assert (status, job["feasibilityResult"], job["resourceReservationStatus"]) == (201, "FEASIBLE", "UNRESERVED")
    assert client.bench.state() == before
    assert client.call("GET", headers["Location"])[2] == job
    status, _, job = client.call(
        "POST", "/v1/feasibility-jobs", {"slice": raw_request("cdn", {"access": {"bandwidth_mbps": 5000}})}
    )
    assert (status, job["feasibilityResult"]) == (201, "INFEASIBLE")
    assert job["reasons"][0]["constraint"] == "bandwidth"
    assert job["inFeasibleReason"]
    asked = {"slice": raw_request("cdn"), "reserve": True, "expires_in_s": 30}
    status, headers, job = client.call("POST", "/v1/feasibility-jobs", asked)
    assert job["resourceReservationStatus"] == "RESERVED"
    assert client.call("POST", f"/v1/reservations/{job['reservation']}/commit")[0] == 201
    assert client.call("GET", headers["Location"])[2]["resourceReservationStatus"] == "USED"
    assert len(client.call("GET", "/v1/feasibility-jobs")[2]["jobs"]) == 3
    assert client.call("DELETE", headers["Location"])[0] == 200
    assert client.call("GET", headers["Location"])[0] == 404
    assert client.call("GET", "/v1/slices/cdn")[0] == 200


def test_a_slice_with_a_start_waits_for_it(client: Client) -> None:
    request = raw_request("cdn", start="2030-01-31T22:00:00Z", end="2030-02-01T02:00:00Z")
    status, _, made = client.call("POST", "/v1/slices", request)
    assert (status, made["state"], made["compute_site"], made["connections"]) == (201, "SCHEDULED", None, [])
    for name in ("ietf", "3gpp"):
        assert client.call("GET", f"/v1/slices/cdn/{name}")[0] == 200
    before = client.bench.state()
    wrong = raw_request("cdn", name="b", start="2030-01-31T22:00:00Z", end="2030-01-31T21:00:00Z")
    status, _, problem = client.call("POST", "/v1/slices", wrong)
    assert (status, problem["errors"][0]["field"]) == (422, "end")
    assert client.bench.state() == before


def test_fault_36_a_slice_that_waits_for_its_start_takes_a_patch(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn", start="2030-01-31T22:00:00Z", end="2030-02-01T02:00:00Z"))
    held = client.bench.state()[:-1]
    patch = {"start": "2030-01-30T22:00:00Z", "connections": {"access": {"bandwidth_mbps": 2}}, "end": None}
    status, _, plan = client.call("PATCH", "/v1/slices/cdn?dry_run=true", patch)
    assert (status, plan["dry_run"]) == (200, True)
    assert {c["bandwidth_mbps"] for c in plan["connections"]} >= {2}
    assert client.call("GET", "/v1/slices/cdn")[2]["request"]["start"].startswith("2030-01-31T22:00:00")
    status, _, changed = client.call("PATCH", "/v1/slices/cdn", patch)
    assert (status, changed["state"], changed["connections"]) == (200, "SCHEDULED", [])
    assert changed["request"]["start"].startswith("2030-01-30T22:00:00")
    assert changed["request"].get("end") is None
    assert changed["request"]["connections"]["access"]["bandwidth_mbps"] == 2
    assert client.call("GET", "/v1/slices/cdn")[2] == changed
    assert client.bench.state()[:-1] == held  # nothing is held for it
    for wrong, field in (
        ({"name": "b"}, "name"), ({"core": "metro1"}, "core"), ({"end": "2029-01-01T00:00:00Z"}, "end"),
        ({"end": "1999-01-01T00:00:00Z", "start": None}, "end"),
        ({"connections": {"access": {"rekey_s": -1}}}, "connections.access.rekey_s"),
    ):  # fmt: skip
        status, _, problem = client.call("PATCH", "/v1/slices/cdn", wrong)
        assert (status, problem["errors"][0]["field"]) == (422, field)
    assert client.call("GET", "/v1/slices/cdn")[2] == changed


def test_a_slice_as_an_ietf_network_slice_service(tmp_path: Path) -> None:
    client, name = Client(Bench(metro_ring(), tmp_path / "db")), "enterprise-app-protected"
    client.call("POST", "/v1/slices", raw_request(name, {"access": {"security": ["qra", "qkd"]}}))
    status, headers, document = client.call("GET", f"/v1/slices/{name}/ietf")
    assert (status, headers["Content-Type"]) == (200, "application/yang-data+json")
    (service,) = document["ietf-network-slice-service:network-slice-services"]["slice-service"]
    assert service["id"] == name
    sdps = {sdp["id"]: sdp for sdp in service["sdps"]["sdp"]}
    assert sdps.keys() == {"cell1", "cell2", "metro1", "core1"}
    groups = {g["id"]: g for g in service["connection-groups"]["connection-group"]}
    assert groups.keys() == {"control", "access", "backhaul"}
    constructs = {(g, c["id"]): c for g, group in groups.items() for c in group["connectivity-construct"]}
    assert len(constructs) == 10  # five connections, both ways
    ends = {(c["p2p-sender-sdp"], c["p2p-receiver-sdp"]) for c in constructs.values()}
    assert ends <= {(a, b) for a in sdps for b in sdps if a != b}
    for sdp in sdps.values():  # what the references of the YANG model lead to is there
        for criterion in sdp["service-match-criteria"]["match-criterion"]:
            target = (criterion["target-connection-group-id"], criterion["target-connectivity-construct-id"])
            assert constructs[target]["p2p-sender-sdp"] == sdp["id"]
    policy = groups["access"]["service-slo-sle-policy"]
    bounds = {b["metric-type"].partition(":")[2]: b for b in policy["slo-policy"]["metric-bound"]}
    assert bounds["one-way-bandwidth"] == {
        "metric-type": "ietf-network-slice-service:one-way-bandwidth", "metric-unit": "Kbps", "bound": "10000",
    }  # fmt: skip
    assert bounds["one-way-delay-maximum"]["bound"] == "10000"
    assert "ietf-network-slice-service:encryption" in policy["sle-policy"]["security"]
    assert "key-source=qkd+qra" in policy["description"]
    assert groups["backhaul"]["service-slo-sle-policy"]["sle-policy"]["path-constraints"]["diversity"]


def test_a_slice_of_any_shape_in_the_words_of_both_standards(client: Client) -> None:
    """Every connection a group of its own; the way back says what it has; of cells, which there are not, nothing."""
    status, _, made = client.call("POST", "/v1/slices", raw_request("ring"))
    assert (status, made["compute_site"], {c["role"] for c in made["connections"]}) == (201, None, {None})
    document = client.call("GET", "/v1/slices/ring/ietf")[2]
    (service,) = document["ietf-network-slice-service:network-slice-services"]["slice-service"]
    assert {sdp["id"] for sdp in service["sdps"]["sdp"]} == {"agg1", "metro1", "core1"}
    groups = {g["id"]: g for g in service["connection-groups"]["connection-group"]}
    assert groups.keys() == {"agg-metro", "metro-core", "agg-core"}
    there, back = groups["agg-core"]["connectivity-construct"]

    def kbps(policy: dict[str, Any]) -> str:
        bounds = {b["metric-type"].partition(":")[2]: b["bound"] for b in policy["slo-policy"]["metric-bound"]}
        return str(bounds["one-way-bandwidth"])

    assert (there["p2p-sender-sdp"], kbps(groups["agg-core"]["service-slo-sle-policy"])) == ("agg1", "2000")
    assert (back["p2p-sender-sdp"], kbps(back["service-slo-sle-policy"])) == ("core1", "10000")
    assert "service-slo-sle-policy" not in {*there, *groups["agg-metro"]["connectivity-construct"][1]}
    profile = client.call("GET", "/v1/slices/ring/3gpp")[2]
    assert {f["secFunId"] for f in profile["n6Protection"]["secFuncList"]} == groups.keys()
    assert profile.keys().isdisjoint({"coverageAreas", "dLLatency", "uLLatency", "dLThptPerSlice", "uLThptPerSlice"})


def test_a_profile_has_what_goes_up_and_what_comes_down(client: Client) -> None:
    uneven = {"reverse_bandwidth_mbps": 30}
    status = client.call("POST", "/v1/slices", raw_request("enterprise-app", {"access": uneven, "backhaul": uneven}))[0]
    assert status == 201
    profile = client.call("GET", "/v1/slices/enterprise-app/3gpp")[2]
    assert (profile["uLThptPerSlice"]["guaThpt"], profile["dLThptPerSlice"]["guaThpt"]) == (20_000, 30_000)


def test_a_listed_connection_is_changed_by_its_name(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("ring"))
    status, _, plan = client.call(
        "PATCH", "/v1/slices/ring?dry_run=true", {"connections": {"agg-core": {"bandwidth_mbps": 3}}}
    )
    assert (status, plan["compute_site"]) == (200, None)
    status, _, changed = client.call("PATCH", "/v1/slices/ring", {"connections": {"agg-core": {"bandwidth_mbps": 3}}})
    rates = {c["name"]: (c["bandwidth_mbps"], c["reverse_bandwidth_mbps"]) for c in changed["connections"]}
    assert (status, rates) == (200, {"agg-metro": (10, 10), "metro-core": (20, 20), "agg-core": (3, 10)})
    topology = client.call("GET", "/v1/topology")[2]
    for channel in topology["channels"]:
        ways = (channel["reserved_from_a_mbps"], channel["reserved_from_b_mbps"])
        assert channel["reserved_mbps"] == max(ways)
    assert any(c["reserved_from_a_mbps"] != c["reserved_from_b_mbps"] for c in topology["channels"])
    status, _, problem = client.call("PATCH", "/v1/slices/ring", {"connections": {"agg-core": {"latency_ms": 0}}})
    assert (status, problem["errors"][0]["field"]) == (422, "connections.agg-core.latency_ms")


def test_a_connection_in_the_clear_claims_no_security(with_cdn: Client) -> None:
    document = with_cdn.call("GET", "/v1/slices/cdn/ietf")[2]
    (service,) = document["ietf-network-slice-service:network-slice-services"]["slice-service"]
    groups = {g["id"]: g for g in service["connection-groups"]["connection-group"]}
    assert "security" not in groups["access"]["service-slo-sle-policy"]["sle-policy"]
    profile = with_cdn.call("GET", "/v1/slices/cdn/3gpp")[2]
    assert "access" not in {f["secFunId"] for f in profile["n6Protection"]["secFuncList"]}


def test_a_slice_as_a_3gpp_service_profile(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("enterprise-app"))
    profile = client.call("GET", "/v1/slices/enterprise-app/3gpp")[2]
    assert profile["serviceProfileId"] == "enterprise-app"
    assert profile["plmnInfoList"][0]["snssai"] == {"sst": 1, "sd": "0000A1"}
    assert profile["dLThptPerSlice"] == {"guaThpt": 20_000, "maxThpt": 20_000}  # kbit/s
    assert profile["dLLatency"] == 25  # ms: 10 to the compute site, 15 on to the core
    assert {f["secFunId"] for f in profile["n6Protection"]["secFuncList"]} == {"control", "access", "backhaul"}
    assert client.call("GET", "/v1/slices/other/3gpp")[0] == 404
    assert client.call("GET", "/v1/slices/other/ietf")[0] == 404
