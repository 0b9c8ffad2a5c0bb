"""Traces over the API: what they say, of which slices, in both modes, and as the document describes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from controller.forwarding.intended import Changes
from controller.model.errors import DeviceFailed
from controller.model.provisioning_trace import DeviceTimes
from controller.operations.context import OperationContext
from tests.support.api_client import Client
from tests.support.controller_bench import Bench, raw_request
from tests.support.fake_switches import FakeSwitches
from topologies.catalog import ukqntel

APP = "enterprise-app"


class Devices:
    """Straight onto the switches in memory; ``refusing`` are those that will not."""

    def __init__(self, switches: FakeSwitches) -> None:
        self._switches = switches
        self.refusing: Iterable[str] = ()

    def configure(self, site: str, changes: Changes) -> DeviceTimes:
        if site in self.refusing and changes.add:
            raise DeviceFailed(site, "409 lock-denied: somebody has locked it")
        assert self._switches.tables[site].apply(changes) == []
        return DeviceTimes("ethernet", 0.0, len(changes.add) + len(changes.remove), 0.001, 0.002)


def clients(tmp_path: Path) -> Iterator[tuple[str, Client, Devices | None]]:
    yield "parallel", Client(Bench(ukqntel(), tmp_path / "parallel")), None
    switches = FakeSwitches(ukqntel())
    devices = Devices(switches)

    def extend(context: OperationContext) -> None:
        context.devices = devices

    yield "sequential", Client(Bench(ukqntel(), tmp_path / "sequential", switches, extend=extend)), devices


def test_a_slices_traces_outlive_it_and_are_as_described(tmp_path: Path) -> None:
    for mode, client, devices in clients(tmp_path):
        assert client.call("POST", "/v1/slices", raw_request(APP))[0] == 201
        assert client.call("POST", "/v1/slices", raw_request("cdn"))[0] == 201
        assert client.call("DELETE", f"/v1/slices/{APP}")[0] == 200
        status, _, body = client.call("GET", f"/v1/traces?slice={APP}")
        assert status == 200
        assert [(t["slice"], t["task"], t["mode"], t["outcome"]) for t in body["traces"]] == [
            (APP, "set_up", mode, "done"),
            (APP, "take_down", mode, "done"),
        ]
        configured = [step for step in body["traces"][0]["steps"] if step["layer"] == "device"]
        assert bool(configured) == (devices is not None)
        assert all(step["device_ms"] == 2 for step in configured)
        assert len(client.call("GET", "/v1/traces")[2]["traces"]) == 3
        document = client.call("GET", "/openapi.json")[2]
        schema = {"$ref": "#/components/schemas/TraceList", "components": document["components"]}
        jsonschema_rs.Draft202012Validator(schema).validate(body)


def test_a_refusal_names_the_device_the_step_and_its_error(tmp_path: Path) -> None:
    *_, (_, client, devices) = clients(tmp_path)
    assert devices is not None
    devices.refusing = ("metro1",)
    before = client.bench.state()
    status, _, problem = client.call("POST", "/v1/slices", raw_request(APP))
    assert (status, problem["code"]) == (503, "set_up_failed")
    assert (problem["device"], problem["step"], problem["connection"]) == ("metro1", 3, f"{APP}/cell1-control")
    assert "lock-denied" in problem["detail"]
    assert client.bench.state() == before
    (trace,) = client.call("GET", f"/v1/traces?slice={APP}")[2]["traces"]
    assert trace["outcome"] == "rolled_back"
    names = [(step["name"], step["outcome"]) for step in trace["steps"] if step["layer"] == "device"]
    assert names == [("configure", "done")] * 2 + [("configure", "failed")] + [("withdraw", "done")] * 3


@pytest.mark.parametrize("query", ["slice=", "slice=%00", f"slice={'x' * 64}"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, query: str) -> None:
    client: Any = Client(Bench(ukqntel(), tmp_path / "db"))
    assert client.call("GET", f"/v1/traces?{query}")[0] == 422
