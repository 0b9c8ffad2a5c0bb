"""`slice create` of a file with many requests: each is tried, and what was refused decides the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.cli import main
from scripts.cli.commands.slices import life_cycle as slices
from scripts.errors import EnvironmentLacks
from scripts.testbed.clients import Answer, Northbound
from scripts.testbed.paths import Layout

FILE = """
slices:
- name: 2026
  sNSSAI: {sst: 1, sd: 100000}
  connections: []
- name: second
  sNSSAI: {sst: 1, sd: 100001}
  connections: []
"""


class Controller:
    """Has room for slices of the names that it is told, and remembers what it was asked."""

    def __init__(self, *room: str) -> None:
        self._room = room
        self.asked: list[Any] = []

    def call(self, _method: str, path: str, body: Any) -> Answer:
        self.asked.append((path, body))
        if body["name"] in self._room:
            return 201, {"name": body["name"], "state": "active", "connections": [1, 2]}
        return 422, {"detail": "it does not fit", "code": "infeasible", "reasons": []}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "slices.yaml"
    path.write_text(FILE)
    return str(path)


def test_all_are_created_in_their_order(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    controller = Controller("2026", "second")
    monkeypatch.setattr(slices, "controller_of", lambda _arguments, _layout: controller)
    assert main.main(["slice", "create", file]) == 0
    assert [(path, body["name"], body["sNSSAI"]["sd"]) for path, body in controller.asked] == [
        ("/v1/slices", "2026", "100000"), ("/v1/slices", "second", "100001")
    ]  # fmt: skip
    assert "2 of 2 slices, 4 connections" in capsys.readouterr().out


def test_one_that_is_refused_does_not_stop_the_others(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    controller = Controller("second")
    monkeypatch.setattr(slices, "controller_of", lambda _arguments, _layout: controller)
    assert main.main(["slice", "create", file, "--dry-run", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [body["name"] for body in told["slices"]] == ["second"]
    problem = {"detail": "it does not fit", "code": "infeasible", "reasons": []}
    assert told["refused"] == [{"name": "2026", "error": "no feasible path", "problem": problem}]
    assert {path for path, _ in controller.asked} == {"/v1/slices?dry_run=true"}


def test_a_wrong_option_is_told_once_and_asks_nothing(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    controller = Controller("2026", "second")
    monkeypatch.setattr(slices, "controller_of", lambda _arguments, _layout: controller)
    assert main.main(["slice", "create", file, "--wait", "-1"]) == 2
    assert capsys.readouterr().err.count("--wait") == 1
    assert controller.asked == []


def test_that_nothing_runs_is_told_once(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing_runs(_arguments: object, _layout: Layout) -> Northbound:
        raise EnvironmentLacks("no network is up")

    monkeypatch.setattr(slices, "controller_of", nothing_runs)
    assert main.main(["slice", "create", file]) == EnvironmentLacks.exit_status
    told = capsys.readouterr()
    assert (told.out + told.err).count("no network is up") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slices: []", "slices: a list of slice requests"),
        ("slices: [1]", "slices: a list of slice requests"),
        ("slices: [{name: a}]\nname: b", "name: beside `slices` there is nothing else"),
    ],
)
def test_a_file_that_is_wrong_asks_nothing(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    controller = Controller()
    monkeypatch.setattr(slices, "controller_of", lambda _arguments, _layout: controller)
    path = tmp_path / "slices.yaml"
    path.write_text(text)
    assert main.main(["slice", "create", str(path)]) == 2
    assert said in capsys.readouterr().err
    assert controller.asked == []
