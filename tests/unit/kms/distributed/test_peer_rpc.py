"""What KMEs say to each other, over real mutual TLS: who is wrong is told so, and bugs are not the caller's fault."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kms.distributed.peer_messages import (
    CLAIM,
    STATE,
    Claim,
    ClaimAnswer,
    EntrustedKeys,
    JoinStream,
    Message,
    NodeReport,
    Nothing,
    RelayHeader,
    SectionBits,
    parse,
)
from kms.distributed.peer_rpc import BASE_PATH, Endpoint, Peer, PeerClient, PeerServer, endpoint
from kms.errors import (
    ExchangeError,
    KeysForgottenError,
    KmsError,
    MalformedMessageError,
    PeerUnavailableError,
    UnauthorisedError,
)
from kms.pki import authority
from kms.pki.parties import issue_peer_certificate
from kms.pki.tls import tls_context

SITES = ("a", "b")
BUGS = (KeyError("copies"), TypeError("not subscriptable"), AttributeError("no such field"), ValueError("not an octet"))
CLAIMED = Claim(slave="s", master="m", key_ids=(uuid.UUID(int=1),))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    authority.ensure_ca(directory)
    for site in SITES:
        issue_peer_certificate(directory, site, f"kme-{site}", "127.0.0.1")
    return directory


def between_a_and_b(
    pki: Path, endpoints: tuple[Endpoint, ...], talk: Callable[[PeerClient, int], Awaitable[Any]]
) -> Any:
    """What ``talk`` returns, given the client of a and the port of b, which answers with ``endpoints``."""

    async def run() -> Any:
        directory = pki / "kme" / "b" / "peer"
        runner = web.AppRunner(PeerServer({"kme-a": "a"}, endpoints, lambda serial: False).application())
        await runner.setup()
        tls = tls_context(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        client = PeerClient({"b": Peer("b", "kme-b", "127.0.0.1", port)}, pki / "kme" / "a" / "peer")
        try:
            return await talk(client, port)
        finally:
            await client.close()
            await runner.cleanup()

    return asyncio.run(run())


def raising(error: Exception) -> Endpoint:
    async def claim(peer: str, body: Claim) -> ClaimAnswer:
        raise error

    return endpoint(CLAIM, claim)


async def ask_claim(client: PeerClient, port: int) -> ClaimAnswer:
    return await client.call("b", CLAIM, CLAIMED)


def post(pki: Path, method: str, body: bytes) -> Callable[[PeerClient, int], Awaitable[tuple[int, dict[str, Any]]]]:
    async def talk(client: PeerClient, port: int) -> tuple[int, dict[str, Any]]:
        url = f"https://127.0.0.1:{port}{BASE_PATH}/{method}"
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client._tls)) as session,
            session.post(url, data=body, server_hostname="kme-b") as response,
        ):
            return response.status, await response.json()

    return talk


def test_a_method_is_answered_with_the_values_of_both_ends(pki: Path) -> None:
    heard: list[tuple[str, Claim]] = []

    async def claim(peer: str, body: Claim) -> ClaimAnswer:
        heard.append((peer, body))
        return ClaimAnswer(held=True)

    assert between_a_and_b(pki, (endpoint(CLAIM, claim),), ask_claim) == ClaimAnswer(held=True)
    assert heard == [("a", CLAIMED)]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: type(bug).__name__)
def test_a_bug_of_ours_is_a_500_and_a_traceback_in_the_log(
    pki: Path, bug: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        status, answer = between_a_and_b(pki, (raising(bug),), post(pki, "claim", CLAIMED.model_dump_json().encode()))
    assert status == 500
    assert "well formed" not in answer["message"]
    (record,) = [each for each in caplog.records if each.name == "kms.distributed.peer_rpc"]
    assert record.exc_info is not None
    assert record.exc_info[1] is bug
    with pytest.raises(ExchangeError, match="could not take claim") as raised:
        between_a_and_b(pki, (raising(bug),), ask_claim)
    assert not isinstance(raised.value, MalformedMessageError)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"not json", "body"),
        (b"[]", "body"),
        (b'{"slave": "s", "master": "m"}', "key_ids"),
        (b'{"slave": "s", "master": "m", "key_ids": []}', "key_ids"),
        (b'{"slave": "s", "master": "m", "key_ids": ["x"]}', "key_ids.0"),
        (b'{"slave": 3, "master": "m", "key_ids": ["00000000-0000-0000-0000-000000000001"]}', "slave"),
        (b'{"slave": "s", "master": "m", "key_ids": ["00000000-0000-0000-0000-000000000001"], "more": 1}', "more"),
    ],
)
def test_what_is_not_well_formed_is_a_400_that_names_the_field(
    pki: Path, body: bytes, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def claim(peer: str, body: Claim) -> ClaimAnswer:
        pytest.fail("it must not be asked")

    status, answer = between_a_and_b(pki, (endpoint(CLAIM, claim),), post(pki, "claim", body))
    assert status == 400
    assert answer["error"] == "MalformedMessageError"
    assert answer["message"].startswith(f"{field}: ")
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "error", [KeysForgottenError("gone"), UnauthorisedError("not his"), ExchangeError("wrong tag")], ids=str
)
def test_a_refusal_is_raised_at_the_caller_as_it_was_there(pki: Path, error: KmsError) -> None:
    with pytest.raises(type(error), match=str(error)):
        between_a_and_b(pki, (raising(error),), ask_claim)


def test_a_malformed_answer_is_not_the_fault_of_who_asked_us(pki: Path) -> None:
    async def claim(peer: str, body: bytes) -> Message:
        return Nothing()

    with pytest.raises(ExchangeError, match="the KME of b answered claim with 200; held: ") as raised:
        between_a_and_b(pki, (Endpoint("claim", claim),), ask_claim)
    assert not isinstance(raised.value, MalformedMessageError)


def test_a_kme_that_is_away_is_unavailable(pki: Path) -> None:
    async def talk(client: PeerClient, port: int) -> NodeReport:
        gone = PeerClient({"b": Peer("b", "kme-b", "127.0.0.1", 1)}, pki / "kme" / "a" / "peer")
        try:
            return await gone.call("b", STATE, Nothing())
        finally:
            await gone.close()

    with pytest.raises(PeerUnavailableError):
        between_a_and_b(pki, (), talk)


ID = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        (SectionBits, {"section": "s", "generation": "g", "at": -1, "forward": "", "backward": ""}, "at"),
        (SectionBits, {"section": "s", "generation": "g", "at": 0, "forward": "!", "backward": ""}, "forward"),
        (SectionBits, {"section": "s", "generation": "g", "at": True, "forward": "", "backward": ""}, "at"),
        (
            RelayHeader,
            {"kind": "keys", "source": "dh", "key_ids": [ID], "origin": "a", "target": "b", "path": []},
            "path",
        ),
        (
            RelayHeader,
            {"kind": "keys", "source": "x", "key_ids": [ID], "origin": "a", "target": "b", "path": [["s", True]]},
            "source",
        ),
        (
            EntrustedKeys,
            {
                "delivery": ID,
                "master": "m",
                "named": [],
                "at": 0,
                "route": "by sea",
                "awaiting": ["s"],
                "key_ids": [ID],
            },
            "route",
        ),
        (
            JoinStream,
            {"key_stream_id": ID, "caller": "c", "destination": "d", "qos": {"key_chunk_size": 0, "max_bps": 1}},
            "qos.key_chunk_size",
        ),
    ],
)
def test_every_field_is_checked_at_the_edge(kind: type[Message], body: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedMessageError) as raised:
        parse(kind, json.dumps(body))
    assert raised.value.field == field


def test_messages_show_no_key_material() -> None:
    bits = SectionBits(section="s", generation="g", at=0, forward=b"\x00key material", backward=b"more of it")
    assert "material" not in repr(bits)
    assert "more" not in repr(bits)
    text = bits.model_dump_json()
    assert parse(SectionBits, text) == bits
    with pytest.raises(MalformedMessageError) as raised:
        parse(SectionBits, text.replace('"at":0', '"at":"zero"'))
    assert "material" not in str(raised.value)
    assert json.loads(text)["forward"] not in str(raised.value)
