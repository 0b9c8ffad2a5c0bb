"""Bad input and bad times: every refusal names the field or the state, and nothing is changed by it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.paths import REPOSITORY
from tests.support.api_client import Client
from tests.support.controller_bench import Bench, raw_request
from tests.support.running_controller import RunningController
from topologies.catalog import ukqntel


@pytest.fixture
def client(tmp_path: Path) -> Client:
    client = Client(Bench(ukqntel(), tmp_path / "db"))
    assert client.call("POST", "/v1/slices", raw_request("cdn"))[0] == 201
    return client


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (raw_request("cdn", name="b", colour="blue"), "colour"),
        (raw_request("cdn", {"access": {"speed": 1}}, name="b"), "connections.access.speed"),
        (raw_request("cdn", {"backhaul": {"security": ["qkd", "none"]}}, name="b"), "connections.backhaul.security"),
        (raw_request("cdn", {"backhaul": {"security": ["qkd", "qkd"]}}, name="b"), "connections.backhaul.security"),
        (raw_request("cdn", name="b", cells=["cell1", "cell1"]), "cells"),
        (raw_request("cdn", name="b", cells=[]), "cells"),
        (raw_request("cdn", name="b", core="cell9"), "core"),
        (raw_request("cdn", name="b", end="2001-01-01T00:00:00Z"), "end"),
        (raw_request("cdn", name="b", start="2030-01-02T00:00:00Z", end="2030-01-01T00:00:00Z"), "end"),
        (raw_request("cdn", name="b", start="tomorrow"), "start"),
        (raw_request("cdn", name="b", start=1e999), "start"),
        (raw_request("cdn", name="../b"), "name"),
        (raw_request("cdn", name="b", compute={"site": "agg1", "vcpus": -1, "memory_gb": 1}), "compute.vcpus"),
        (raw_request("cdn", name="b", compute={"site": "agg1", "vcpus": 10**30, "memory_gb": 1}), "compute.vcpus"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_request_names_the_field_wherever_it_is_sent(client: Client, request_: Any, field: str) -> None:
    before, stream = client.bench.state(), client.bench.events.totals()
    for path, body, prefix in (
        ("/v1/slices", request_, ""),
        ("/v1/slices?dry_run=true", request_, ""),
        ("/v1/batches", {"slices": [request_]}, "slices.0."),
        ("/v1/reservations", {"slice": request_}, "slice."),
        ("/v1/feasibility-jobs", {"slice": request_}, "slice."),
    ):
        status, _, problem = client.call("POST", path, body)
        assert status == 422, (path, problem)
        told = problem["errors"][0]["field"]
        # What the clock finds wrong is found by the core, which does not know where in a body the slice stood.
        assert told == prefix + field or (field == "end" and told == "end")
    assert client.bench.state() == before
    assert client.bench.events.totals() == stream


def test_of_two_writers_the_second_is_told_what_the_first_is_doing(client: Client) -> None:
    seen: list[tuple[int, Any]] = []
    patch = {"connections": {"access": {"bandwidth_mbps": 5}}}

    def meanwhile(step: str) -> None:
        if step == "change.4-transit-confirmed":
            status, _, problem = client.call("PATCH", "/v1/slices/cdn", {"connections": {"control": {"rekey_s": 9}}})
            seen.append((status, problem["detail"]))

    client.bench.at_checkpoint = meanwhile
    status, _, after = client.call("PATCH", "/v1/slices/cdn", patch)
    assert (status, after["request"]["connections"]["access"]["bandwidth_mbps"]) == (200, 5)
    assert after["request"]["connections"]["control"]["rekey_s"] == 3
    assert seen == [(409, "slice cdn is MODIFYING: it cannot be changed now")]


def writes(client: Client) -> list[tuple[int, Any]]:
    """One of each kind of write that the journal must take."""
    patch = {"connections": {"access": {"bandwidth_mbps": 5}}}
    answers = [
        client.call("POST", "/v1/slices", raw_request("enterprise-app")),
        client.call("POST", "/v1/reservations", {"slice": raw_request("enterprise-app")}),
        client.call("POST", "/v1/batches", {"slices": [raw_request("enterprise-app")]}),
        client.call("PATCH", "/v1/slices/cdn", patch),
        client.call("DELETE", "/v1/slices/cdn"),
    ]
    return [(status, problem) for status, _, problem in answers]


def test_a_locked_database_refuses_every_write_and_nothing_is_changed(client: Client) -> None:
    before = client.bench.state()
    other = sqlite3.connect(client.bench.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for status, problem in writes(client):
        assert (status, "locked" in problem["detail"]) == (503, True)
    other.execute("ROLLBACK")
    other.close()
    assert client.bench.state() == before
    assert client.call("DELETE", "/v1/slices/cdn")[0] == 200


def test_a_full_database_refuses_a_write_and_nothing_is_changed(client: Client) -> None:
    database = client.bench.store._db
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    for i in range(200):  # until the free room in the last pages is used up
        before = client.bench.state()
        request = raw_request("cdn", name=f"s{i}", start="2030-01-31T22:00:00Z")
        status, _, problem = client.call("POST", "/v1/slices", request)
        if status != 201:
            break
    assert (status, "full" in problem["detail"]) == (503, True)
    assert client.bench.state() == before
    database.execute("PRAGMA max_page_count = 1000000")
    assert client.call("POST", "/v1/slices", request)[0] == 201


def started(directory: Path, prepare: Any) -> tuple[int, str]:
    """Exit status and last words of a controller started after ``prepare`` has been at its files."""
    running = RunningController(directory)
    prepare(directory)
    path = directory / "controller.json"
    path.write_text(json.dumps(running.config))
    done = subprocess.run(
        [sys.executable, "-m", "controller", "--config", str(path)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    running.__exit__()
    return done.returncode, done.stderr


def test_a_database_of_another_version_is_left_alone(tmp_path: Path) -> None:
    def prepare(directory: Path) -> None:
        database = sqlite3.connect(directory / "controller.sqlite")
        database.execute("PRAGMA user_version = 99")
        database.execute("CREATE TABLE treasure (x)")
        database.commit()
        database.close()

    status, words = started(tmp_path, prepare)
    assert status == 3
    assert "version 99" in words
    database = sqlite3.connect(tmp_path / "controller.sqlite")
    assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("treasure",)]
    database.close()


@pytest.mark.parametrize(("text", "mode", "said"), [("secret-token\n", 0o644, "others"), ("", 0o644, "others")])
@pytest.mark.parametrize("name", ["token", "token.viewer"])
def test_a_token_file_that_cannot_be_trusted_ends_the_start(
    tmp_path: Path, name: str, text: str, mode: int, said: str
) -> None:
    def prepare(directory: Path) -> None:
        (directory / name).write_text(text)
        os.chmod(directory / name, mode)

    status, words = started(tmp_path, prepare)
    assert (status, said in words, "Traceback" in words) == (2, True, False)
    assert "secret-token" not in words
