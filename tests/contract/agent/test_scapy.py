"""Scapy's IPsec layer and Wireshark's decode what we send, we decode what Scapy sends: the RFCs read three times."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation
from scapy.packet import Raw, bind_layers
from scapy.utils import wrpcap

from kms.tunnel.agent.keylog import esp_sa_line
from kms.tunnel.packet.cipher_suites import SUITES, Suite
from kms.tunnel.packet.esp import InboundSa, OutboundSa
from kms.tunnel.protocol.effects import SaInstalled
from kms.tunnel.protocol.key_derivation import EspKeymat, Sender, esp_keymat

SPI = 0xC0FFEE01
UNDERLAY = IP(src="172.20.0.2", dst="172.20.0.4")
PORTS = UDP(sport=20012, dport=20012)
LOW = 2**32
EACH = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda s: s.name)
CIPHERS = {"4106": "AES-GCM", "7634": "CHACHA20-POLY1305", "4543": "AES-NULL-GMAC", "3686, 4868": "AES-CTR"}

bind_layers(UDP, ESP, sport=20012, dport=20012)


def keymat(suite: Suite) -> EspKeymat:
    master = bytes(range(suite.master_bytes))
    return esp_keymat(master, bytes(32), "key", bytes(32), Sender.INITIATOR, SPI, suite)


def scapy_sa(suite: Suite, sequence: int) -> SecurityAssociation:
    secret = keymat(suite)
    more: dict[str, Any] = {"auth_algo": "SHA2-256-128", "auth_key": secret.key[32:]} if suite.is_split else {}
    if suite.is_extended:
        more |= {"esn_en": True, "esn": sequence // LOW}
    return SecurityAssociation(
        ESP, SPI, seq_num=sequence % LOW, crypt_algo=CIPHERS[suite.rfc], crypt_key=secret.key[:32] + secret.salt,
        tunnel_header=UNDERLAY, nat_t_header=PORTS, **more,
    )  # fmt: skip


def sealed(suite: Suite, inner: bytes, sequence: int) -> bytes:
    secret = keymat(suite)
    return OutboundSa(SPI, secret.key, secret.salt, suite=suite, sequence=sequence - 1).seal(inner)


@EACH
@settings(deadline=None, max_examples=20)
@given(payload=st.binary(max_size=300), number=st.integers(1, 2**40))
def test_scapy_decodes_ours(suite: Suite, payload: bytes, number: int) -> None:
    sequence = number if suite.is_extended else number % suite.max_sequence + 1
    inner = bytes(IP(src="10.200.0.24", dst="10.200.0.25") / ICMP() / Raw(payload))
    outer = IP(bytes(UNDERLAY / PORTS / ESP(sealed(suite, inner, sequence))))
    assert bytes(scapy_sa(suite, sequence).decrypt(outer)) == inner


@EACH
@settings(deadline=None, max_examples=20)
@given(payload=st.binary(max_size=300), number=st.integers(1, 2**40))
def test_we_decode_scapys(suite: Suite, payload: bytes, number: int) -> None:
    number += number % LOW == 0  # Scapy takes the lower half alone, and that from 1 on
    sequence = number if suite.is_extended else number % suite.max_sequence + 1
    inner = IP(src="10.200.0.24", dst="10.200.0.25") / UDP(sport=1, dport=2) / Raw(payload)
    sent = scapy_sa(suite, sequence).encrypt(inner)
    secret = keymat(suite)
    inbound = InboundSa(SPI, secret.key, secret.salt, replay_window=1024, suite=suite)
    if suite.is_extended and sequence >= LOW:
        inbound._window.commit(sequence - 1)
    packet, next_header = inbound.open(bytes(sent[UDP].payload))
    assert next_header == 4
    assert IP(packet)[Raw].load == payload if payload else IP(packet)[UDP].dport == 2
    assert inbound.highest_sequence == sequence


@EACH
def test_scapy_refuses_ours_when_it_is_altered(suite: Suite) -> None:
    datagram = bytearray(sealed(suite, bytes(IP() / ICMP()), 1))
    datagram[20] ^= 1
    outer = IP(bytes(UNDERLAY / PORTS / ESP(bytes(datagram))))
    with pytest.raises(IPSecIntegrityError):
        scapy_sa(suite, 1).decrypt(outer)


# Debian 12's Wireshark knows neither ChaCha20 nor extended numbers, and none knows ENCR_NULL_AUTH_AES_GMAC.
@pytest.mark.parametrize("name", ["aes-256-gcm", "aes-256-ctr-hmac-sha-256"])
def test_wireshark_decodes_ours_with_the_line_of_the_key_log(name: str, tmp_path: Path) -> None:
    suite = SUITES[name]
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("no tshark")
    inner = bytes(IP(src="10.200.0.24", dst="10.200.0.25") / ICMP() / Raw(b"marker"))
    capture = tmp_path / "wire.pcap"
    wrpcap(str(capture), [IP(bytes(UNDERLAY / PORTS / Raw(sealed(suite, inner, n)))) for n in (1, 2)])
    secret = keymat(suite)
    line = esp_sa_line(
        SaInstalled(True, SPI, secret.key, secret.salt, suite), IPv4Address(UNDERLAY.src), IPv4Address(UNDERLAY.dst)
    )
    argv = [
        tshark, "-r", str(capture), "-o", "esp.enable_encryption_decode:TRUE",
        "-o", "esp.enable_authentication_check:TRUE", "-o", f"uat:esp_sa:{line}", "-d", "udp.port==20012,udpencap",
        "-T", "fields", "-e", "ip.dst", "-e", "icmp.type", "-e", "esp.icv_good", "-e", "esp.icv_bad",
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(addresses, kind) for addresses, kind, *_ in lines] == [("172.20.0.4,10.200.0.25", "8")] * 2, done
    assert [good for _, _, good, _ in lines] == ["1", "1"], done
