"""``qslice slice`` over the real API: what a person reads of a plan, what a patch is made of, exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.commands.slices import life_cycle as slices
from scripts.cli.commands.slices import reading
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
    for module in (slices, reading):
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
