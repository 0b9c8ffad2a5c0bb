"""What Python users get is what the controller says: every value from the API's own documents."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scripts.automation.report import Snapshot, render
from scripts.automation.values import Channel, Keys, Slice
from tests.support.api_client import Client
from tests.support.controller_bench import Bench, raw_request
from tests.support.results_reference import missing, unknown
from topologies.catalog import metro_ring

KEYS = {
    "sections": [
        {"id": "q1", "a": "a", "b": "b", "length_km": 10.0, "state": "starting", "stop_reason": "", "skr_bps": None,
         "qber": None, "available_bits": 0, "eavesdropped_fraction": 0.0}
    ],
    "pools": [{"a": "a", "b": "b", "source": "qkd", "stored": 3, "state": "low", "max": 10, "key_size": 256}],
}  # fmt: skip


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(Bench(metro_ring(), tmp_path / "db"))


def test_a_slice_is_what_the_controller_answers(client: Client) -> None:
    raw = client.call("POST", "/v1/slices", raw_request("enterprise-app-protected", name="enterprise-app"))[2]
    made = Slice.of(raw)
    assert (made.name, made.state, made.compute_site) == ("enterprise-app", "ACTIVE", "metro1")
    assert [c.id for c in made.connections] == [c["id"] for c in raw["connections"]]
    backhaul = made.connection("compute-core")
    assert (backhaul.src, backhaul.dst, backhaul.required, backhaul.level) == ("metro1", "core1", "qkd", "qkd")
    assert backhaul.path
    assert backhaul.backup
    assert not set(backhaul.path) & set(backhaul.backup)
    assert backhaul.is_encrypted  # as the measuring programs see it
    with pytest.raises(KeyError, match="compute-core"):
        made.connection("nothing")


def test_a_slice_that_waits_for_its_start_has_no_connections(client: Client) -> None:
    raw = client.call("POST", "/v1/slices", raw_request("cdn", start="2100-01-01T00:00:00Z"))[2]
    assert Slice.of(raw).connections == ()


def test_the_report_shows_all_of_it_and_is_well_formed(client: Client) -> None:
    made = Slice.of(client.call("POST", "/v1/slices", raw_request("enterprise-app"))[2])
    channels = tuple(Channel.of(c) for c in client.call("GET", "/v1/topology")[2]["channels"])
    seen = Snapshot(client.bench.topology, (made,), channels, Keys.of(KEYS), ("link down metro1-core1-ch4",))
    page = render(seen)
    ET.fromstring(page.partition("\n")[2])
    for text in ("enterprise-app/compute-core", "link down metro1-core1-ch4", "not known yet"):
        assert text in page
    assert seen.to_json()["sections"][0]["secret_bps"] is None
    document = json.loads(json.dumps(seen.to_json()))
    document["slices"][0]["request"] = None
    assert (unknown(document, "FOLDER/report.json"), missing(document, "FOLDER/report.json")) == ([], [])
