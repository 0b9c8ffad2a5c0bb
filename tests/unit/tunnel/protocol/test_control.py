"""Control messages and key derivation against independent arithmetic."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.tunnel.errors import Malformed
from kms.tunnel.protocol import messages
from kms.tunnel.protocol.key_derivation import Context, Sender, esp_keymat, link_keys, offer_keys

CONNECTION = messages.connection_tag("slice/conn")
KEY, LINK_KEY = bytes(32), bytes([1]) * 32
NONCE = bytes(range(16))
MASTER = bytes(range(32))
CONTEXT = Context("slice/conn", "qra", "sae-a", "sae-b", "10.200.0.0", "10.200.0.1")


def every_kind() -> list[bytes]:
    return [
        messages.encode_hello(CONNECTION, messages.Hello(bytes(8))),
        messages.encode_offer(CONNECTION, messages.Offer(300, NONCE, "a-key"), KEY, None),
        messages.encode_offer(CONNECTION, messages.Offer(300, NONCE, "k" * 64), KEY, LINK_KEY),
        messages.encode_confirm(CONNECTION, messages.Confirm(NONCE, 2**32 - 1, NONCE, bytes(8)), KEY),
        messages.encode_ready(CONNECTION, messages.Ready(NONCE), LINK_KEY),
        messages.encode_reject(CONNECTION, messages.Reject(NONCE)),
        messages.encode_announce(CONNECTION, 300, ["one", "k" * 129, "three"], LINK_KEY),
    ]


def test_an_offer_octet_by_octet() -> None:
    offer = messages.encode_offer(CONNECTION, messages.Offer(0x01020304, NONCE, "id"), KEY, LINK_KEY)
    signed = (
        bytes(4) + b"QSTC" + b"\x01\x02" + len(offer).to_bytes(2, "big")
        + hashlib.sha256(b"slice/conn").digest()[:16]
        + b"\x01\x02\x03\x04" + NONCE + b"\x01\x02id"
    )  # fmt: skip
    tag = hmac.new(KEY, signed, "sha256").digest()[:16]
    assert offer == signed + tag + hmac.new(LINK_KEY, signed + tag, "sha256").digest()[:16]


@pytest.mark.parametrize("datagram", every_kind())
def test_what_is_encoded_is_decoded_and_no_octet_more_or_less(datagram: bytes) -> None:
    assert messages.decode(datagram, CONNECTION).datagram == datagram
    for wrong in (datagram[:-1], datagram + b"\0", datagram[:8] + b"\x02" + datagram[9:]):
        with pytest.raises(Malformed):
            messages.decode(wrong, CONNECTION)
    with pytest.raises(Malformed, match="another connection"):
        messages.decode(datagram, messages.connection_tag("slice/other"))


@given(st.sampled_from(every_kind()), st.integers(min_value=0), st.integers(0, 7))
def test_no_altered_message_keeps_its_tags(datagram: bytes, position: int, bit: int) -> None:
    altered = bytearray(datagram)
    altered[position % len(datagram)] ^= 1 << bit
    genuine = messages.decode(datagram, CONNECTION)
    if not genuine.tag:
        return  # hints carry no tag
    try:
        received = messages.decode(bytes(altered), CONNECTION)
    except Malformed:
        return
    key = LINK_KEY if isinstance(genuine.message, messages.Ready | messages.Announce) else KEY
    assert genuine.is_signed_by(key)
    is_still_signed = received.is_signed_by(key)
    is_still_linked = genuine.link_tag is None or received.is_linked_by(LINK_KEY)
    assert not (is_still_signed and is_still_linked)


@given(st.binary(max_size=300))
def test_arbitrary_octets_are_malformed_or_a_message(octets: bytes) -> None:
    for datagram in (octets, bytes(4) + octets, every_kind()[1][:28] + octets):
        try:
            messages.decode(datagram, CONNECTION)
        except Malformed:
            continue


def hkdf_sha256(master: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, written out."""
    prk = hmac.new(salt or bytes(32), master, "sha256").digest()
    block, okm = b"", b""
    for n in range(1, -(-length // 32) + 1):
        block = hmac.new(prk, block + info + bytes([n]), "sha256").digest()
        okm += block
    return okm[:length]


def sized(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def test_traffic_keys_are_hkdf_of_all_that_they_are_bound_to() -> None:
    parts = ("slice/conn", "qra", "sae-a", "sae-b", "10.200.0.0", "10.200.0.1", "aes-256-gcm", "none")
    context = hashlib.sha256(b"qslice tunnel v1" + sized(*(p.encode() for p in parts))).digest()
    assert CONTEXT.digest() == context
    info = b"qslice tunnel v1" + sized(b"esp", context, b"key-id", b"responder", b"\0\0\x01\0")
    expected = hkdf_sha256(MASTER, NONCE + NONCE, info, 36)
    keymat = esp_keymat(MASTER, context, "key-id", NONCE + NONCE, Sender.RESPONDER, 256)
    assert keymat.key + keymat.salt == expected
    offer_info = b"qslice tunnel v1" + sized(b"offer", context, b"key-id", b"initiator")
    assert offer_keys(MASTER, context, "key-id").initiator == hkdf_sha256(MASTER, b"", offer_info, 32)


def test_every_difference_gives_unrelated_keys() -> None:
    base = (MASTER, CONTEXT.digest(), "key-id", NONCE + NONCE, Sender.INITIATOR, 256)
    others = [bytes(32), bytes(32), "key-ie", NONCE + bytes(16), Sender.RESPONDER, 257]
    variants = [base] + [(*base[:n], other, *base[n + 1 :]) for n, other in enumerate(others)]
    derived = [esp_keymat(*variant).key for variant in variants]
    for keys in (offer_keys(MASTER, CONTEXT.digest(), "k"), link_keys(MASTER, CONTEXT.digest(), "k", NONCE)):
        derived += [keys.initiator, keys.responder]
    assert all(a != b for a, b in combinations(derived, 2))


def test_contexts_do_not_run_into_each_other() -> None:
    shifted = replace(CONTEXT, initiator_sae="sae-as", responder_sae="ae-b")
    assert CONTEXT.digest() != shifted.digest()
    assert len({replace(CONTEXT, **{name: "x"}).digest() for name in CONTEXT.__dataclass_fields__}) == 9
