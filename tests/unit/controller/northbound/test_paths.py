"""Every path that the API gives is of one form: laid or planned, working, backup or preferred, or none at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from controller.northbound.views.paths import PATH_MEMBERS, PathView
from tests.support.api_client import Client
from tests.support.controller_bench import Bench, raw_request
from topologies.catalog import metro_ring

LITTLE = {"bandwidth_mbps": 1, "latency_ms": 50}


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(Bench(metro_ring(), tmp_path / "db"))


def request() -> dict[str, Any]:
    return raw_request(
        "cdn",
        {
            "control": {"security": "qkd", **LITTLE},
            "access": {"security": "qkd", "revert": {"after_s": 30}, **LITTLE},
            "backhaul": {"security": "qra", "protection": "1:1", **LITTLE},
        },
        cells=["cell1"],
    )


def paths(connection: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {name: connection[name] for name in PATH_MEMBERS}
    yield from (connection[name] for name in ("backup", "preferred") if connection.get(name) is not None)


def validate(client: Client, schema: str, value: Any) -> None:
    components = client.call("GET", "/openapi.json")[2]["components"]
    root = {"$ref": f"#/components/schemas/{schema}", "components": components}
    jsonschema_rs.Draft202012Validator(root).validate(value)


def test_a_slice_of_any_shape_and_the_topology_under_it_are_as_described(client: Client) -> None:
    validate(client, "SliceRequest", raw_request("ring"))
    validate(client, "Plan", client.call("POST", "/v1/slices?dry_run=true", raw_request("ring"))[2])
    made = client.call("POST", "/v1/slices", raw_request("ring"))[2]
    validate(client, "Slice", made)
    validate(client, "SliceRequest", made["request"])
    validate(client, "Topology", client.call("GET", "/v1/topology")[2])
    with pytest.raises(jsonschema_rs.ValidationError):
        validate(client, "SliceRequest", raw_request("ring", cells=["cell1"]))


def test_the_parts_of_a_path_sum_to_its_latency_in_a_plan_and_a_slice(client: Client) -> None:
    asked = request()
    for body in (client.call("POST", "/v1/slices?dry_run=true", asked)[2], client.call("POST", "/v1/slices", asked)[2]):
        for connection in body["connections"]:
            for path in paths(connection):
                assert sum(path["latency_parts_us"].values()) == round(1000 * path["latency_ms"])
                assert path["latency_parts_us"]["cards"] == 15 * len(path["path"])


def test_planned_and_made_working_backup_and_preferred_are_alike(client: Client) -> None:
    plan = client.call("POST", "/v1/slices?dry_run=true", request())[2]
    made = client.call("POST", "/v1/slices", request())[2]
    validate(client, "Plan", plan)
    access = next(c for c in made["connections"] if c["role"] == "access")
    original = {name: access[name] for name in PATH_MEMBERS}
    client.bench.cut(access["path"][0])
    moved = client.call("GET", "/v1/slices/cdn")[2]
    validate(client, "Slice", moved)
    found = [p for body in (plan, made, moved) for c in body["connections"] for p in paths(c)]
    assert len(found) == 3 * 3 + 3 + 1  # of each connection the working path; the backup thrice; one preferred
    for path in found:
        assert path.keys() == PATH_MEMBERS.keys()
        assert len(path["sites"]) == len(path["path"]) + 1
        assert path["latency_ms"] > 0
        validate(client, "Path", path)
    preferred = next(c for c in moved["connections"] if c["role"] == "access")["preferred"]
    assert preferred == original | {"labels": None}  # nothing is laid on it meanwhile
    backhaul = [c for body in (plan, made) for c in body["connections"] if c["name"] == "compute-core"]
    assert backhaul[0]["backup"] == backhaul[1]["backup"]
    assert set(backhaul[0]["path"]).isdisjoint(backhaul[0]["backup"]["path"])


def test_without_a_path_the_members_are_there_and_empty(client: Client) -> None:
    made = client.call("POST", "/v1/slices", request())[2]
    for channel in [c.id for c in client.bench.topology.channels if "core1" in c.ends]:
        client.bench.cut(channel)
    lost = client.call("GET", "/v1/slices/cdn")[2]
    validate(client, "Slice", lost)
    control = next(c for c in lost["connections"] if c["role"] == "control")
    assert control["state"] == "DEGRADED"
    assert next(paths(control)) == PathView().to_json()
    assert (control["path"], control["backup"]) == ([], None)
    assert made["connections"][0]["path"]
