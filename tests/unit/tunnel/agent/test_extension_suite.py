"""A suite that is an extension, in the agent: tried before use, bound into keys; nothing goes out unsealed."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from kms.tunnel.agent.agent import Agent
from kms.tunnel.agent.extension_suite import ExtensionAead, suites_of
from kms.tunnel.agent.keylog import KeyLog
from kms.tunnel.config import AgentConfig, parse_request
from kms.tunnel.dataplane import kernel_host
from kms.tunnel.errors import AuthenticationFailed, ConfigurationError, SequenceExhausted
from kms.tunnel.packet.cipher_suites import SUITES, Suite
from kms.tunnel.packet.esp import InboundSa, OutboundSa
from kms.tunnel.packet.frame_buffer import Frames
from kms.tunnel.protocol.effects import SaInstalled
from scripts.testbed.paths import REPOSITORY
from tests.support.extensions.suites import Turncoat
from tests.support.tunnel_world import World, both, payloads, up
from tests.unit.tunnel.agent.test_agent import CONFIG, connection

SHIPPED = REPOSITORY / "scripts" / "extensions" / "shipped" / "aes_gcm_siv.py"
NAME = "x-aes-256-gcm-siv"


def told(target: str, **changes: Any) -> AgentConfig:
    path = Path(target.rpartition(":")[0])
    extension = {"target": target, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return AgentConfig.model_validate({**CONFIG.model_dump(), "suite_extension": extension, **changes})


@pytest.fixture(scope="module")
def suite() -> Suite:
    return suites_of(told(f"{SHIPPED}:AesGcmSiv"))[NAME]


def test_without_an_extension_there_are_ours() -> None:
    assert suites_of(CONFIG) is SUITES


def test_it_seals_and_opens_like_ours(suite: Suite) -> None:
    ours, theirs = (OutboundSa(256, bytes(32), b"salt", suite=each) for each in (SUITES["aes-256-gcm"], suite))
    datagram = theirs.seal(b"the inner packet")
    assert len(datagram) == len(ours.seal(b"the inner packet"))
    assert b"inner" not in datagram
    inbound = InboundSa(256, bytes(32), b"salt", replay_window=64, suite=suite)
    assert inbound.open(datagram) == (b"the inner packet", 4)
    with pytest.raises(AuthenticationFailed):
        inbound.open(theirs.seal(b"the inner packet")[:-1] + b"\0")


def test_many_at_once_are_as_one_by_one(suite: Suite) -> None:
    frames = Frames(4096, in_place=True).shape(len(OutboundSa(256, bytes(32), b"salt").seal(bytes(100))))
    frames.texts[:4, :100] = 7
    OutboundSa(256, bytes(32), b"salt", suite=suite).seal_frames(frames, 4, 100)
    single = OutboundSa(256, bytes(32), b"salt", suite=suite)
    assert [row.tobytes() for row in frames.rows[:4]] == [single.seal(b"\x07" * 100) for _ in range(4)]
    opened = InboundSa(256, bytes(32), b"salt", replay_window=64, suite=suite).open_frames(frames, 4)
    assert opened is not None
    assert bytes(opened[0][3]) == b"\x07" * 100


def test_two_ends_with_the_same_code_agree(suite: Suite) -> None:
    world = up(World(**both(suite=suite)))
    world.send_payload(world.a, b"hello")
    world.run(0.1)
    assert payloads(world.b.delivered) == [b"hello"]


@pytest.mark.parametrize("code", ["1.1 " + 64 * "0", ""])
def test_two_ends_with_other_code_of_that_name_never_do(suite: Suite, code: str) -> None:
    assert suite.code == f"1.0 {hashlib.sha256(SHIPPED.read_bytes()).hexdigest()}"
    ends = both(suite=suite)
    world = World(initiator=ends["initiator"], responder=replace(ends["responder"], suite=replace(suite, code=code)))
    world.start()
    world.run(1.0)
    assert not world.a.session.live + world.b.session.live


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("suites.py:Plain", "refused: x-plain: it hides the plaintext"),
        ("suites.py:Forgeable", "refused: x-forgeable: it refuses whatever was changed"),
        ("suites.py:WrongVectors", "refused: x-wrong-vectors: its vectors hold"),
        ("suites.py:Raises", "OverflowError"),
        ("suites.py:Nobody", "not-there"),
        ("half.py:Half", "broken"),
    ],
)
def test_what_does_not_pass_its_trials_is_refused_by_name(name: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match="suite_extension") as caught:
        suites_of(told(f"{REPOSITORY / 'tests' / 'support' / 'extensions'}/{name}"))
    assert says in str(caught.value)


def test_a_source_that_was_changed_since_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "changing.py"
    file.write_bytes(SHIPPED.read_bytes())
    config = told(f"{file}:AesGcmSiv")
    file.write_bytes(SHIPPED.read_bytes() + b"# and more\n")
    with pytest.raises(ConfigurationError, match="has been changed"):
        suites_of(config)


def test_the_kernel_has_none_and_says_why() -> None:
    with pytest.raises(ConfigurationError, match="the kernel has no suite of an extension"):
        suites_of(told(f"{SHIPPED}:AesGcmSiv", data_plane="kernel"))
    assert kernel_host.refuses(connection(suite=NAME)) == f"{NAME} is an extension's suite, which user space alone has"


def test_an_agent_without_it_refuses_the_connection() -> None:
    async def add() -> None:
        await Agent(CONFIG, keys=None).add(connection(suite=NAME))  # type: ignore[arg-type]

    with pytest.raises(ConfigurationError, match=r"connection\.suite: there is no suite 'x-aes-256-gcm-siv'"):
        asyncio.run(add())
    raw = {"id": 1, "op": "add", "connection": {**connection().model_dump(mode="json"), "suite": "x_mine"}}
    with pytest.raises(ConfigurationError, match=r"connection\.suite"):
        parse_request(raw)


@pytest.mark.parametrize("does", ["raise", "show", "shorten"])
def test_one_that_fails_later_seals_nothing_more_under_that_key(does: str, caplog: pytest.LogCaptureFixture) -> None:
    code = Turncoat()
    turned = Suite("x-turncoat", "", 32, lambda key: ExtensionAead(code, code.name, key), code="1")
    outbound = OutboundSa(256, bytes(32), b"salt", suite=turned)
    outbound.seal(b"the inner packet, which is long enough")
    code.does = does
    with pytest.raises(SequenceExhausted):
        outbound.seal(b"the inner packet, which is long enough")
    code.does = "seal"
    with pytest.raises(SequenceExhausted):
        outbound.seal(b"the inner packet, which is long enough")
    assert bytes(32).hex() not in caplog.text
    assert "x-turncoat" in caplog.text


def test_a_tunnel_whose_suite_fails_sends_nothing() -> None:
    code = Turncoat()
    turned = Suite("x-turncoat", "", 32, lambda key: ExtensionAead(code, code.name, key), code="1")
    world = up(World(**both(suite=turned)))
    code.does = "show"
    world.send_payload(world.a, b"nobody may read this")
    world.run(0.5)
    assert world.b.delivered == []
    assert not any(b"nobody may read this" in datagram for datagram in world.a.sent)
    assert world.a.session.counters.tx_exhausted_drops == 1


def test_what_it_raises_on_opening_is_a_packet_refused() -> None:
    code = Turncoat()
    aead = ExtensionAead(code, code.name, bytes(32))
    sealed = aead.encrypt(bytes(12), b"text", b"")
    code.does = "raise"
    with pytest.raises(InvalidTag):
        aead.decrypt(bytes(12), sealed, b"")


def test_its_keys_are_in_no_key_log(suite: Suite, tmp_path: Path) -> None:
    log = KeyLog(tmp_path / "log")
    log.write(SaInstalled(True, 256, bytes(32), b"salt", suite), CONFIG.underlay_address, CONFIG.underlay_address)
    log.close()
    assert (tmp_path / "log").read_bytes() == b""
