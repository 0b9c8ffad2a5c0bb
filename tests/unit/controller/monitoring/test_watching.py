"""How closely channels are watched, and when the switches are told."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from controller.model.request import Protection
from controller.monitoring.bfd_intervals import (
    HASTEN_AFTER_S,
    IDLE,
    PACES,
    RELAX_AFTER_S,
    Pace,
    WatchPlan,
    wanted_paces,
)
from controller.southbound.ovsdb import OvsdbClient, OvsdbError
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring

FAST = PACES[Protection.ONE_TO_ONE]


def test_each_channel_is_watched_as_closely_as_what_it_carries_needs(tmp_path: Path) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    control = {"protection": "1:1", "latency_ms": 50}
    bench.slices.create(request_for("enterprise-app", {"control": control}, cells=["cell1"]))
    paces = wanted_paces(bench.topology, bench.model.connections.values())
    assert len(paces) == 2 * len(bench.topology.channels)
    connection = bench.model.connections["enterprise-app/cell1-control"]
    assert len(connection.lanes) == 2
    for lane in connection.lanes:
        for channel in lane.route.channels:
            for site in bench.topology.channel(channel).ends:
                told = paces[bench.topology.port_of(site, channel).interface]
                assert told == FAST
    used = {c for x in bench.model.connections.values() for lane in x.lanes for c in lane.route.channels}
    idle = next(c for c in bench.topology.channels if c.id not in used)
    assert paces[bench.topology.port_of(idle.a, idle.id).interface] == IDLE


def test_a_silent_failure_of_a_working_lane_is_found_within_the_budget() -> None:
    assert FAST.detection_ms <= 50  # of 60 ms for the whole outage


def test_a_change_is_told_when_it_has_been_wanted_for_a_while_and_relaxed_later() -> None:
    plan = WatchPlan()
    assert plan.changes({"p": IDLE}, 0.0) == {}
    assert plan.changes({"p": IDLE}, HASTEN_AFTER_S) == {"p": IDLE}
    plan.told({"p": IDLE})
    assert plan.changes({"p": FAST}, 10.0) == {}
    assert plan.changes({"p": IDLE}, 10.5) == {}  # to and fro: nothing was told, nothing is
    assert plan.changes({"p": FAST}, 11.0) == {}
    assert plan.changes({"p": FAST}, 11.9) == {}
    assert plan.changes({"p": FAST}, 12.0) == {"p": FAST}
    plan.told({"p": FAST})
    assert plan.changes({"p": IDLE}, 20.0) == {}
    assert plan.changes({"p": IDLE}, 20.0 + RELAX_AFTER_S) == {"p": IDLE}


def test_what_has_been_away_is_told_again() -> None:
    plan = WatchPlan()
    plan.changes({"p": IDLE}, 0.0)
    plan.told(plan.changes({"p": IDLE}, 1.0))
    plan.forget(["p", "unknown"])
    assert plan.changes({"p": IDLE}, 2.0) == {"p": IDLE}


def serve_once(path: Path, answer: bytes, asked: list[Any]) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def run() -> None:
        with listener, listener.accept()[0] as connection:
            asked.append(json.loads(connection.recv(1 << 16)))
            for octet in answer:  # in as many pieces as can be
                connection.send(bytes([octet]))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_the_database_is_told_once_for_all_interfaces(tmp_path: Path) -> None:
    asked: list[Any] = []
    thread = serve_once(tmp_path / "db", b'{"id": 1, "result": [{"count": 1}, {"count": 1}], "error": null}', asked)
    OvsdbClient(tmp_path / "db").set_paces({"p1": Pace(5, 8), "p2": IDLE})
    thread.join()
    (request,) = asked
    assert request["method"] == "transact"
    first, second = request["params"][1:]
    assert first["where"][0] == ["name", "==", "p1"]
    assert first["mutations"][1] == ["bfd", "insert", ["map", [["min_tx", "5"], ["min_rx", "5"], ["mult", "8"]]]]
    assert second["where"][0] == ["name", "==", "p2"]


def test_a_refusal_and_an_absent_database_are_errors(tmp_path: Path) -> None:
    thread = serve_once(tmp_path / "db", b'{"id": 1, "result": [{"error": "constraint violation"}], "error": null}', [])
    with pytest.raises(OvsdbError, match="constraint violation"):
        OvsdbClient(tmp_path / "db").set_paces({"p": IDLE})
    thread.join()
    with pytest.raises(OvsdbError, match="No such file"):
        OvsdbClient(tmp_path / "absent").set_paces({"p": IDLE})
