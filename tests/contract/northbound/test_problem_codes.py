"""What a refusal is to a program: the code in the problem document, so that nobody need read the sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.model.errors import DriverError, KeysMissing
from controller.northbound.views.problem_codes import ProblemCode
from tests.support.api_client import Client
from tests.support.controller_bench import Bench, raw_request
from topologies.catalog import ukqntel


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(Bench(ukqntel(), tmp_path / "db"))


def refused(client: Client, request: dict[str, Any]) -> tuple[int, str]:
    before = client.bench.state()
    status, _, problem = client.call("POST", "/v1/slices", request)
    assert client.bench.state() == before
    return status, problem["code"]


def test_what_does_not_fit_is_told_from_what_lacks_keys(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert refused(client, raw_request("cdn", {"access": {"bandwidth_mbps": 5000}})) == (422, "infeasible")
    rates = client.bench.key_rates
    rates.unusable = frozenset(rates.section_ids)
    client.bench.maintenance.poll_keys()
    assert refused(client, raw_request("cdn")) == (422, "key_rate_lacking")
    status, _, problem = client.call("PATCH", "/v1/slices/nobody", {})
    assert (status, problem["code"]) == (404, "unknown_slice")

    def silent(rates: object) -> None:
        raise DriverError("nobody there")

    with monkeypatch.context() as patched:
        patched.setattr(type(rates), "sections", silent)
        assert refused(client, raw_request("cdn")) == (503, "key_rate_unknown")
    rates.unusable = frozenset()
    client.bench.maintenance.poll_keys()
    assert client.call("POST", "/v1/slices", raw_request("cdn"))[0] == 201


def test_a_rate_that_is_not_known_yet_is_not_zero(client: Client) -> None:
    rates = client.bench.key_rates
    rates.starting = frozenset(rates.section_ids)
    before = client.bench.state()
    status, headers, problem = client.call("POST", "/v1/slices", raw_request("cdn"))
    assert (status, problem["code"]) == (503, "key_rate_unknown")
    assert int(headers["Retry-After"]) >= 1
    assert set(problem["sections"]) <= rates.starting
    assert problem["sections"]
    assert not {"reasons", "nearest"} & problem.keys()  # no advice to lower the security on that ground
    assert "bit/s" not in problem["detail"]
    assert client.bench.state() == before
    shown = client.call("GET", "/v1/topology")[2]["sections"]
    assert {(s["state"], s["rate_bps"], s["qber"]) for s in shown} == {("unknown", None, None)}
    metrics = client.call("GET", "/metrics")[2]
    assert "qslice_section_key_bps{" not in metrics
    assert "qslice_section_usable{" not in metrics
    rates.starting = frozenset()
    assert client.call("POST", "/v1/slices", raw_request("cdn"))[0] == 201
    assert {s["state"] for s in client.call("GET", "/v1/topology")[2]["sections"]} == {"usable"}


def test_a_section_that_is_known_to_be_bad_is_not_waited_for(client: Client) -> None:
    rates = client.bench.key_rates
    rates.unusable, rates.starting = frozenset({"s1"}), frozenset(rates.section_ids) - {"s1"}
    status, _, problem = client.call("POST", "/v1/slices", raw_request("cdn"))
    assert (status, problem["code"]) == (422, "key_rate_lacking")
    assert {r["where"] for r in problem["reasons"] if r["constraint"] == "key_rate"} == {"s1"}


def test_what_does_not_fit_whatever_the_rates_are_is_refused_at_once(client: Client) -> None:
    rates = client.bench.key_rates
    rates.starting = frozenset(rates.section_ids)
    asked = raw_request("cdn", {"access": {"bandwidth_mbps": 5000}})
    status, _, problem = client.call("POST", "/v1/slices", asked)
    assert (status, problem["code"]) == (422, "infeasible")
    assert {r["constraint"] for r in problem["reasons"]} == {"bandwidth"}


def test_a_change_and_a_feasibility_job_wait_for_rates_too(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    rates = client.bench.key_rates
    rates.starting = frozenset(rates.section_ids)
    before = client.bench.state()
    changed = {"connections": {"backhaul": {"rekey_s": 1}}}
    status, headers, problem = client.call("PATCH", "/v1/slices/cdn", changed)
    assert (status, problem["code"], headers["Retry-After"]) == (503, "key_rate_unknown", "1")
    asked = {"slice": raw_request("cdn", name="other")}
    assert client.call("POST", "/v1/feasibility-jobs", asked)[2]["code"] == "key_rate_unknown"
    assert client.bench.state() == before


@pytest.mark.parametrize("starved", [0, 1])
def test_a_tunnel_without_a_key_is_told_from_one_that_does_not_answer(client: Client, starved: int) -> None:
    ends: list[str] = []

    def fail(op: str, site: str, connection_id: str) -> DriverError | None:
        if op != "wait_up" or not connection_id.endswith("compute-core"):
            return None
        ends.append(site)
        return KeysMissing("no key") if len(ends) - 1 == starved else DriverError("waiting after 10 s")

    client.bench.tunnels.fail = fail
    assert refused(client, raw_request("cdn")) == (503, "keys_missing")
    assert len(ends) == 2
    client.bench.tunnels.fail = lambda op, site, i: DriverError("no answer") if op == "wait_up" else None
    assert refused(client, raw_request("cdn")) == (503, "set_up_failed")


def test_a_change_for_which_there_are_no_keys_says_so_and_leaves_the_slice_as_it_was(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    before = client.call("GET", "/v1/slices/cdn")[2]["connections"]
    client.bench.tunnels.fail = lambda op, site, i: KeysMissing("no key") if op == "wait_up" else None
    status, _, problem = client.call("PATCH", "/v1/slices/cdn", {"connections": {"control": {"security": "qra"}}})
    assert (status, problem["code"]) == (503, "keys_missing")
    client.bench.tunnels.fail = lambda op, site, i: None
    after = client.call("GET", "/v1/slices/cdn")[2]["connections"]
    assert [(c["name"], c["path"], c["required"]) for c in after] == [
        (c["name"], c["path"], c["required"]) for c in before
    ]


def test_every_refusal_has_a_code_finer_than_its_status_where_there_is_one(client: Client) -> None:
    client.call("POST", "/v1/slices", raw_request("cdn"))
    held = client.call("POST", "/v1/reservations", {"slice": raw_request("cdn", name="held")})[2]
    client.call("DELETE", f"/v1/reservations/{held['id']}")
    answers = {
        "invalid_request": client.call("POST", "/v1/slices", {"name": "x"}),
        "duplicate_slice": client.call("POST", "/v1/slices", raw_request("cdn")),
        "unknown_reservation": client.call("GET", "/v1/reservations/none"),
        "reservation_over": client.call("GET", f"/v1/reservations/{held['id']}"),
        "unknown_job": client.call("GET", "/v1/feasibility-jobs/none"),
        "not_found": client.call("GET", "/v1/nothing"),
        "method_not_allowed": client.call("PUT", "/v1/slices"),
        "unauthorized": client.call("DELETE", "/v1/slices/cdn", token=None),
        "bad_request": client.call("POST", "/v1/slices", b"{"),
    }
    assert {code: problem["code"] for code, (_, _, problem) in answers.items()} == {code: code for code in answers}


def test_the_document_names_every_code(client: Client) -> None:
    schema = client.call("GET", "/openapi.json")[2]["components"]["schemas"]["Problem"]
    assert "code" in schema["required"]
    assert set(schema["properties"]["code"]["anyOf"][0]["enum"]) == {code.value for code in ProblemCode}
