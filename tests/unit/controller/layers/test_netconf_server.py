"""A device as others' NETCONF clients meet it: who may come in, what it says, what it refuses, and that it goes on."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from ncclient import manager
from ncclient.operations import RPCError

from controller.device_model.edits import Edit, Operation, config_xml
from controller.device_model.entries import Entry, List
from tests.support.device_layers import TOKEN, Layers
from tests.support.fake_switches import FakeSwitches
from topologies.catalog import ukqntel

SITE = "agg1"
POLICER = Entry(List.POLICER, {"id": 7, "rate": 100, "burst": 200})
CONFIG = config_xml([Edit(Operation.CREATE, POLICER)])
PATH = f"/restconf/data/qslice-devices:devices/device={SITE}/config"


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layers]:
    topology = ukqntel()
    with Layers(topology, FakeSwitches(topology), tmp_path_factory.mktemp("layers")) as layers:
        yield layers


@pytest.fixture
def session(layers: Layers) -> Iterator[Any]:
    with connect(layers, layers.client_key) as session:
        yield session


def connect(layers: Layers, key: Path, host_key: str | None = None, **more: Any) -> Any:
    return manager.connect_ssh(
        host="127.0.0.1", port=layers.servers[SITE].address[1], username=more.pop("username", "orchestrator"),
        key_filename=str(key), hostkey_b64=host_key or layers.host_key(SITE), allow_agent=False, look_for_keys=False,
        timeout=20, **more,
    )  # fmt: skip


def channel(layers: Layers) -> tuple[paramiko.Transport, paramiko.Channel]:
    """The subsystem, without a client that knows its protocol."""
    transport = paramiko.Transport(socket.create_connection(layers.servers[SITE].address, 20))
    transport.start_client(timeout=20)
    transport.auth_publickey("orchestrator", paramiko.Ed25519Key(filename=str(layers.client_key)))
    opened = transport.open_session()
    opened.settimeout(20)
    opened.invoke_subsystem("netconf")
    return transport, opened


def _ends(opened: paramiko.Channel) -> bool:
    """Whether the device ends the session; TimeoutError when it does not."""
    while opened.recv(1 << 16):
        pass
    return True


def test_it_says_what_it_can(session: Any) -> None:
    told = list(session.server_capabilities)
    assert ":base:1.1" in session.server_capabilities
    assert ":writable-running" in session.server_capabilities
    assert any(each.startswith("urn:ietf:params:xml:ns:yang:ietf-interfaces?") for each in told)
    assert any(each.startswith("urn:qslice:yang:cross-connects?") for each in told)


def test_what_is_configured_is_read_back_and_goes(session: Any, layers: Layers) -> None:
    session.edit_config(target="running", config=CONFIG.decode())
    assert [item.id for item in layers.bridges[SITE].installed() if hasattr(item, "rate_kbps")] == [7]  # type: ignore[union-attr]
    text = session.get_config("running").data_xml
    assert "<rate>100</rate>" in text
    assert all(f"<name>{port.interface}</name>" in text for port in ukqntel().ports(SITE))
    one = session.get_config(
        "running", filter=("subtree", '<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces"/>')
    )
    assert "policer" not in one.data_xml
    with pytest.raises(RPCError) as caught:
        session.edit_config(target="running", config=CONFIG.decode())
    assert (caught.value.tag, "policer[id='7']" in caught.value.path) == ("data-exists", True)
    session.edit_config(target="running", config=config_xml([Edit(Operation.DELETE, POLICER)]).decode())
    assert "policer" not in session.get_config("running").data_xml


@pytest.mark.parametrize(
    ("config", "tag"),
    [
        ('<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces"><interface/></interfaces>',
         "operation-not-supported"),
        ('<x xmlns="urn:nobody"/>', "unknown-namespace"),
        ('<cross-connects xmlns="urn:qslice:yang:cross-connects"><policer><id>9</id></policer></cross-connects>', None),
        ('<cross-connects xmlns="urn:qslice:yang:cross-connects"><policer><id>x</id></policer></cross-connects>',
         "invalid-value"),
        ('<cross-connects xmlns="urn:qslice:yang:cross-connects"><policer nc:operation="burn"><id>9</id></policer>'
         "</cross-connects>", "bad-attribute"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_and_changes_nothing(
    session: Any, layers: Layers, config: str, tag: str | None
) -> None:
    before = frozenset(layers.bridges[SITE].installed())
    with pytest.raises(RPCError) as caught:
        session.edit_config(
            target="running",
            config=f'<nc:config xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0">{config}</nc:config>',
        )
    assert tag in (None, caught.value.tag)
    assert frozenset(layers.bridges[SITE].installed()) == before


def test_a_lock_keeps_others_out_and_goes_with_its_session(layers: Layers, session: Any) -> None:
    other = connect(layers, layers.client_key)
    other.lock("running")
    for attempt in (
        lambda: session.lock("running"),
        lambda: session.edit_config(target="running", config=CONFIG.decode()),
    ):
        with pytest.raises(RPCError) as caught:
            attempt()
        assert caught.value.tag in ("lock-denied", "in-use")
    other.close_session()
    session.lock("running")
    session.unlock("running")


def test_another_key_another_user_and_passwords_do_not_come_in(layers: Layers, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    key = paramiko.Ed25519Key(filename=str(layers.client_key.with_name("device-core1")))
    assert key.get_base64() != paramiko.Ed25519Key(filename=str(layers.client_key)).get_base64()
    stranger.write_bytes(layers.client_key.with_name("device-core1").read_bytes())
    stranger.chmod(0o600)
    with pytest.raises(Exception, match=r"(?i)auth"):
        connect(layers, stranger)
    with pytest.raises(Exception, match=r"(?i)auth"):
        connect(layers, layers.client_key, username="root")
    transport = paramiko.Transport(socket.create_connection(layers.servers[SITE].address, 20))
    transport.start_client(timeout=20)
    with pytest.raises(paramiko.BadAuthenticationType):
        transport.auth_password("orchestrator", "orchestrator")
    transport.close()


def test_a_device_with_another_host_key_is_not_spoken_to(layers: Layers) -> None:
    with pytest.raises(Exception, match=r"(?i)host ?key"):
        connect(layers, layers.client_key, layers.host_key("core1"))


@pytest.mark.parametrize(
    "octets",
    [
        b"<hello/>]]>]]>",
        b"not xml]]>]]>",
        b'<!DOCTYPE x [<!ENTITY e "x">]><hello>&e;</hello>]]>]]>',
        b"\0" * 100 + b"]]>]]>",
    ],
)
def test_who_does_not_keep_to_the_protocol_is_cut_off_and_others_are_served(
    layers: Layers, session: Any, octets: bytes
) -> None:
    transport, opened = channel(layers)
    opened.sendall(octets)
    assert _ends(opened)
    transport.close()
    assert session.get_config("running").ok


def test_the_rest_interface_takes_and_refuses(layers: Layers) -> None:
    def ask(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", layers.rest.server_address[1], timeout=20)
        given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/yang-data+xml"} | headers
        connection.request(method, path, body, given)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def tag(answer: bytes) -> str:
        return str(json.loads(answer)["ietf-restconf:errors"]["error"][0]["error-tag"])

    assert ask("PATCH", PATH, CONFIG) == (204, b"")
    status, answer = ask("PATCH", PATH, CONFIG)
    assert (status, tag(answer)) == (409, "data-exists")
    assert b"<rate>100</rate>" in ask("GET", PATH)[1]
    assert ask("PATCH", PATH, config_xml([Edit(Operation.REMOVE, POLICER)])) == (204, b"")
    assert ask("PATCH", PATH, CONFIG, Authorization="Bearer x")[0] == 401
    assert ask("PATCH", PATH.replace(SITE, "nowhere"), CONFIG)[0] == 404
    assert ask("PATCH", "/restconf/data/other", CONFIG)[0] == 404
    assert ask("PATCH", PATH, b"<x/>")[0] == 400
    assert ask("PATCH", PATH, b"{}")[0] == 400
    assert ask("PATCH", PATH, CONFIG, **{"Content-Type": "application/json"})[0] == 415
    assert SITE in ask("GET", PATH.rpartition("/device=")[0])[1].decode()
