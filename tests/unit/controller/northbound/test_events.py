"""Every event that a life cycle publishes is as the OpenAPI document says, and names what it is about alike."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest

from controller.model import events
from controller.model.events import Happening
from controller.model.key_rates import KeyPool
from controller.northbound.views.events import MEMBERS, event_view
from controller.operations.event_log import Event, EventLog
from controller.operations.healing.connectivity_monitor import SWITCH_GRACE_S
from tests.support.api_client import Client
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring

KINDS: tuple[type[Happening], ...] = get_args(Happening)
NEVER = {"violation", "extension"}  # by what violates nothing and extends nothing
POOL = KeyPool("core1", "metro1", "qkd")


def followed(log: EventLog) -> list[Event]:
    follower = log.follow(0)
    found = []
    while (event := follower.next(0)) is not None:
        found.append(event)
    log.unfollow(follower)
    return found


def validator(client: Client) -> Any:
    """Of the schema ``Event`` in the document that the API serves."""
    _, _, document = client.call("GET", "/openapi.json")
    content = document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    return jsonschema_rs.Draft202012Validator({**content["x-item-schema"], "components": document["components"]})


def live(bench: Bench) -> None:
    """Slices made, short of keys, moved, without a path, on spares and fallbacks, changed, reserved and deleted."""
    slices, maintenance = bench.slices, bench.maintenance
    fibres = [c.id for c in bench.topology.channels if not c.dark]
    bench.key_rates.most_bps = 50
    bench.key_rates.stored[POOL] = 32
    slices.create(request_for("enterprise-app", {"backhaul": {"protection": "restoration"}}, cells=["cell1"]))
    access = {"security": "qkd", "fallback": ["qra", "dh"], "bandwidth_mbps": 1, "latency_ms": 50}
    slices.create(request_for("cdn", {"access": access}, cells=["cell1"]))
    maintenance.poll_keys()
    for section in bench.key_rates.section_ids:
        bench.key_rates.unusable |= {section}
        maintenance.poll_keys()
        bench.now += 1
    bench.key_rates.unusable = frozenset()
    maintenance.poll_keys()
    for channel in fibres:
        bench.cut(channel)
    for channel in fibres:
        bench.mend(channel)
    bench.now += 3600
    maintenance.run_due()
    bench.switches.is_ready = lambda site: site != "metro1"  # type: ignore[method-assign]
    for _ in range(2):
        maintenance.confirm(lambda site: True)
        bench.now += SWITCH_GRACE_S
    bench.switches.is_ready = lambda site: True  # type: ignore[method-assign]
    slices.modify("cdn", {"connections": {"control": {"bandwidth_mbps": 2}}})
    slices.roll_back(slices.reserve(request_for("cdn", name="held"), 60).id)
    for name in ("cdn", "enterprise-app"):
        slices.delete(name)


def test_every_event_of_a_life_is_as_the_document_says_and_names_what_it_is_about_alike(tmp_path: Path) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    schema = validator(Client(bench))
    live(bench)
    bench.switches.tables["agg1"].items.clear()
    bench.repair_all()
    views = [json.loads(json.dumps(event_view(event))) for event in followed(bench.events)]
    for view in views:
        schema.validate(view)
    assert [view["sequence"] for view in views] == sorted({view["sequence"] for view in views})
    assert {view["event"] for view in views} == {kind.kind for kind in KINDS} - NEVER
    connections = [view for view in views if "connection" in view]
    assert connections
    assert all(view["connection"].startswith(f"{view['slice']}/") for view in connections)
    named = {i for view in views for i in view.get("connections", ())}
    assert named
    assert named <= {view["connection"] for view in connections} | {"enterprise-app/compute-core"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_document_describes_the_members_that_an_event_has(kind: type[Happening]) -> None:
    assert MEMBERS[kind].keys() == {field.name for field in fields(kind)}


def test_what_is_not_as_described_is_told_apart(tmp_path: Path) -> None:
    schema = validator(Client(Bench(metro_ring(), tmp_path / "db")))
    view = event_view(Event(1, 2.0, events.Violation("cdn/compute-core", "cdn", "the path ends elsewhere")))
    schema.validate(view)
    for wrong in ({"id": 1}, {"event": "slice"}, {"connection": None}):
        assert not schema.is_valid(view | wrong)
    assert not schema.is_valid({name: value for name, value in view.items() if name != "slice"})
