"""The northbound API as an HTTP service: who may ask, in what form, twice, for a part, for what has changed."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from controller.model.events import LinkChanged, LinkState
from controller.northbound import Settings
from controller.northbound.http.auth import Tokens
from controller.northbound.http.idempotency import IdempotencyKeys
from controller.northbound.http.messages import Answer
from controller.northbound.http.problems import Problem
from controller.operations.event_log import FOLLOWER_BACKLOG, KEPT_EVENTS, MAX_FOLLOWERS
from tests.support.api_client import TOKEN, VIEWER, Client
from tests.support.controller_bench import Bench, raw_request
from topologies.catalog import ukqntel


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(Bench(ukqntel(), tmp_path / "db"))


def small(name: str, **changes: Any) -> dict[str, Any]:
    """A slice of which many fit."""
    connections = {role: {"bandwidth_mbps": 0.1} for role in ("control", "access", "backhaul")}
    return raw_request(
        "cdn", connections, name=name, compute={"site": "agg1", "vcpus": 0, "memory_gb": 0}, **changes
    )  # fmt: skip


WRITES = [
    ("POST", "/v1/slices"), ("PATCH", "/v1/slices/cdn"), ("DELETE", "/v1/slices/cdn"), ("POST", "/v1/batches"),
    ("POST", "/v1/reservations"), ("DELETE", "/v1/reservations/r"), ("POST", "/v1/reservations/r/commit"),
    ("POST", "/v1/feasibility-jobs"), ("DELETE", "/v1/feasibility-jobs/j"),
]  # fmt: skip
READS = [
    "/v1/slices", "/v1/slices/cdn", "/v1/slices/cdn/ietf", "/v1/slices/cdn/3gpp", "/v1/topology", "/metrics",
    "/v1/reservations", "/v1/feasibility-jobs",
]  # fmt: skip


# --- who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_write_needs_the_operator(client: Client, method: str, path: str) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    before = client.bench.state()
    for token, expected in ((None, 401), ("wrong", 401), (VIEWER, 403)):
        status, headers, problem = client.call(method, path, small("other"), token=token)
        assert (status, headers["WWW-Authenticate"].split()[0]) == (expected, "Bearer")
        assert "operator" in problem["detail"] or token == "wrong"
        assert token is None or token not in json.dumps(problem)
    assert client.bench.state() == before


def test_every_write_is_among_those_tried(client: Client) -> None:
    declared = {(o.method, re.sub(r"{\w+}", "x", o.path)) for o in client.api.router.operations if o.is_write}
    assert len(declared) == len(WRITES)


@pytest.mark.parametrize("path", READS)
def test_reads_are_open_unless_configured_otherwise(client: Client, path: str) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    strict = Client(client.bench, Settings(require_token_for_reads=True))
    assert client.call("GET", path, token=None)[0] == 200
    assert client.call("GET", path, token="wrong")[0] == 401
    assert [strict.call("GET", path, token=t)[0] for t in (None, "wrong", VIEWER, TOKEN)] == [401, 401, 200, 200]


def test_health_and_the_description_are_always_open_and_say_what_is_needed(client: Client) -> None:
    strict = Client(client.bench, Settings(require_token_for_reads=True))
    assert strict.call("GET", "/v1/healthz", token=None)[0] == 200
    paths = strict.call("GET", "/openapi.json", token=None)[2]["paths"]
    assert paths["/v1/slices"]["get"]["security"] == [{"token": []}]
    assert paths["/v1/healthz"]["get"]["security"] == [{}, {"token": []}]
    open_paths = client.call("GET", "/openapi.json", token=None)[2]["paths"]
    assert open_paths["/v1/slices"]["get"]["security"] == [{}, {"token": []}]
    assert open_paths["/v1/slices"]["post"]["security"] == [{"token": []}]


def test_tokens_stay_out_of_reprs() -> None:
    assert "secret" not in repr(Tokens("secret-1", "secret-2"))


@pytest.mark.parametrize("credentials", ["", "Bearer", "Bearer ", "Basic YTpi", TOKEN, f"Token {TOKEN}"])
def test_other_credentials_are_refused(client: Client, credentials: str) -> None:
    assert client.call("GET", "/v1/slices", token=None, HTTP_AUTHORIZATION=credentials)[0] == 401


# --- in what form ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/v1/slices", "application/json", 200),
        ("/v1/slices", "text/html, application/*;q=0.1", 200),
        ("/v1/slices", "*/*", 200),
        ("/v1/slices", "", 200),
        ("/v1/slices", "text/html", 406),
        ("/v1/slices", "application/json;q=0, */*", 406),
        ("/v1/slices/cdn/ietf", "application/json", 406),
        ("/v1/slices/cdn/ietf", "application/yang-data+json", 200),
        ("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", 200),
        ("/v1/events", "application/json", 406),
    ],
)
def test_what_the_client_cannot_take_is_not_sent(client: Client, path: str, accept: str, status: int) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    assert client.call("GET", path, HTTP_ACCEPT=accept)[0] == status


def test_a_member_named_twice_is_refused_by_its_path(client: Client) -> None:
    text = json.dumps(raw_request("cdn"))
    before = client.bench.state()
    for once, twice, field in (
        ('"name": "cdn"', '"name": "cdn", "name": "other"', "name"),
        ('"access": {', '"access": {"security": "qkd", ', "connections.access.security"),
    ):
        assert once in text
        status, _, problem = client.call("POST", "/v1/slices", text.replace(once, twice, 1).encode())
        assert (status, problem["errors"]) == (400, [{"field": field, "message": "is named twice"}])
    in_list = b'{"slices": [{}, {"name": "a", "name": "b"}]}'
    assert client.call("POST", "/v1/batches", in_list)[2]["errors"][0]["field"] == "slices.1.name"
    assert client.bench.state() == before


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "-1", "0"])
@pytest.mark.parametrize("field", ["bandwidth_mbps", "latency_ms", "rekey_s"])
def test_numbers_that_are_none_or_impossible_are_refused_by_name(client: Client, field: str, number: str) -> None:
    before = client.bench.state()
    raw = raw_request("cdn")
    raw["connections"]["access"][field] = "HERE"
    text = json.dumps(raw).replace('"HERE"', number)
    status, _, problem = client.call("POST", "/v1/slices", text.encode())
    assert status == 422
    assert [e["field"] for e in problem["errors"]] == [f"connections.access.{field}"]
    assert client.bench.state() == before


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=-1", "limit"), ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"), ("limit=%D9%A3", "limit"), ("limit=" + "9" * 5000, "limit"),
        ("cursor=%%%", "cursor"), ("cursor=_w", "cursor"), ("cursor=", "cursor"), ("colour=blue", "colour"),
    ],
)  # fmt: skip
def test_query_parameters_are_checked_by_name(client: Client, query: str, field: str) -> None:
    status, _, problem = client.call("GET", f"/v1/slices?{query}")
    assert (status, problem["errors"][0]["field"]) == (422, field)


def test_a_mistake_of_ours_is_a_problem_too_and_says_nothing(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.bench.slices.switch_count = lambda: 1 // 0  # type: ignore[method-assign, assignment, return-value]
    status, _, problem = client.call("GET", "/v1/healthz")
    assert status == 500
    assert "ZeroDivision" not in json.dumps(problem)
    assert "ZeroDivisionError" in caplog.text


# --- twice -----------------------------------------------------------------------------------------------------------


def test_a_write_sent_twice_is_done_once(client: Client) -> None:
    first = client.call("POST", "/v1/slices", raw_request("cdn"), HTTP_IDEMPOTENCY_KEY="k1")
    state = client.bench.state()
    again = client.call("POST", "/v1/slices", raw_request("cdn"), HTTP_IDEMPOTENCY_KEY="k1")
    assert (first[0], first[2]) == (again[0], again[2]) == (201, first[2])
    assert again[1]["Idempotency-Replayed"] == "true"
    assert again[1]["Location"] == first[1]["Location"]
    assert client.bench.state() == state
    status, _, problem = client.call("POST", "/v1/slices", small("other"), HTTP_IDEMPOTENCY_KEY="k1")
    assert (status, problem["detail"].split(":")[0]) == (422, "Idempotency-Key")
    assert client.call("POST", "/v1/slices?dry_run=true", raw_request("cdn"), HTTP_IDEMPOTENCY_KEY="k1")[0] == 422
    gone = client.call("DELETE", "/v1/slices/cdn", HTTP_IDEMPOTENCY_KEY="k2")
    assert client.call("DELETE", "/v1/slices/cdn", HTTP_IDEMPOTENCY_KEY="k2")[2] == gone[2]
    assert client.call("DELETE", "/v1/slices/cdn", HTTP_IDEMPOTENCY_KEY="k3")[0] == 404


def test_a_write_that_failed_is_tried_anew_under_its_key(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    assert client.call("POST", "/v1/slices", raw_request("cdn"), HTTP_IDEMPOTENCY_KEY="k")[0] == 409
    client.call("DELETE", "/v1/slices/cdn")
    assert client.call("POST", "/v1/slices", raw_request("cdn"), HTTP_IDEMPOTENCY_KEY="k")[0] == 201


@pytest.mark.parametrize("key", ["", " ", "with space", "x" * 256, "ümlaut"])
def test_what_is_no_key_is_refused(client: Client, key: str) -> None:
    status, _, problem = client.call("POST", "/v1/slices", raw_request("cdn"), HTTP_IDEMPOTENCY_KEY=key)
    assert (status, problem["detail"].split(":")[0]) == (400, "Idempotency-Key")
    assert client.call("GET", "/v1/slices")[2] == {"slices": []}


def test_a_key_in_use_is_a_conflict_and_keys_are_bounded_and_expire() -> None:
    keys = IdempotencyKeys(max_keys=2, kept_s=10.0)
    answer = Answer(HTTPStatus.OK)
    assert keys.begin("a", b"1", now=0.0) is None
    with pytest.raises(Problem, match="under way") as caught:
        keys.begin("a", b"1", now=1.0)
    assert caught.value.status == 409
    keys.end("a", answer)
    assert keys.begin("a", b"1", now=2.0) is not None
    assert keys.begin("a", b"1", now=10.0) is None  # forgotten
    assert keys.begin("b", b"1", now=10.0) is None
    with pytest.raises(Problem, match="2 requests") as caught:
        keys.begin("c", b"1", now=10.0)
    assert caught.value.status == 503
    keys.end("b", answer)
    assert keys.begin("c", b"1", now=10.0) is None  # took the place of b


# --- a part, and what has changed ------------------------------------------------------------------------------------


def test_pages_lead_through_all_slices_while_slices_come_and_go(client: Client) -> None:
    names = [f"s{i}" for i in range(5)]
    for name in names:
        assert client.call("POST", "/v1/slices", small(name))[0] == 201
    status, headers, page = client.call("GET", "/v1/slices?limit=2")
    assert [s["name"] for s in page["slices"]] == ["s0", "s1"]
    assert re.fullmatch(r'<(.+)>; rel="next"', headers["Link"])
    client.call("DELETE", "/v1/slices/s1")  # the one the next page goes on from
    client.call("DELETE", "/v1/slices/s3")
    seen = []
    while "Link" in headers:
        target = headers["Link"].partition(">")[0].removeprefix("<")
        assert f"cursor={page['next']}" in target
        status, headers, page = client.call("GET", target)
        assert status == 200
        seen += [s["name"] for s in page["slices"]]
    assert seen == ["s2", "s4"]
    assert "next" not in page


def test_what_has_not_changed_is_not_sent_again(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    _, headers, _ = client.call("GET", "/v1/slices/cdn")
    tag = headers["ETag"]
    for wanted in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        status, again, _ = client.call("GET", "/v1/slices/cdn", HTTP_IF_NONE_MATCH=wanted)
        assert (status, again["ETag"]) == (304, tag)
    client.bench.cut("cell1-agg1-ch1")
    assert client.call("GET", "/v1/slices/cdn", HTTP_IF_NONE_MATCH=tag)[0] == 200


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_write_on_what_has_changed_is_refused(client: Client, method: str) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    patch = {"connections": {"access": {"bandwidth_mbps": 5}}}
    old = client.call("GET", "/v1/slices/cdn")[1]["ETag"]
    assert client.call("PATCH", "/v1/slices/cdn", {"connections": {"control": {"bandwidth_mbps": 2}}})[0] == 200
    before = client.bench.state()
    status, headers, problem = client.call(method, "/v1/slices/cdn", patch, HTTP_IF_MATCH=old)
    assert (status, problem["detail"].split(":")[0]) == (412, "If-Match")
    assert client.bench.state() == before
    assert client.call(method, "/v1/slices/cdn", patch, HTTP_IF_MATCH=headers["ETag"])[0] == 200
    assert client.call(method, "/v1/slices/other", patch, HTTP_IF_MATCH="*")[0] == 404


# --- events ----------------------------------------------------------------------------------------------------------


def follow(client: Client, last: str | None = None) -> tuple[int, Any]:
    seen: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v1/events"}
    if last is not None:
        environ["HTTP_LAST_EVENT_ID"] = last
    stream = client.api(environ, lambda status, headers: seen.append(status))
    return int(seen[0].split()[0]), stream


def test_a_reader_who_comes_back_too_late_is_told_to_read_anew(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    _, stream = follow(client, "0")
    chunks = [next(stream), next(stream)]
    assert chunks[1].startswith(b"event: reset")  # ids begin at the clock: 0 is of another process
    first = next(stream).decode()
    stream.close()
    last = re.findall(r"^id: (\d+)$", first, re.MULTILINE)[0]
    _, stream = follow(client, last)
    chunks = [next(stream), next(stream)]
    assert b"reset" not in chunks[1]
    assert int(re.findall(rb"^id: (\d+)$", chunks[1], re.MULTILINE)[0]) == int(last) + 1
    stream.close()
    for _ in range(KEPT_EVENTS):
        client.bench.events.publish(LinkChanged("c", LinkState.UP))
    _, stream = follow(client, last)
    assert next(stream)
    assert next(stream).startswith(b"event: reset")
    stream.close()


def test_a_reader_who_does_not_read_is_cut_off_after_what_was_kept_for_him(client: Client) -> None:
    _, stream = follow(client)
    next(stream)
    for _ in range(FOLLOWER_BACKLOG + 10):
        client.bench.events.publish(LinkChanged("c", LinkState.UP))
    assert sum(1 for _ in stream) == FOLLOWER_BACKLOG  # and the stream ends


def test_readers_are_bounded_and_one_who_leaves_makes_room(client: Client) -> None:
    streams = [follow(client)[1] for _ in range(MAX_FOLLOWERS)]
    status, headers, _ = client.call("GET", "/v1/events")
    assert (status, headers["Retry-After"]) == (503, "5")
    streams[0].close()  # before its first chunk
    status, stream = follow(client)
    assert status == 200
    for each in [stream, *streams]:
        each.close()
    assert "qslice_event_followers 0" in client.call("GET", "/metrics")[2]


@pytest.mark.parametrize("last", ["-1", "1.5", "x", "9" * 19, "٣"])
def test_what_is_no_event_id_is_refused(client: Client, last: str) -> None:
    assert client.call("GET", "/v1/events", HTTP_LAST_EVENT_ID=last)[0] == 400


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics_are_well_formed_and_count_what_happened(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("enterprise-app"))
    client.call("GET", "/v1/nowhere")
    client.bench.cut("cell1-agg1-ch2")
    text = client.call("GET", "/metrics")[2]
    typed: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in typed
            typed[name] = kind
        elif not line.startswith("#"):
            match = re.fullmatch(r'([a-z_]+)(?:{(?:[a-z_]+="[^"]*",?)+})? (-?[0-9.e+-]+)', line)
            assert match, line
            base = re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert match[1] in typed or typed[base] == "histogram"
    assert 'qslice_api_requests_total{operation="createSlice",status="201"} 1' in text
    assert 'qslice_api_requests_total{operation="none",status="404"} 1' in text
    assert 'qslice_api_request_seconds_bucket{operation="createSlice",le="+Inf"} 1' in text
    assert 'qslice_events_total{kind="connection",state="REROUTING"}' in text
    assert 'qslice_section_reserved_key_bps{section="s1"}' in text
