"""Configuration and requests: what is refused, and which field the message names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kms.tunnel.config import AddRequest, load_agent_config, parse_request
from kms.tunnel.errors import ConfigurationError

AGENT: dict[str, Any] = {
    "host": "cell1", "sae_id": "sae-cell1", "control_socket": "/run/x.sock", "underlay_interface": "data0",
    "underlay_address": "172.20.0.2", "kme_url": "https://10.254.1.1:8443", "cert": "c", "key": "k", "ca": "a",
    "unsafe_keylog": None,
}  # fmt: skip
CONNECTION: dict[str, Any] = {
    "id": "slice/conn", "role": "initiator", "mode": "esp", "interface": "q12", "port": 20012,
    "peer_underlay": "172.20.0.4", "local_address": "10.200.0.24", "peer_address": "10.200.0.25",
    "peer_sae": "sae-metro1", "key_source": "qra", "rekey_s": 3.0, "lifetime_s": 60.0,
}  # fmt: skip

IPV6 = {"local_address6": "fd51:5c1c::18", "peer_address6": "fd51:5c1c::19"}
NO_UNICAST6 = ("::", "::1", "ff02::1", "fe80::1", "fe80::1%data0", "fd00::1%data0", "::ffff:10.200.0.1", "10.200.0.1",
               "fd00::/64", "rubbish", "")  # fmt: skip


def add(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "op": "add", "connection": {**CONNECTION, **changes}}


def test_the_example_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "agent.json"
    path.write_text(json.dumps(AGENT))
    assert load_agent_config(path).host == "cell1"
    assert isinstance(parse_request(add()), AddRequest)


def test_ipv6_beside_ipv4_is_accepted() -> None:
    request = parse_request(add(**IPV6))
    assert isinstance(request, AddRequest)
    assert [str(address) for pair in request.connection.pairs for address in pair] == [
        "10.200.0.24", "10.200.0.25", "fd51:5c1c::18", "fd51:5c1c::19",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"port": 0}, "connection.port"),
        ({"port": 65536}, "connection.port"),
        ({"port": "many"}, "connection.port"),
        ({"role": "boss"}, "connection.role"),
        ({"mode": "rot13"}, "connection.mode"),
        ({"interface": "a name with spaces"}, "connection.interface"),
        ({"interface": "-batch"}, "connection.interface"),
        ({"interface": "q12\nlink del x"}, "connection.interface"),
        ({"interface": "sixteen-letters-"}, "connection.interface"),
        ({"local_address": "10.200.0.256"}, "connection.local_address"),
        ({"local_address": "fd00::1"}, "connection.local_address"),
        ({"peer_address": "10.200.0.24"}, "connection.peer_address"),
        ({"local_address6": "fd51:5c1c::18"}, "connection.peer_address6"),
        ({"peer_address6": "fd51:5c1c::19"}, "connection.local_address6"),
        (IPV6 | {"peer_address6": "fd51:5c1c::18"}, "connection.peer_address6"),
        (IPV6 | {"mode": "clear"}, "connection.local_address6"),
        *((IPV6 | {"local_address6": wrong}, "connection.local_address6") for wrong in NO_UNICAST6),
        *((IPV6 | {"peer_address6": wrong}, "connection.peer_address6") for wrong in NO_UNICAST6),
        ({"rekey_s": 0}, "connection.rekey_s"),
        ({"rekey_s": float("nan")}, "connection.rekey_s"),
        ({"lifetime_s": 1.0}, "connection.lifetime_s"),
        ({"replay_window": 9000}, "connection.replay_window"),
        ({"colour": "red"}, "connection.colour"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_request(add(**changes))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "op"),
        ({"op": "explode", "id": 1}, "op"),
        ({"op": "remove", "id": 1}, "connection_id"),
        ({"op": "add", "id": 1}, "connection"),
        ({"op": "stats"}, "id"),
        ({"op": "wait_up", "id": 1, "connection_id": "x", "timeout_s": -1}, "timeout_s"),
    ],
)
def test_requests_that_are_none(request_: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_request(request_)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "--config"),
        (json.dumps({**AGENT, "colour": "red"}), "colour"),
        (json.dumps({**AGENT, "kme_url": "http://10.254.1.1"}), "kme_url"),
        (json.dumps({k: v for k, v in AGENT.items() if k != "cert"}), "cert"),
    ],
)
def test_agent_files_that_are_wrong(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "agent.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_agent_config(path)
    assert caught.value.field == field


def test_an_agent_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load_agent_config(tmp_path / "none.json")
