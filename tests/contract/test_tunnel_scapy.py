"""Scapy's IPsec layer decodes what we send, and we decode what it sends: two implementations, one RFC."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation
from scapy.packet import Raw, bind_layers

from kms.tunnel.esp import InboundSa, OutboundSa
from kms.tunnel.keymat import Sender, esp_keymat

SPI = 0xC0FFEE01
UNDERLAY = IP(src="172.20.0.2", dst="172.20.0.4")
KEYMAT = esp_keymat(bytes(range(32)), bytes(32), "key", bytes(32), Sender.INITIATOR, SPI)

bind_layers(UDP, ESP, sport=20012, dport=20012)


def scapy_sa(sequence: int) -> SecurityAssociation:
    return SecurityAssociation(
        ESP,
        SPI,
        seq_num=sequence,
        crypt_algo="AES-GCM",
        crypt_key=KEYMAT.key + KEYMAT.salt,
        tunnel_header=UNDERLAY,
        nat_t_header=UDP(sport=20012, dport=20012),
    )


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300), st.integers(1, 2**32 - 1))
def test_scapy_decodes_ours(payload: bytes, sequence: int) -> None:
    inner = IP(src="10.200.0.24", dst="10.200.0.25") / ICMP() / Raw(payload)
    datagram = OutboundSa(SPI, KEYMAT.key, KEYMAT.salt, sequence=sequence - 1).seal(bytes(inner))
    outer = IP(bytes(UNDERLAY / UDP(sport=20012, dport=20012) / ESP(datagram)))
    assert bytes(scapy_sa(1).decrypt(outer)) == bytes(inner)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300), st.integers(1, 2**32 - 1))
def test_we_decode_scapys(payload: bytes, sequence: int) -> None:
    inner = IP(src="10.200.0.24", dst="10.200.0.25") / UDP(sport=1, dport=2) / Raw(payload)
    sent = scapy_sa(sequence).encrypt(inner)
    datagram = bytes(sent[UDP].payload)
    packet, next_header = InboundSa(SPI, KEYMAT.key, KEYMAT.salt, replay_window=1024).open(datagram)
    assert next_header == 4
    assert IP(packet)[Raw].load == payload if payload else IP(packet)[UDP].dport == 2


def test_scapy_refuses_ours_when_it_is_altered() -> None:
    datagram = bytearray(OutboundSa(SPI, KEYMAT.key, KEYMAT.salt).seal(bytes(IP() / ICMP())))
    datagram[20] ^= 1
    outer = IP(bytes(UNDERLAY / UDP(sport=20012, dport=20012) / ESP(bytes(datagram))))
    with pytest.raises(IPSecIntegrityError):
        scapy_sa(1).decrypt(outer)
