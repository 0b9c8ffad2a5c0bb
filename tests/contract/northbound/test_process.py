"""The controller process and clients that are slow, silent, greedy or talk something else than HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.controller_bench import raw_request
from tests.support.running_controller import RunningController, parse_answer
from tests.support.wait import PATIENCE, wait_until

HEADER_S, BODY_S, IDLE_S, WRITE_S = 0.4, 0.5, 0.6, 0.7
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningController]:
    limits: dict[str, Any] = {"header_s": HEADER_S, "body_s": BODY_S, "idle_s": IDLE_S, "write_s": WRITE_S}
    with RunningController(tmp_path_factory.mktemp("api"), **limits) as running:
        yield running
        assert "Traceback" not in running.log_path.read_text()


def assert_problem(headers: dict[str, str], body: bytes, status: int) -> None:
    assert headers["content-type"] == PROBLEM
    document = json.loads(body)
    assert document["status"] == status
    assert document.keys() >= {"type", "title", "detail", "instance"}


def test_both_tokens_are_made_private_and_neither_is_in_the_log(controller: RunningController) -> None:
    log = controller.log_path.read_text()
    for name in ("token", "token.viewer"):
        assert stat.S_IMODE((controller.directory / name).stat().st_mode) == 0o600
        assert len(controller.token(name)) >= 40
        assert controller.token(name) not in log
    assert controller.token() != controller.token("token.viewer")


def test_roles_over_the_wire(controller: RunningController) -> None:
    request = raw_request("cdn")
    assert controller.call("POST", "/v1/slices?dry_run=true", request)[0] == 401
    assert controller.call("POST", "/v1/slices?dry_run=true", request, controller.token("token.viewer"))[0] == 403
    assert controller.call("POST", "/v1/slices?dry_run=true", request, controller.token())[0] == 200
    assert controller.call("GET", "/v1/slices", token=controller.token("token.viewer"))[0] == 200


def test_without_switches_a_creation_fails_whole(controller: RunningController) -> None:
    status, headers, problem = controller.call("POST", "/v1/slices", raw_request("cdn"), controller.token())
    assert (status, headers["Content-Type"]) == (503, PROBLEM)
    assert problem["instance"] == "/v1/slices"
    assert controller.call("GET", "/v1/slices")[2] == {"slices": []}
    topology = controller.call("GET", "/v1/topology")[2]
    assert not any(channel["reserved_mbps"] for channel in topology["channels"])


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(200)) + b"\r\n", 431),
        (b"POST /v1/slices HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/slices HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /v1/slices HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /v1/slices HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n", 401),
        (b"BREW /v1/slices HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
    ],
)
def test_what_is_no_sound_request_is_answered_by_a_problem(
    controller: RunningController, raw: bytes, status: int
) -> None:
    answered, headers, body, took_s = controller.exchange(raw)
    assert answered == status
    assert_problem(headers, body, status)
    assert took_s < 10 * PATIENCE


def test_a_body_that_never_comes_is_not_waited_for(controller: RunningController) -> None:
    head = (
        f"POST /v1/slices HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {controller.token()}\r\n"
        "Content-Type: application/json\r\n"
    )
    raw = f"{head}Content-Length: 100\r\n\r\n{{".encode()
    status, headers, body, took_s = controller.exchange(raw)
    assert status == 408
    assert_problem(headers, body, 408)
    assert took_s >= BODY_S * 0.9
    status, headers, body, _ = controller.exchange(raw, half_close=True)
    assert status == 400
    assert_problem(headers, body, 400)


@pytest.mark.parametrize("part", [b"GET /v1/slices HTTP/1.1\r\n", b"GET /v1/slices HTTP/1.1\r\nA: b\r\n", b"G"])
def test_a_client_that_trickles_its_head_is_sent_away(controller: RunningController, part: bytes) -> None:
    """Slow loris: each byte comes in time, the whole never does."""
    with controller.connect() as sock:
        sock.sendall(part)
        ended = threading.Event()

        def trickle() -> None:
            with suppress(OSError):
                while not ended.wait(HEADER_S / 4):
                    sock.sendall(b"X")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            received = b""
            with suppress(ConnectionError):
                while chunk := sock.recv(65536):
                    received += chunk
        finally:
            ended.set()
            thread.join()
    status, headers, body = parse_answer(received)
    assert status == 408
    assert_problem(headers, body, 408)


def test_silent_connections_end_and_hold_nobody_up(controller: RunningController) -> None:
    idle = [controller.connect() for _ in range(100)]
    assert controller.call("GET", "/v1/healthz")[0] == 200
    for sock in idle:
        assert sock.recv(1) == b""  # the server's end, after IDLE_S
        sock.close()


def test_a_connection_serves_many_requests_and_survives_a_refusal(controller: RunningController) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", controller.port, timeout=10 * PATIENCE)
    for method, path, status in (
        ("GET", "/v1/healthz", 200), ("HEAD", "/v1/slices", 200), ("OPTIONS", "/v1/slices", 204),
        ("GET", "/nowhere", 404), ("GET", "/v1/slices", 200),
    ):  # fmt: skip
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == status
        assert bool(body) is (method == "GET")
    assert connection.sock is not None
    connection.close()


def test_a_refused_body_is_not_taken_for_the_next_request(controller: RunningController) -> None:
    smuggled = b"DELETE /v1/slices/cdn HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = b"POST /v1/topology HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
    with controller.connect() as sock:
        sock.sendall(head + smuggled)
        received = b""
        with suppress(ConnectionError):
            while chunk := sock.recv(65536):
                received += chunk
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 405 ")


def test_events_arrive_as_they_happen_and_a_reader_comes_back_where_he_was(controller: RunningController) -> None:
    def follow(last: str | None = None) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", controller.port, timeout=10 * PATIENCE)
        connection.request("GET", "/v1/events", headers={} if last is None else {"Last-Event-ID": last})
        response = connection.getresponse()
        assert response.getheader("Content-Type") == "text/event-stream"
        return connection, response

    def next_id(response: http.client.HTTPResponse) -> str:
        while not (line := response.readline()).startswith(b"id: "):
            assert line
        return line.split()[1].decode()

    connection, response = follow()
    held = controller.call("POST", "/v1/reservations", {"slice": raw_request("cdn")}, controller.token())[2]
    first = next_id(response)
    connection.close()
    controller.call("DELETE", f"/v1/reservations/{held['id']}", token=controller.token())
    connection, response = follow(first)
    assert int(next_id(response)) == int(first) + 1
    connection.close()


def test_a_reader_of_events_who_does_not_read_is_dropped(controller: RunningController) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", controller.port, timeout=10 * PATIENCE)
    headers = {"Authorization": f"Bearer {controller.token()}", "Content-Type": "application/json"}
    body = json.dumps({"slice": raw_request("cdn")})

    def make_news() -> int:
        """Two events; answers how many readers there are after them."""
        connection.request("POST", "/v1/reservations", body, headers)
        held = json.loads(connection.getresponse().read())
        connection.request("DELETE", f"/v1/reservations/{held['id']}", headers=headers)
        connection.getresponse().read()
        return followers(controller)

    wait_until(lambda: make_news() == 0, 10)  # earlier tests' readers
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least the kernel allows
    sock.settimeout(20)
    sock.connect(("127.0.0.1", controller.port))
    try:
        sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0\r\n\r\n")
        wait_until(lambda: followers(controller) == 1, 10)
        # What is not read first fills the kernel's buffers; then the server waits for WRITE_S, and gives up.
        wait_until(lambda: make_news() == 0, 60)
    finally:
        sock.close()
        connection.close()


def followers(controller: RunningController) -> int:
    text = controller.call("GET", "/metrics")[2].decode()
    return int(text.partition("\nqslice_event_followers ")[2].split()[0])


def test_reads_can_be_closed_by_configuration(tmp_path: Path) -> None:
    with RunningController(tmp_path, require_token_for_reads=True) as running:
        assert running.call("GET", "/v1/slices")[0] == 401
        assert running.call("GET", "/v1/slices", token=running.token("token.viewer"))[0] == 200
        assert running.call("GET", "/v1/healthz")[0] == 200
