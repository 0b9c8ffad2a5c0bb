"""ESP codec: any packet comes back, the wire's layout is the RFC's, nothing altered passes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from kms.tunnel.errors import AuthenticationFailed, Malformed, Replayed, SequenceExhausted
from kms.tunnel.packet import esp

SPI, KEY, SALT = 0x01020304, bytes(range(32)), b"salt"


def pair(sequence: int = 0) -> tuple[esp.OutboundSa, esp.InboundSa]:
    return esp.OutboundSa(SPI, KEY, SALT, sequence=sequence), esp.InboundSa(SPI, KEY, SALT, replay_window=64)


@given(st.binary(max_size=1500), st.sampled_from([4, 41]), st.integers(0, 2**32 - 2))
def test_layout_and_round_trip(packet: bytes, next_header: int, sequence: int) -> None:
    outbound, inbound = pair(sequence)
    datagram = outbound.seal(packet, next_header)
    number = (sequence + 1).to_bytes(4, "big")
    assert datagram[:8] == SPI.to_bytes(4, "big") + number
    assert datagram[8:16] == bytes(4) + number
    padding = -(len(packet) + 2) % 4
    trailer = bytes(range(1, padding + 1)) + bytes((padding, next_header))
    assert AESGCM(KEY).decrypt(SALT + datagram[8:16], datagram[16:], datagram[:8]) == packet + trailer
    assert len(datagram) == 16 + len(packet) + padding + 2 + 16
    assert inbound.open(datagram) == (packet, next_header)


@given(st.binary(min_size=20, max_size=200), st.integers(min_value=0), st.integers(0, 7))
def test_one_altered_bit_is_enough(packet: bytes, position: int, bit: int) -> None:
    outbound, inbound = pair()
    datagram = bytearray(outbound.seal(packet))
    datagram[4 + position % (len(datagram) - 4)] ^= 1 << bit
    with pytest.raises((AuthenticationFailed, Replayed)):
        inbound.open(bytes(datagram))


@given(st.binary(max_size=200))
def test_padding_of_any_content_is_judged(plaintext: bytes) -> None:
    """A peer that holds the key may still send nonsense: it is refused or opened, never worse."""
    plaintext += bytes(max(0, 4 - len(plaintext)))
    prefix = SPI.to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes(8)
    datagram = prefix + AESGCM(KEY).encrypt(SALT + bytes(8), plaintext, prefix[:8])
    padding = plaintext[-2]
    end = len(plaintext) - 2 - padding
    if end >= 0 and plaintext[end:-2] == bytes(range(1, padding + 1)):
        assert pair()[1].open(datagram) == (plaintext[:end], plaintext[-1])
    else:
        with pytest.raises(Malformed):
            pair()[1].open(datagram)


def test_the_last_sequence_number_is_the_last() -> None:
    outbound, inbound = pair(2**32 - 2)
    inbound.open(outbound.seal(b"last"))
    for _ in range(3):
        with pytest.raises(SequenceExhausted):
            outbound.seal(b"one too many")


def test_sequence_number_zero_is_never_valid() -> None:
    prefix = SPI.to_bytes(4, "big") + bytes(12)
    datagram = prefix + AESGCM(KEY).encrypt(SALT + bytes(8), b"\x01\x02\x02\x04", prefix[:8])
    with pytest.raises(Replayed):
        pair()[1].open(datagram)


@pytest.mark.parametrize("mtu", range(576, 640))
def test_the_inner_mtu_is_the_largest_that_fits(mtu: int) -> None:
    largest = esp.inner_mtu(mtu)
    outbound, _ = pair()
    assert 28 + len(outbound.seal(bytes(largest))) <= mtu
    assert 28 + len(outbound.seal(bytes(largest + 1))) > mtu


def test_the_inner_mtu_over_ethernet() -> None:
    assert esp.inner_mtu(1500) == 1438


@pytest.mark.parametrize(
    ("spi", "key", "salt"), [(255, KEY, SALT), (2**32, KEY, SALT), (SPI, b"", SALT), (SPI, KEY, b"")]
)
def test_impossible_keymat_is_refused_without_showing_it(spi: int, key: bytes, salt: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        esp.OutboundSa(spi, key, salt)
    assert repr(KEY) not in str(caught.value)
