"""Under whose names the API answers: a page that has its own name resolve to our address reads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.northbound.http.problems import Problem
from controller.northbound.http.targets import Hosts
from tests.support.running_controller import RunningController

ATTACKER = "attacker.example"


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningController]:
    with RunningController(tmp_path_factory.mktemp("api"), hosts=["slices.lab"]) as running:
        yield running


def status_for(controller: RunningController, *hosts: str, target: str = "/v1/topology", version: str = "1.1") -> int:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    head = f"GET {target} HTTP/{version}\r\n{lines}Connection: close\r\n\r\n"
    return controller.exchange(head.encode("latin-1"))[0]


@pytest.mark.parametrize(
    "host",
    [ATTACKER, f"{ATTACKER}:8080", "localhost.attacker.example", "192.0.2.1", "127.0.0.1.nip.io", "0.0.0.0:80"],
)
def test_fault_25_a_page_whose_name_leads_here_reads_nothing(controller: RunningController, host: str) -> None:
    status, headers, body, _ = controller.exchange(f"GET /v1/topology HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert status == 421
    assert headers["content-type"] == "application/problem+json"
    assert b"api.hosts" in body
    assert b"channels" not in body
    assert status_for(controller, host, version="1.0") == 421
    assert status_for(controller, "localhost", target=f"http://{host}/v1/topology") == 421
    assert status_for(controller, host, target="/v1/events") == 421


def test_fault_25_the_attack_succeeds_where_the_name_is_let_in(tmp_path: Path) -> None:
    with RunningController(tmp_path, hosts=[ATTACKER]) as careless:
        status, _, body, _ = careless.exchange(
            f"GET /v1/topology HTTP/1.1\r\nHost: {ATTACKER}:8080\r\nConnection: close\r\n\r\n".encode()
        )
    assert status == 200
    assert b'"channels"' in body


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.0.0.1:8080", "127.8.8.8", "[::1]:8080",
     "[::ffff:127.0.0.1]", "slices.lab", "Slices.Lab.:443"],
)  # fmt: skip
def test_names_of_the_machine_itself_and_those_configured_are_answered(
    controller: RunningController, host: str
) -> None:
    assert status_for(controller, host) == 200


def test_fault_25_one_host_and_only_one_is_named(controller: RunningController) -> None:
    assert status_for(controller) == 400
    assert status_for(controller, "localhost", ATTACKER) == 400
    assert status_for(controller, ATTACKER, "localhost") == 400
    for wrong in ("", "localhost, attacker.example", "user@localhost", "localhost/x", "a b", "localhost:x", "[::1"):
        assert status_for(controller, wrong) == 400, wrong
    # Before Host there was: no browser speaks 1.0 without it.
    assert status_for(controller, version="1.0") == 200


def test_the_address_that_was_connected_to_needs_no_name() -> None:
    Hosts().check("192.0.2.7:8080", "192.0.2.7")
    Hosts().check("[2001:db8::7]", "2001:DB8:0::7")
    Hosts(["::"]).check("[fe80::1]", "fe80::1%eth0")
    with pytest.raises(Problem):
        Hosts().check("192.0.2.8", "192.0.2.7")
