"""The suites against published vectors, their table, and who gives which key of two."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidTag

from kms.tunnel.agent.kme_client import known_keys, offered_keys
from kms.tunnel.errors import KeyRefused
from kms.tunnel.packet.cipher_suites import DEFAULT, SUITES, CtrHmac, NullGmac, Suite, roles
from kms.tunnel.packet.esp import InboundSa, OutboundSa
from kms.tunnel.protocol.effects import AskDecKeys, AskEncKeys
from kms.tunnel.protocol.key_derivation import Sender, esp_keymat
from tests.support.tunnel_world import World, both, payloads, up

SPLIT = SUITES["aes-256-ctr-hmac-sha-256"]
octets = bytes.fromhex


def test_rfc_7634_appendix_a() -> None:
    key, salt, nonce = bytes(range(0x80, 0xA0)), octets("a0a1a2a3"), octets("1011121314151617")
    packet = octets(
        "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f1011121314151617"
        "18191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637"
    )
    sealed = octets(
        "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa71e7c"
        "4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e076aaa8266b7fb0f7b11b369907e1ad43"
    )
    inbound = InboundSa(0x01020304, key, salt, replay_window=64, suite=SUITES["chacha20-poly1305"])
    assert inbound.open(octets("0102030400000005") + nonce + sealed) == (packet, 4)


def test_gmac_of_draft_mcgrew_gcm_test() -> None:
    """The vector with which Linux tests its rfc4543(gcm(aes)); its key has 128 bits, as have all that are published."""
    text = octets(
        "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201"
    )
    aead = NullGmac(octets("4c80cdefbb5d10da906ac73c3613a634"))
    nonce, header = octets("22433c64") + bytes(8), octets("0000432100000007")
    assert aead.encrypt(nonce, text, header) == text + octets("f2a9a836e155106aa8dcd618e4099aaa")
    assert aead.decrypt(nonce, aead.encrypt(nonce, text, header), header) == text


def test_counter_mode_of_rfc_3686() -> None:
    """Test vector 7."""
    key = octets("776BEFF2851DB06F4C8A0542C8696F6C6A81AF1EEC96B4D37FC1D689E6C1C104")
    sealed = CtrHmac(key + bytes(32)).encrypt(octets("00000060DB5672C97AA8F0B2"), b"Single block msg", bytes(8))
    assert sealed[:-16] == octets("145AD01DBF824EC7560863DC71E3E0C0")


def test_nothing_is_decrypted_before_it_has_been_authenticated(monkeypatch: pytest.MonkeyPatch) -> None:
    aead = CtrHmac(bytes(range(64)))
    sealed = bytearray(aead.encrypt(bytes(12), b"text", bytes(8)))
    sealed[0] ^= 1
    monkeypatch.setattr(CtrHmac, "_crypt", lambda *_: pytest.fail("decrypted first"))
    with pytest.raises(InvalidTag):
        aead.decrypt(bytes(12), bytes(sealed), bytes(8))


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda s: s.name)
def test_only_the_suite_without_encryption_shows_the_packet(suite: Suite) -> None:
    datagram = OutboundSa(256, bytes(suite.key_bytes), b"salt", suite=suite).seal(b"the inner packet")
    assert (b"the inner packet" in datagram) is not suite.hides
    assert len(datagram) == len(OutboundSa(256, bytes(32), b"salt").seal(b"the inner packet"))


def test_each_part_of_a_split_suites_keys_comes_from_its_own_key_alone() -> None:
    def derived(encryption: bytes, authentication: bytes) -> tuple[bytes, bytes, bytes]:
        keymat = esp_keymat(encryption + authentication, bytes(32), "k", bytes(32), Sender.INITIATOR, 256, SPLIT)
        return keymat.key[:32], keymat.key[32:], keymat.salt

    classical, quantum, other = bytes(32), bytes([1]) * 32, bytes([2]) * 32
    cipher, mac, salt = derived(classical, quantum)
    assert derived(classical, other)[0] == cipher != derived(other, quantum)[0]
    assert derived(other, quantum)[1] == mac != derived(classical, other)[1]
    assert derived(classical, other)[2] == salt
    assert derived(classical, classical)[0] != derived(classical, classical)[1]


@pytest.mark.parametrize(
    ("key_source", "expected"),
    [("dh", ("dh", "dh")), ("qkd+dh", ("dh", "qkd")), ("dh+qkd", ("dh", "qkd")), ("qkd+qra+dh", ("qra+dh", "qkd"))],
)
def test_the_strongest_source_authenticates(key_source: str, expected: tuple[str, str]) -> None:
    assert roles(key_source) == expected


class TwoSources:
    """Keys that tell where they come from."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.name = "{}"

    async def enc_keys(self, slave_sae: str, key_source: str, number: int) -> list[tuple[str, bytes]]:
        self.asked.append(key_source)
        names = [self.name.format(f"{key_source}-{len(self.asked)}-{n}") for n in range(number)]
        return [(name, name.rpartition("/")[2].encode().ljust(32)) for name in names]

    async def dec_keys(self, master_sae: str, key_source: str, key_ids: Sequence[str]) -> list[bytes]:
        return [key_id.encode().ljust(32) for key_id in key_ids]


def test_both_ends_fetch_two_keys_in_the_same_order() -> None:
    keys = TwoSources()
    offered = asyncio.run(offered_keys(keys, AskEncKeys(1, "sae-b", "qkd+dh", 3), SPLIT))
    assert keys.asked == ["dh", "qkd"]
    assert offered[2] == ("dh-1-2/qkd-2-2", b"dh-1-2".ljust(32) + b"qkd-2-2".ljust(32))
    names = tuple(key_id for key_id, _ in reversed(offered))
    assert asyncio.run(known_keys(keys, AskDecKeys(1, "sae-a", "qkd+dh", names), SPLIT)) == offered[::-1]
    single = asyncio.run(offered_keys(keys, AskEncKeys(1, "sae-b", "qkd", 2), DEFAULT))
    assert single == [("qkd-3-0", b"qkd-3-0".ljust(32)), ("qkd-3-1", b"qkd-3-1".ljust(32))]


@pytest.mark.parametrize("name", ["same", "a/{}"])
def test_keys_that_cannot_be_told_apart_are_refused(name: str) -> None:
    keys = TwoSources()
    keys.name = name
    with pytest.raises(KeyRefused):
        asyncio.run(offered_keys(keys, AskEncKeys(1, "sae-b", "dh"), SPLIT))


@pytest.mark.parametrize("key_id", ["one", "a/b/c", "/b", "a/a"])
def test_an_offer_that_does_not_name_two_keys_is_refused_for_good(key_id: str) -> None:
    with pytest.raises(KeyRefused) as caught:
        asyncio.run(known_keys(TwoSources(), AskDecKeys(1, "sae-a", "dh", (key_id,)), SPLIT))
    assert caught.value.is_final


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda s: s.name)
def test_ends_that_were_told_different_suites_get_no_sa(suite: Suite) -> None:
    settings = both()
    other = DEFAULT if suite is not DEFAULT else SUITES["aes-256-gcm-esn"]
    world = World(
        initiator=replace(settings["initiator"], suite=suite), responder=replace(settings["responder"], suite=other)
    )
    world.start()
    world.run(1.0)
    assert world.a.session.current is None
    assert world.b.session.current is None
    assert not world.a.session.live + world.b.session.live


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda s: s.name)
def test_traffic_goes_over_to_another_suite_without_a_loss(suite: Suite) -> None:
    world = up(World())
    changed = both(suite=suite)
    for end, settings in ((world.b, changed["responder"]), (world.a, changed["initiator"])):
        world.settings[end.name] = settings
        end.session.reconfigure(settings, world.now)
        world.settle(end)
        world.send_payload(world.a, b"while it changes")
    world.run(0.1)
    world.send_payload(world.a, b"after")
    world.send_payload(world.b, b"back")
    world.run(0.1)
    current = world.a.session.current
    assert current is not None
    assert current.outbound.suite is suite
    assert payloads(world.b.delivered) == [b"while it changes"] * 2 + [b"after"]
    assert payloads(world.a.delivered) == [b"back"]
