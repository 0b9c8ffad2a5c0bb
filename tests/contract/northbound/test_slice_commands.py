"""``qslice slice`` over the real API: what a person reads of a plan, what a patch is made of, exports."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.commands.slices import life_cycle as slices
from scripts.cli.commands.slices import reading, reserving
from scripts.cli.commands.slices.times import time_text
from scripts.cli.main import prepared
from scripts.errors import DidNotHold, WrongRequest
from scripts.testbed.paths import Layout
from scripts.testbed.slice_requests import load_example
from tests.support.api_client import Client
from tests.support.controller_bench import Bench
from topologies.catalog import ukqntel


class System:
    """As much of a running system as the commands ask for."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, _, answer = self._client.call(method, path, b"" if body is None else body)
        return status, answer


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client(Bench(ukqntel(), tmp_path / "db"))
    for module in (slices, reading, reserving):
        monkeypatch.setattr(module, "controller_of", lambda _arguments, _layout: System(client))
    return client


def qslice(*words: str) -> int:
    arguments = prepared(["slice", *words])
    code: int = arguments.run(arguments, Layout())
    return code


def test_a_dry_run_prints_the_whole_plan(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert qslice("create", "--example", "enterprise-app", "--dry-run") == 0
    printed = capsys.readouterr().out
    plan = client.call("POST", "/v1/slices?dry_run=true", load_example("enterprise-app"))[2]
    for connection in plan["connections"]:
        assert connection["name"] in printed
        assert all(channel in printed for channel in connection["path"])
        assert str(connection["cost"]) in printed
    for site, switch in plan["switches"].items():
        assert f"Switch {site}" in printed
        assert all(", ".join(rule["actions"]) in printed for rule in switch["rules"])
        assert all(f"meter {meter['id']}: {meter['rate_kbps']} kbit/s" in printed for meter in switch["meters"])
    assert all(section in printed for section in plan["key_rate_bps"])
    assert client.call("GET", "/v1/slices")[2] == {"slices": []}


def test_a_patch_from_a_file_and_from_words(client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert qslice("create", "--example", "cdn") == 0
    file = tmp_path / "patch.yaml"
    file.write_text("connections: {access: {bandwidth_mbps: 6}}\n")
    wanted = ("--set", "connections.control.bandwidth_mbps=2", "--set", "connections.access.security=[qra, qkd]")
    assert qslice("patch", "cdn", str(file), *wanted, "--dry-run") == 0
    assert "would fit" in capsys.readouterr().out
    assert qslice("patch", "cdn", str(file), *wanted) == 0
    request = client.call("GET", "/v1/slices/cdn")[2]["request"]["connections"]
    assert (request["access"]["bandwidth_mbps"], request["control"]["bandwidth_mbps"]) == (6, 2)
    assert set(request["access"]["security"]) == {"qra", "qkd"}
    with pytest.raises(DidNotHold, match="would fit"):
        qslice("patch", "cdn", "--set", "connections.access.bandwidth_mbps=5000")


@pytest.mark.parametrize("words", [[], ["--set", "x"], ["--set", "=1"], ["--set", "a..b=1"], ["--set", "a=[1"],
                                   ["--set", "a=1", "--set", "a.b=2"]])  # fmt: skip
def test_a_patch_that_says_nothing_or_nonsense_is_refused(client: Client, words: list[str]) -> None:
    with pytest.raises(WrongRequest):
        qslice("patch", "cdn", *words)


@pytest.mark.parametrize(("name", "key"), [("ietf", "ietf-network-slice-service:network-slice-services"),
                                           ("3gpp", "serviceProfileId")])  # fmt: skip
def test_a_slice_is_shown_in_other_standards_words(
    client: Client, capsys: pytest.CaptureFixture[str], name: str, key: str
) -> None:
    qslice("create", "--example", "cdn")
    capsys.readouterr()
    assert qslice("show", "cdn", "--format", name) == 0
    assert key in json.loads(capsys.readouterr().out)


def test_a_list_goes_through_all_pages(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for example in ("cdn", "enterprise-app"):
        qslice("create", "--example", example)
    pages = {"/v1/slices": "/v1/slices?limit=1"}
    call = client.call

    def in_small_pages(method: str, path: str, body: Any = b"") -> tuple[int, dict[str, str], Any]:
        return call(method, pages.get(path, path), body)

    monkeypatch.setattr(client, "call", in_small_pages)
    capsys.readouterr()
    qslice("list", "--json")
    assert [s["name"] for s in json.loads(capsys.readouterr().out)] == ["cdn", "enterprise-app"]


def test_what_is_reserved_is_activated_by_its_name_or_its_id_while_time_is_left(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qslice("reserve", "--example", "cdn", "--seconds", "600") == 0
    assert "cdn is reserved, " in capsys.readouterr().out
    assert qslice("list") == 0
    assert "left to activate it" in capsys.readouterr().out
    assert qslice("show", "cdn") == 0
    assert "left to activate it" in capsys.readouterr().out
    with pytest.raises(WrongRequest, match=r"no reservation is held for 'other'; there is cdn \(.* left\)"):
        qslice("activate", "other")
    assert qslice("activate", "cdn") == 0
    assert "cdn is ACTIVE" in capsys.readouterr().out
    assert qslice("reserve", "--example", "enterprise-app", "--json") == 0
    held = json.loads(capsys.readouterr().out)
    assert qslice("activate", held["id"], "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "enterprise-app"
    with pytest.raises(WrongRequest, match="there is none"):
        qslice("activate", "cdn")


def test_a_reservation_whose_time_is_over_activates_nothing(client: Client) -> None:
    qslice("reserve", "--example", "cdn", "--seconds", "5")
    held = client.call("GET", "/v1/reservations")[2]["reservations"][0]
    calls = System(client)
    client.bench.now += 6
    with pytest.raises(WrongRequest, match="there is none"):
        qslice("activate", "cdn")
    assert calls.call("POST", f"/v1/reservations/{held['id']}/commit")[0] == 410
    assert client.call("GET", "/v1/slices")[2] == {"slices": []}


@pytest.mark.parametrize("words", [[], ["x.yaml", "--example", "cdn"], ["--example", "cdn", "--wait", "-1"]])
def test_a_reservation_of_nothing_or_of_two_things_is_refused(client: Client, words: list[str]) -> None:
    with pytest.raises(WrongRequest):
        qslice("reserve", *words)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": "RESERVED", "expires_at": "2030-01-01T00:01:05Z"}, "1 min 5 s left to activate it"),
        ({"state": "RESERVED", "expires_at": "2029-01-01T00:01:05Z"}, "0 s left to activate it"),
        ({"state": "SCHEDULED", "request": {"start": "2030-01-01T02:03:00Z"}}, "begins in 2 h 3 min"),
        ({"state": "ACTIVE", "request": {"start": "2029-01-01T02:03:00Z", "end": "2030-01-03T02:00:00Z"}},
         "ends in 2 d 2 h"),
        ({"state": "SCHEDULED", "occurrence": {"number": 3, "start": "2030-01-01T00:00:09Z", "end": ""}},
         "begins in 9 s, occurrence 3"),
        ({"state": "ACTIVE"}, ""),
        ({"state": "SCHEDULED"}, ""),
        ({"state": "FAILED", "request": {"end": "2030-01-03T02:00:00Z"}}, ""),
    ],
)  # fmt: skip
def test_a_person_reads_how_long_it_is_until_the_clock_does_something(changes: dict[str, Any], text: str) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    assert time_text({"request": {}, "occurrence": None, "expires_at": None} | changes, now) == text
