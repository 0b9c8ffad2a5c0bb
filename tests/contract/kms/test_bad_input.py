"""What a KME must bear: oversize and malformed requests, idle and stuck clients, certificates past their time."""

from __future__ import annotations

import base64
import resource
import socket
import ssl
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest

from kms.pki import authority
from tests.support.running_kms import KmsWorld, running_kms
from tests.support.wait import PATIENCE

NOT_FOUND = "one or more keys specified are not found on KME"
POST = b"POST /api/v1/keys/sae-metro1/enc_keys HTTP/1.1\r\nHost: x\r\n"
UNKNOWN_EXTENSION = "not all extension_mandatory parameters are supported"
UNMET_EXTENSION = "not all extension_mandatory request options could be met"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmsWorld]:
    with running_kms(tmp_path_factory.mktemp("kms"), default_key_source="dh") as world:
        for site in ("cell1", "metro1", "core1"):
            world.credentials(f"sae-{site}", site)
        yield world


def connect(world: KmsWorld, sae: str) -> ssl.SSLSocket:
    host, _, port = world.urls["cell1"].removeprefix("https://").rpartition(":")
    raw = socket.create_connection((host, int(port)), timeout=10 * PATIENCE)
    return world.tls(sae).wrap_socket(raw, server_hostname=host)


def serves(world: KmsWorld) -> bool:
    return world.ask("cell1", "sae-cell1", "GET", "/sae-metro1/status").status == 200


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b'{"number": 1, "number": 2}', "twice"),
        (b'{"extension_optional": [{"a": 1, "a": 2}]}', "twice"),
        (b'{"number": 1e999}', "number"),
        (b'{"number": NaN}', "JSON"),
        (b'{"number": true}', "number"),
        (b'{"number": 1.0}', "number"),
        (b'{"size": "256"}', "size"),
        (b'{"number": 0}', "at least 1"),
        (b'{"size": 56}', "min_key_size"),
        (b'{"size": 1032}', "max_key_size"),
        (b'{"size": 100}', "size shall be a multiple of 8"),
        (b'{"additional_slave_SAE_IDs": ["x", "x"]}', "twice"),
        (b'{"additional_slave_SAE_IDs": ["a","b","c","d","e","f","g","h","i"]}', "max_SAE_ID_count"),
        (b'{"surprise": 1}', "surprise"),
        (b"[" * 30_000, "JSON"),
        (b'\xef\xbb\xbf{"number": 1}', "JSON"),
        (b'{"extension_mandatory": [{"colour": "red"}]}', UNKNOWN_EXTENSION),
        (b'{"extension_mandatory": [{"route": "scenic"}]}', UNMET_EXTENSION),
        (b'{"extension_mandatory": [{"max_age_s": -1}]}', UNMET_EXTENSION),
        (b'{"extension_mandatory": [{"max_age_s": true}]}', UNMET_EXTENSION),
        (b'{"extension_mandatory": [{"key_source": "dh"}, {"key_source": "qra"}]}', UNMET_EXTENSION),
        (b'{"extension_mandatory": [{"key_source": "dh", "route": "relayed"}]}', UNMET_EXTENSION),
    ],
)  # fmt: skip
def test_wrong_key_requests(world: KmsWorld, raw: bytes, word: str) -> None:
    answer = world.ask("cell1", "sae-cell1", "POST", "/sae-metro1/enc_keys", raw=raw)
    assert answer.status == 400
    assert word in answer.body["message"]


@pytest.mark.parametrize(
    "key_id", ["", "x", "{00000000-0000-4000-8000-000000000000}", "urn:uuid:00000000-0000-4000-8000-000000000000",
               "00000000000040008000000000000000", "00000000-0000-4000-8000-00000000000g", 7, None, ["a"]]
)  # fmt: skip
def test_ids_that_are_none(world: KmsWorld, key_id: Any) -> None:
    body = {"key_IDs": [{"key_ID": key_id}]}
    answer = world.ask("core1", "sae-core1", "POST", "/sae-cell1/dec_keys", body)
    assert answer.status == 400
    assert answer.body["message"] != NOT_FOUND


def test_a_wrong_body_costs_no_key(world: KmsWorld) -> None:
    given = world.enc("cell1", "sae-cell1", "sae-core1").body["keys"][0]
    entry, stranger = {"key_ID": given["key_ID"]}, {"key_ID": str(uuid.uuid4())}
    for ids in ([], [entry, entry], [entry, stranger], [entry, *[stranger] * 9_999], [{**entry, "x": 1}], entry):
        assert world.ask("core1", "sae-core1", "POST", "/sae-cell1/dec_keys", {"key_IDs": ids}).status == 400
    assert world.dec("core1", "sae-core1", "sae-cell1", given["key_ID"]).body["keys"][0]["key"] == given["key"]


@pytest.mark.parametrize(
    "head",
    [POST + b"Content-Length: 99999999999\r\n\r\n",
     POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
     POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
     b"NONSENSE\r\n\r\n"],
)  # fmt: skip
def test_wrong_http(world: KmsWorld, head: bytes) -> None:
    with connect(world, "sae-cell1") as connection:
        connection.sendall(head)
        if b"99999999999" not in head:
            assert connection.recv(20).split()[1] == b"400"
    assert serves(world)


def test_a_thousand_idle_connections(world: KmsWorld) -> None:
    with enough_files(), ExitStack() as stack:
        for _ in range(1_000):
            stack.enter_context(connect(world, "sae-cell1"))
        assert serves(world)


@contextmanager
def enough_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8_192)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_client_that_does_not_read_holds_up_nobody_and_does_not_drain_the_kms(world: KmsWorld) -> None:
    body = b'{"number": 128}'
    request = (
        b"POST /api/v1/keys/sae-metro1/enc_keys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body
    with connect(world, "sae-cell1") as connection:
        connection.setblocking(False)
        try:
            for _ in range(4_000):  # 60 MB of answers
                connection.send(request)
        except (BlockingIOError, ssl.SSLWantWriteError):
            pass
        for _ in range(5):
            assert serves(world)
        awaiting = world.admin("GET", "/v1/status").body["awaiting_keys"]
        assert awaiting < 128 * 4_000


def test_an_expired_certificate(world: KmsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "_LEAF_LIFETIME", timedelta(seconds=-60))
    world.credentials("old")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        world.ask("cell1", "old", "GET", "/sae-metro1/status")


class TestExtensions:
    def test_route(self, world: KmsWorld) -> None:
        # core1 and metro1 are joined by one section; between cell1 and metro1 stands a trusted node.
        for site, slave, route, status in (
            ("core1", "sae-metro1", "direct", 200), ("core1", "sae-metro1", "relayed", 400),
            ("cell1", "sae-metro1", "relayed", 200), ("cell1", "sae-metro1", "direct", 400),
        ):  # fmt: skip
            mandatory = [{"key_source": "qkd", "route": route}]
            answer = world.enc(site, f"sae-{site}", slave, extension_mandatory=mandatory)
            assert answer.status == status, answer.body
            if status == 200:
                (key,) = answer.body["keys"]
                assert key["key_extension"] == {"key_source": "qkd", "route": route}
                assert world.dec("metro1", "sae-metro1", f"sae-{site}", key["key_ID"]).body["keys"] == [key]
            else:
                assert answer.body["message"] == UNMET_EXTENSION

    def test_every_key_of_the_two_kmes_is_direct(self, world: KmsWorld) -> None:
        answer = world.enc("cell1", "sae-cell1", "sae-core1", extension_mandatory=[{"route": "direct"}])
        assert answer.body["keys"][0]["key_extension"] == {"key_source": "dh", "route": "direct"}

    def test_age(self, world: KmsWorld) -> None:
        for age in (0, 0.5, 60, 10**9):
            answer = world.enc("cell1", "sae-cell1", "sae-core1", extension_mandatory=[{"max_age_s": age}], number=3)
            ids = [key["key_ID"] for key in answer.body["keys"]]
            assert world.dec("core1", "sae-core1", "sae-cell1", *ids).body == answer.body

    def test_sizes_from_one_pool(self, world: KmsWorld) -> None:
        for size in (256, 64, 1024, 256, 72):
            (key,) = world.enc("cell1", "sae-cell1", "sae-core1", size=size).body["keys"]
            assert len(base64.b64decode(key["key"])) * 8 == size
            assert world.dec("core1", "sae-core1", "sae-cell1", key["key_ID"]).body["keys"] == [key]
