"""Requests as other clients write them (RFC 9110, RFC 9112): what is meant is taken, what is cut short is not done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api_client import Client
from tests.support.controller_bench import Bench, raw_request
from tests.support.running_controller import RunningController, parse_answer
from topologies.catalog import ukqntel

HOST = "Host: localhost\r\n"


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningController]:
    with RunningController(tmp_path_factory.mktemp("api"), header_s=2.0) as running:
        yield running


def ask(controller: RunningController, first_line: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
    head = "\r\n".join((first_line, "Host: localhost", "Connection: close", *headers, "", ""))
    return controller.exchange(head.encode("latin-1"))[:3]


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "http://localhost/v1/healthz", 200),
        ("GET", "HTTP://127.0.0.1:8080/v1/slices?limit=1", 200),
        ("GET", "http://[::1]/v1/slices?limit=0", 422),
        ("GET", "http://localhost", 404),
        ("GET", "http://localhost?limit=1", 404),
        ("OPTIONS", "http://localhost/v1/slices", 204),
        ("OPTIONS", "http://localhost", 204),
        ("OPTIONS", "*", 204),
        ("GET", "*", 400),
        ("GET", "v1/healthz", 400),
        ("GET", "https://localhost/v1/healthz", 421),
        ("GET", "http:///v1/healthz", 400),
        ("GET", "http://me:secret@localhost/v1/healthz", 400),
        ("CONNECT", "localhost:443", 501),
    ],
)
def test_fault_33_a_target_in_any_form_is_understood(
    controller: RunningController, method: str, target: str, status: int
) -> None:
    answered, headers, body = ask(controller, f"{method} {target} HTTP/1.1")
    assert answered == status, body
    if status >= 400:
        assert headers["content-type"] == "application/problem+json"
    if method == "OPTIONS":
        expected = (
            "GET, HEAD, OPTIONS, POST" if target.endswith("slices") else "DELETE, GET, HEAD, OPTIONS, PATCH, POST"
        )
        assert headers["allow"] == expected


def test_fault_33_the_host_in_the_target_goes_before_the_header(controller: RunningController) -> None:
    head = "GET http://localhost/v1/healthz HTTP/1.1\r\nHost: proxy.example\r\nConnection: close\r\n\r\n"
    assert controller.exchange(head.encode())[0] == 200


@pytest.mark.parametrize("last", ["", " ", "\t"])
def test_fault_33_an_empty_last_event_id_is_none(controller: RunningController, last: str) -> None:
    with controller.connect() as sock:
        sock.sendall(f"GET /v1/events HTTP/1.1\r\n{HOST}Last-Event-ID:{last}\r\n\r\n".encode())
        status, headers, _ = parse_answer(sock.recv(65536))
    assert (status, headers["content-type"]) == (200, "text/event-stream")


def test_fault_33_an_empty_last_event_id_begins_with_what_comes(tmp_path: Path) -> None:
    client = Client(Bench(ukqntel(), tmp_path / "db"))
    assert client.call("HEAD", "/v1/events", HTTP_LAST_EVENT_ID="")[0] == 200


@pytest.mark.parametrize(
    "media_type",
    ["application/json; charset=utf-8", "application/json;charset=UTF8", 'Application/JSON ; Charset="utf-8"',
     "application/json;", "application/json; charset=", "application/json; q=1; charset=us-ascii"],
)  # fmt: skip
def test_fault_33_json_has_one_charset_however_it_is_called(controller: RunningController, media_type: str) -> None:
    body = json.dumps(raw_request("cdn"))
    status, _, answer = ask_with_body(controller, body, media_type)
    assert status == 200, answer


def ask_with_body(controller: RunningController, body: str, media_type: str) -> tuple[int, dict[str, str], bytes]:
    head = (
        f"POST /v1/slices?dry_run=true HTTP/1.1\r\n{HOST}Authorization: bearer  {controller.token()}\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return controller.exchange(f"{head}{body}".encode())[:3]


@pytest.mark.parametrize("empty", [b"\r\n", b"\n", b"\r\n\r\n"])
def test_fault_33_an_empty_line_before_a_request_is_overlooked(controller: RunningController, empty: bytes) -> None:
    head = b"GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert controller.exchange(empty + head)[0] == 200


@pytest.mark.parametrize("options", ["close, TE", "TE , Close", "te,close"])
def test_fault_33_close_among_others_closes(controller: RunningController, options: str) -> None:
    head = f"GET /v1/healthz HTTP/1.1\r\n{HOST}Connection: {options}\r\n\r\n"
    status, headers, _, _ = controller.exchange(head.encode())
    assert (status, headers["connection"]) == (200, "close")


@pytest.mark.parametrize("cut", ["", "\r\n", "\r\nX-Later: 1"])
def test_fault_33_a_head_that_is_cut_short_is_not_carried_out(controller: RunningController, cut: str) -> None:
    """RFC 9112, 8: what is still to come may change everything, and here it never comes."""
    made = controller.call("POST", "/v1/reservations", {"slice": raw_request("cdn")}, controller.token())[2]
    path = f"/v1/reservations/{made['id']}"
    head = f"DELETE {path} HTTP/1.1\r\n{HOST}Authorization: Bearer {controller.token()}{cut}"
    status, _, _, _ = controller.exchange(head.encode(), half_close=True)
    assert status == 400
    assert controller.call("GET", path)[0] == 200
    assert controller.call("DELETE", path, token=controller.token())[0] == 200


@pytest.mark.parametrize("line", ["Content-Length : 5", "no header at all", "X Y: 1"])
def test_fault_33_a_line_that_is_no_header_is_refused(controller: RunningController, line: str) -> None:
    """RFC 9112, 5.1: Python's parser takes whatever follows such a line, a length among it, for no headers."""
    head = f"GET /v1/healthz HTTP/1.1\r\n{HOST}{line}\r\nConnection: close\r\n\r\n"
    assert controller.exchange(head.encode(), half_close=True)[0] == 400
