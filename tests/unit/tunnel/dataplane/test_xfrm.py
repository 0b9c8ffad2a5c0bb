"""Messages to the kernel's IPsec, against the layout of linux/xfrm.h and what iproute2 reads back from a kernel."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from kms.tunnel.config import ConnectionConfig
from kms.tunnel.dataplane import xfrm
from kms.tunnel.dataplane.kernel_host import refuses
from kms.tunnel.packet.cipher_suites import SUITES
from kms.tunnel.packet.ip_header import AddressPair
from scripts.testbed.paths import REPOSITORY
from tests.unit.tunnel.agent.test_config import CONNECTION

ROOT = REPOSITORY
INNER = AddressPair(IPv4Address("10.200.0.0"), IPv4Address("10.200.0.1"))
INNER6 = AddressPair(IPv6Address("fd51:5c1c::"), IPv6Address("fd51:5c1c::1"))
ENDS = xfrm.Ends(IPv4Address("172.20.0.2"), IPv4Address("172.20.0.3"), (INNER,))
BOTH = replace(ENDS, inner=(INNER, INNER6))
STATE = xfrm.State(ENDS, 0x11223344, 20012, 0x51534E2C, 1024, 61, bytes(range(32)), b"salt")


def attributes(octets: bytes) -> dict[int, bytes]:
    found = {}
    while octets:
        length, kind = struct.unpack_from("=HH", octets)
        found[kind] = octets[4:length]
        octets = octets[(length + 3) // 4 * 4 :]
    return found


def test_a_state_has_the_layout_of_the_kernels_header() -> None:
    body = xfrm.add_state(STATE).body
    # struct xfrm_usersa_info: offsets as a C compiler gives them on x86-64.
    assert xfrm.STATE_BYTES == 224
    assert body[0:4] == IPv4Address("10.200.0.1").packed  # sel.daddr
    assert body[16:20] == IPv4Address("10.200.0.0").packed  # sel.saddr
    assert body[40:44] == struct.pack("=HBB", 2, 32, 32)  # sel.family, prefix lengths
    assert body[56:60] == IPv4Address("172.20.0.3").packed  # id.daddr
    assert body[72:77] == bytes.fromhex("1122334432")  # id.spi, id.proto
    assert body[80:84] == IPv4Address("172.20.0.2").packed  # saddr
    assert struct.unpack_from("=Q", body, 96 + 40) == (61,)  # lft.hard_add_expires_seconds
    assert struct.unpack_from("=IHB", body, 208) == (0x51534E2C, 2, 1)  # reqid, family, tunnel mode
    found = attributes(body[224:])
    assert found[18][:16] == b"rfc4106(gcm(aes)"
    assert struct.unpack_from("=II", found[18], 64) == (288, 128)
    assert found[18][72:] == STATE.key + STATE.salt
    assert found[4][:6] == struct.pack("=H", 2) + struct.pack("!HH", 20012, 20012)
    assert struct.unpack_from("=6I", found[23]) == (32, 0, 0, 0, 0, 1024)
    assert len(found[23]) == 24 + 32 * 4
    assert found[24] == struct.pack("=I", 1)  # XFRM_SA_XFLAG_DONT_ENCAP_DSCP
    assert found[31] == struct.pack("=I", 0x51534E2C)


def test_a_state_for_both_families_leaves_the_choice_to_the_policies() -> None:
    body = xfrm.add_state(replace(STATE, ends=BOTH)).body
    assert body[:56] == bytes(56)  # sel
    assert body[216] == 32  # xfrm_usersa_info.flags: XFRM_STATE_AF_UNSPEC


def test_each_suite_as_the_kernel_names_it() -> None:
    names = {"4106": b"rfc4106(gcm(aes))", "4543": b"rfc4543(gcm(aes))", "7634": b"rfc7539esp(chacha20,poly1305)"}
    for suite in SUITES.values():
        body = xfrm.add_state(replace(STATE, key=bytes(range(suite.key_bytes)), suite=suite)).body
        assert body[216] == (128 if suite.is_extended else 0)  # xfrm_usersa_info.flags: XFRM_STATE_ESN
        found = attributes(body[224:])
        if not suite.is_split:
            assert found[18][:64].rstrip(b"\0") == names[suite.rfc]
            assert found[18][64:] == struct.pack("=II", 288, 128) + bytes(range(32)) + b"salt"
            continue
        assert 18 not in found
        assert found[2] == b"rfc3686(ctr(aes))".ljust(64, b"\0") + struct.pack("=I", 288) + bytes(range(32)) + b"salt"
        assert found[20] == b"hmac(sha256)".ljust(64, b"\0") + struct.pack("=II", 256, 128) + bytes(range(32, 64))


def test_numbers_of_64_bits_are_read_whole() -> None:
    body = bytearray(xfrm.add_state(STATE).body)
    replay = bytes(body).index(struct.pack("=6I", 32, 0, 0, 0, 0, 1024))
    struct.pack_into("=IIIII", body, replay, 32, 5, 6, 1, 2)
    usage = xfrm.parse_state(bytes(body))
    assert (usage.sent, usage.received) == (2**32 + 5, 2**33 + 6)


def test_what_the_kernel_has_counted_is_read_from_its_place() -> None:
    body = bytearray(xfrm.add_state(STATE).body)
    struct.pack_into("=QQ", body, 160, 123456, 789)
    struct.pack_into("=III", body, 192, 1, 2, 3)
    replay = bytes(body).index(struct.pack("=6I", 32, 0, 0, 0, 0, 1024))
    struct.pack_into("=III", body, replay, 32, 500, 600)
    usage = xfrm.parse_state(bytes(body))
    assert usage == xfrm.Usage(789, 123456, too_old=1, repeated=2, auth_failures=3, sent=500, received=600)


def test_keys_are_not_shown() -> None:
    assert STATE.key.hex() not in repr(STATE)
    assert repr(STATE.key) not in repr(STATE)
    assert "salt" not in repr(STATE).replace("salt=", "")
    assert repr(STATE.key) not in repr(xfrm.add_state(STATE))


def test_a_window_wider_than_the_kernels_is_left_to_user_space() -> None:
    config = ConnectionConfig(**CONNECTION)
    assert refuses(config) is None
    assert refuses(config.model_copy(update={"replay_window": 4096})) is None
    assert refuses(config.model_copy(update={"replay_window": 8192})) is not None


PROGRAM = """
import subprocess
from tests.unit.tunnel.dataplane.test_xfrm import BOTH, ENDS
from kms.tunnel.dataplane import kernel_host, netlink, xfrm
def tell(*requests): netlink.carry_out(requests, family=netlink.XFRM)
def show(): print(subprocess.run(["ip", "xfrm", "policy"], capture_output=True, text=True, check=True).stdout, "--")
number = 0x51534e2c
tell(*xfrm.let_nothing_out(BOTH, number), *xfrm.let_in(BOTH.reversed(), number)); show()
tell(*xfrm.let_out(BOTH, number, 0x11223344)); show()
tell(*xfrm.let_out(ENDS, 7, 0x55667788)); kernel_host.sweep(); show()
"""


@pytest.mark.needs_root
def test_a_kernel_reads_the_policies_as_they_are_meant() -> None:
    """Policies need no ESP, so that any kernel with XFRM will do. Another's are left alone by a sweep."""
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "Protocol not supported" in done.stderr:
        pytest.skip("this kernel has no XFRM")
    assert done.returncode == 0, done.stderr
    blocked, allowed, swept = done.stdout.split("--")[:3]
    assert "src 10.200.0.0/32 dst 10.200.0.1/32 \n\tdir out action block" in blocked
    assert "src 10.200.0.1/32 dst 10.200.0.0/32 \n\tdir in" in blocked
    assert "src fd51:5c1c::/128 dst fd51:5c1c::1/128 \n\tdir out action block" in blocked
    assert "src fd51:5c1c::1/128 dst fd51:5c1c::/128 \n\tdir in" in blocked
    assert blocked.count("tmpl src 172.20.0.3 dst 172.20.0.2") == 2
    assert "action block" not in allowed
    assert allowed.count("proto esp spi 0x11223344 reqid 1364413996 mode tunnel") == 2
    assert "if_id 0x51534e2c" in allowed
    assert "0x51534e2c" not in swept
    assert "0x55667788" in swept
