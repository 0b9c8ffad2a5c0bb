"""The northbound API: paths, codes and documents as other people's scripts rely on them."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from controller.forwarding.items import Rule
from controller.northbound import MAX_BODY_BYTES
from tests.support.api_client import TOKEN, Client
from tests.support.controller_bench import Bench, raw_request
from topologies.catalog import ukqntel


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(Bench(ukqntel(), tmp_path / "db"))


def test_a_slice_is_made_shown_listed_and_removed(client: Client) -> None:
    status, headers, made = client.call("POST", "/v1/slices", raw_request("enterprise-app"))
    assert status == 201
    assert headers["Location"] == "/v1/slices/enterprise-app"
    assert made["state"] == "ACTIVE"
    assert len(made["connections"]) == 5
    for connection in made["connections"]:
        needed = {
            "name", "src", "dst", "src_address", "dst_address", "required", "key_source", "path", "state",
            "latency_ms", "labels", "bandwidth_mbps",
        }  # fmt: skip
        assert needed <= connection.keys()
    assert client.call("GET", "/v1/slices/enterprise-app")[2] == made
    assert client.call("GET", "/v1/slices")[2] == {"slices": [made]}
    status, _, ended = client.call("DELETE", "/v1/slices/enterprise-app")
    assert (status, ended["state"]) == (200, "DELETED")
    assert client.call("GET", "/v1/slices/enterprise-app")[0] == 404
    assert client.call("DELETE", "/v1/slices/enterprise-app")[0] == 404


def test_a_connections_number_gives_it_a_pair_in_each_family(client: Client) -> None:
    """What goes in the clear is IPv4 alone; so it is while an encrypted one is told to go in the clear, and back."""
    client.call("POST", "/v1/slices", raw_request("cdn"))
    body = raw_request("enterprise-app", {"access": {"security": "none"}})
    made = client.call("POST", "/v1/slices", body)[2]
    seen = set()

    def check(shown: dict[str, Any]) -> None:
        for c in shown["connections"]:
            k = (int(IPv4Address(c["src_address"])) - int(IPv4Address("10.200.0.0"))) // 2
            four = [str(IPv4Address("10.200.0.0") + 2 * k + n) for n in (0, 1)]
            six = [str(IPv6Address("fd51:5c1c::1:0") + 2 * k + n) for n in (0, 1)]
            assert [c["src_address"], c["dst_address"]] == four
            assert [c["src_address6"], c["dst_address6"]] == (six if c["key_source"] != "none" else [None, None])
            seen.add(c["key_source"] == "none")
            for end, ours, peers in ((c["src"], 0, 1), (c["dst"], 1, 0)):
                told = client.bench.tunnels.told[end, c["id"]]
                addresses = [c["src_address6"], c["dst_address6"]]
                assert [told.local_address6, told.peer_address6] == [addresses[ours], addresses[peers]]

    check(made)
    assert seen == {True, False}
    for security in ("qra", "none"):
        patch = {"connections": {"access": {"security": security}}}
        status, _, changed = client.call("PATCH", "/v1/slices/enterprise-app", patch)
        assert status == 200
        check(changed)


def test_a_dry_run_shows_the_plan_and_changes_nothing(client: Client) -> None:
    before = client.bench.state()
    status, _, plan = client.call("POST", "/v1/slices?dry_run=true", raw_request("cdn"))
    assert (status, plan["dry_run"], plan["compute_site"]) == (200, True, "agg1")
    assert all(c["path"] and c["cost"] > 0 for c in plan["connections"])
    assert client.bench.state() == before
    made = client.call("POST", "/v1/slices", raw_request("cdn"))[2]
    for planned, real in zip(plan["connections"], made["connections"], strict=True):
        same = ("name", "path", "sites", "labels", "src_address", "dst_address", "latency_ms", "key_sections",
                "key_links", "backup", "src_address6", "dst_address6")  # fmt: skip
        assert {key: planned[key] for key in same} == {key: real[key] for key in same}
    client.call("DELETE", "/v1/slices/cdn")
    assert client.call("POST", "/v1/slices?dry_run=perhaps", raw_request("cdn"))[0] == 422


def test_the_plan_says_what_every_switch_would_hold_and_what_it_costs(client: Client) -> None:
    bare = client.bench.switches.held()
    plan = client.call("POST", "/v1/slices?dry_run=true", raw_request("enterprise-app"))[2]
    client.call("POST", "/v1/slices", raw_request("enterprise-app"))
    for site, items in client.bench.switches.held().items():
        added = [i for i in items if i not in bare[site]]
        shown = plan["switches"].get(site, {"rules": [], "meters": [], "groups": []})
        assert sum(len(shown[kind]) for kind in ("rules", "meters", "groups")) == len(added)
        cookies = {f"{i.cookie:#018x}" for i in added if isinstance(i, Rule)}
        assert {rule["cookie"] for rule in shown["rules"]} == cookies
    topology = client.call("GET", "/v1/topology")[2]
    reserved = {c["id"]: c["reserved_mbps"] for c in topology["channels"] if c["reserved_mbps"]}
    assert plan["reserved_mbps"] == reserved
    assert plan["key_rate_bps"] == {s["id"]: s["reserved_bps"] for s in topology["sections"] if s["reserved_bps"]}
    assert plan["cost"]["total"] == sum(c["cost"] for c in plan["connections"])
    for connection in plan["connections"]:
        parts = connection["cost_parts"]
        weights = {"surplus_levels": 10**14, "latency_us": 10**6, "load_permille": 1}
        assert sum(parts[key] * weight for key, weight in weights.items()) == parts["total"] == connection["cost"]


def test_what_switches_shall_hold_is_what_they_do_and_the_operators_alone(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("enterprise-app"))
    status, _, shown = client.call("GET", "/v1/intended")
    assert status == 200
    held = client.bench.switches.held()
    assert shown["switches"].keys() == held.keys()
    for site, switch in shown["switches"].items():
        assert sum(len(items) for items in switch.values()) == len(held[site])
        cookies = {f"{i.cookie:#018x}" for i in held[site] if isinstance(i, Rule)}
        assert {rule["cookie"] for rule in switch["rules"]} == cookies
    for token in (None, "wrong"):
        assert client.call("GET", "/v1/intended", token=token)[0] == 401


def test_an_infeasible_request_is_explained(client: Client) -> None:
    request = raw_request("cdn", {"access": {"bandwidth_mbps": 5000}})
    status, _, problem = client.call("POST", "/v1/slices", request)
    assert status == 422
    reason = problem["reasons"][0]
    assert reason.keys() >= {"connection", "constraint", "where", "needed", "available"}
    assert reason["constraint"] == "bandwidth"
    assert problem["nearest"]
    assert client.call("POST", "/v1/slices?dry_run=true", request)[0] == 422


def test_a_duplicate_is_a_conflict(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    assert client.call("POST", "/v1/slices", raw_request("cdn"))[0] == 409
    assert client.call("POST", "/v1/slices?dry_run=true", raw_request("cdn"))[0] == 409


def test_an_unknown_field_is_named_by_its_path(client: Client) -> None:
    request = raw_request("cdn", {"access": {"speed": 1}})
    status, _, problem = client.call("POST", "/v1/slices", request)
    assert status == 422
    assert problem["errors"] == [{"field": "connections.access.speed", "message": "unknown field"}]
    status, _, problem = client.call("POST", "/v1/slices", raw_request("cdn", core="core9"))
    assert (status, problem["errors"][0]["field"]) == (422, "core")


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"name": NaN', b""])
def test_malformed_json_is_a_bad_request(client: Client, body: bytes) -> None:
    assert client.call("POST", "/v1/slices", body, CONTENT_TYPE="application/json")[0] == 400


def test_not_a_number_is_refused_though_pythons_json_reads_it(client: Client) -> None:
    text = json.dumps(raw_request("cdn", {"access": {"bandwidth_mbps": float("nan")}})).encode()
    assert client.call("POST", "/v1/slices", text)[0] == 422


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-yaml"])
def test_other_media_types_are_refused(client: Client, media_type: str) -> None:
    assert client.call("POST", "/v1/slices", raw_request("cdn"), CONTENT_TYPE=media_type)[0] == 415


def test_sizes_are_limited(client: Client) -> None:
    def status_with(**environ: str) -> int:
        return client.call("POST", "/v1/slices", b"", CONTENT_TYPE="application/json", **environ)[0]

    assert status_with(CONTENT_LENGTH=str(MAX_BODY_BYTES + 1)) == 413
    assert status_with(CONTENT_LENGTH="9" * 5000) == 413
    assert status_with(CONTENT_LENGTH="many") == 400
    assert status_with(CONTENT_LENGTH="-1") == 400
    assert status_with(CONTENT_LENGTH="10") == 400  # and nothing comes
    assert status_with(HTTP_TRANSFER_ENCODING="chunked") == 411


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "ünicode"])
def test_writes_need_the_token(client: Client, token: str | None) -> None:
    before = client.bench.state()
    for method, path in (("POST", "/v1/slices"), ("DELETE", "/v1/slices/cdn")):
        status, headers, _ = client.call(method, path, raw_request("cdn"), token=token)
        assert status == 401
        assert headers["WWW-Authenticate"].startswith('Bearer realm="qslice"')
    assert client.call("GET", "/v1/slices", token=token)[0] == (200 if token is None else 401)
    assert client.bench.state() == before


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/slices", "GET, HEAD, OPTIONS, POST"),
        ("PUT", "/v1/slices/cdn", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("POST", "/v1/topology", "GET, HEAD, OPTIONS"),
        ("DELETE", "/metrics", "GET, HEAD, OPTIONS"),
    ],
)
def test_methods_that_are_not_possible_name_those_that_are(
    client: Client, method: str, path: str, allowed: str
) -> None:
    status, headers, _ = client.call(method, path)
    assert (status, headers["Allow"]) == (405, allowed)
    status, headers, _ = client.call("OPTIONS", path)
    assert (status, headers["Allow"]) == (204, allowed)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/slices/a/b", "/v2/slices", "/v1/../metrics", "/%00"])
def test_other_paths_are_not_found(client: Client, path: str) -> None:
    assert client.call("GET", path)[0] == 404


def test_the_topology_has_what_link_list_shows(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    client.bench.cut("agg1-metro1-ch1")
    topology = client.call("GET", "/v1/topology")[2]
    channels = {c["id"]: c for c in topology["channels"]}
    needed = {"id", "a", "b", "a_interface", "b_interface", "class", "state", "capacity_mbps", "reserved_mbps"}
    assert all(needed <= c.keys() for c in channels.values())
    assert channels["cell1-agg1-ch1"]["reserved_mbps"] == 20
    assert channels["cell1-agg1-ch1"]["a_interface"] == "qs-cell1-2"
    assert channels["agg1-metro1-ch1"]["state"] == "down"
    assert topology["sections"][0].keys() >= {"id", "rate_bps", "qber", "state"}
    assert {s["name"]: s["free_vcpus"] for s in topology["sites"]}["agg1"] == 8


def test_metrics_are_prometheus_text(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    status, headers, text = client.call("GET", "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4")
    assert 'qslice_slices{state="ACTIVE"} 1' in text
    assert 'qslice_channel_reserved_bps{channel="cell1-agg1-ch1"} 20000000' in text


def test_head_has_the_headers_of_get_and_no_body(client: Client) -> None:
    status, headers, body = client.call("HEAD", "/v1/slices")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 0


def test_the_description_names_every_operation_and_its_references_resolve(client: Client) -> None:
    document = client.call("GET", "/openapi.json")[2]
    assert document["openapi"].startswith("3.1")
    for path, item in document["paths"].items():
        concrete = path.replace("{name}", "nothing")
        for method in ("get", "post", "put", "patch", "delete"):
            if path == "/v1/events" and method == "get":
                continue
            status = client.call(method.upper(), concrete)[0]
            assert (status == 405) == (method not in item), (method, path)
            if method in item:
                assert str(status) in item[method]["responses"], (method, path, status)

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            found = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return found + [r for v in value.values() for r in references(v)]
        return [r for v in value for r in references(v)] if isinstance(value, list) else []

    for reference in references(document):
        section, _, name = reference.removeprefix("#/components/").partition("/")
        assert name in document["components"][section]


def test_a_stream_gives_what_was_missed_and_what_comes(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v1/events", "HTTP_LAST_EVENT_ID": "0"}
    stream = iter(client.api(environ, lambda status, headers: None))
    assert next(stream).startswith(b": following\n")
    seen: list[str] = []
    while not seen or '"state": "ACTIVE"' not in seen[-1]:
        seen.append(next(stream).decode())
    assert any("event: key" in event for event in seen)
    client.bench.cut("agg1-metro1-ch1")
    assert "event: link" in next(stream).decode()
    assert client.call("GET", "/v1/events", HTTP_LAST_EVENT_ID="yesterday")[0] == 400
