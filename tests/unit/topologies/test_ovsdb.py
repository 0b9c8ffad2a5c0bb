"""The client of Open vSwitch's database against one that answers in pieces, asks back, or refuses."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.wait import wait_until
from topologies.errors import NetworkError
from topologies.ovsdb import Database

Serve = Callable[[socket.socket], None]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Serve], None]]:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "db.sock"))
    listener.listen()
    threads: list[threading.Thread] = []

    def start(how: Serve) -> None:
        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                how(connection)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(10)
    listener.close()


def answer(connection: socket.socket, results: list[Any]) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads(connection.recv(1 << 16))
    connection.sendall(json.dumps({"id": asked["id"], "result": results, "error": None}).encode())
    return asked


def test_answers_come_in_pieces_and_questions_in_between(
    serve: Callable[[Serve], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topologies.ovsdb._READ_BYTES", 1)  # half a character, too
    heard: list[Any] = []

    def how(connection: socket.socket) -> None:
        asked = json.loads(connection.recv(1 << 16))
        connection.sendall(json.dumps({"method": "echo", "id": "echo", "params": ["still there?"]}).encode())
        heard.append(json.loads(connection.recv(1 << 16)))
        text = json.dumps({"id": asked["id"], "result": [{"rows": [{"name": "é"}]}], "error": None}, ensure_ascii=False)
        connection.sendall(text.encode())

    serve(how)
    with Database() as database:
        assert database.transact([{"op": "select"}]) == [{"rows": [{"name": "é"}]}]
    assert heard == [{"id": "echo", "result": ["still there?"], "error": None}]


def test_a_refusal_says_what_was_refused(serve: Callable[[Serve], None]) -> None:
    refused = {"error": "constraint violation", "details": "two bridges called qs-cell1"}
    serve(lambda connection: (answer(connection, [{}, refused]), None)[1])
    with Database() as database, pytest.raises(NetworkError, match="two bridges called qs-cell1"):
        database.transact([{"op": "insert"}])


def test_what_is_configured_is_waited_for(serve: Callable[[Serve], None]) -> None:
    asked: list[str] = []

    def how(connection: socket.socket) -> None:
        asked.append(answer(connection, [{}, {"count": 1}, {"rows": [{"next_cfg": 8}]}])["params"][2]["op"])
        for done in (7, 7, 9):  # somebody else has configured more meanwhile
            asked.append(answer(connection, [{"rows": [{"cur_cfg": done}]}])["params"][1]["columns"][0])

    serve(how)
    with Database() as database:
        database.configure([{"op": "insert"}])
    wait_until(lambda: asked == ["mutate", "cur_cfg", "cur_cfg", "cur_cfg"], timeout_s=5)


def test_nobody_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    with pytest.raises(NetworkError, match="Open vSwitch does not answer"):
        Database()
