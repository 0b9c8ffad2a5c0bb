"""The kernel's ESP as data plane: against the userspace tunnel and against itself, with strangers, without keys."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.utils import rdpcap

from kms.tunnel.packet.cipher_suites import SUITES
from kms.tunnel.packet.esp import OutboundSa
from kms.tunnel.packet.ip_header import IPV6
from tests.support.tunnel_lab import UNDERLAY, Lab, Pair, capture
from tests.support.wait import PATIENCE, wait_until

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_tun,
    pytest.mark.needs_kernel_datapath,
    pytest.mark.counts_packets,
    pytest.mark.timeout(1200),
]

CHOSEN, KERNEL_USER, USER_KERNEL = ("auto", "auto"), ("kernel", "userspace"), ("userspace", "kernel")
_NUMBERS = count(1)
_UP_S = 10.0
# What ping waits for last replies: only where one is missing is it as long.
_PATIENTLY = ("-W", f"{2 * PATIENCE:g}")


SENDER = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000)) as stream:
    stream.sendall(bytes(range(256)) * 4096)
    stream.shutdown(socket.SHUT_WR)
    print(stream.recv(64).decode())
"""
RECEIVER = """
import hashlib, socket, sys
family = socket.getaddrinfo(sys.argv[1], None)[0][0]
stream, _ = socket.create_server((sys.argv[1], 7000), family=family).accept()
digest = hashlib.sha256()
while part := stream.recv(65536):
    digest.update(part)
stream.sendall(digest.hexdigest().encode())
"""


@contextmanager
def lab_of(directory: Path, planes: tuple[str, str]) -> Iterator[Lab]:
    lab = Lab(directory)
    try:
        lab.build()
        for name, plane in zip("ab", planes, strict=True):
            config = json.loads(lab.config_path(name).read_text())
            lab.config_path(name).write_text(json.dumps({**config, "data_plane": plane}))
        lab.start_kme()
        for name in "ab":
            lab.start_agent(name)
        yield lab
    finally:
        lab.tear_down()


@pytest.fixture(scope="module", params=[CHOSEN, KERNEL_USER, USER_KERNEL], ids="-".join)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab_of(tmp_path_factory.mktemp("kernel"), request.param) as lab:
        yield lab


# Starting a lab takes most of a test's time: pytest puts these beside the others with both ends in the kernel.
mixed = pytest.mark.parametrize("lab", [KERNEL_USER], indirect=True, ids="-".join, scope="module")
in_kernel = pytest.mark.parametrize("lab", [CHOSEN], indirect=True, ids="-".join, scope="module")


@contextmanager
def connection(lab: Lab, *, has_ipv6: bool = False, **options: Any) -> Iterator[Pair]:
    pair = Pair(lab, next(_NUMBERS), options, has_ipv6)
    try:
        pair.add()
        pair.wait_up(_UP_S * PATIENCE)
        yield pair
    finally:
        for client in lab.clients.values():
            client.ask("remove", connection_id=pair.id)


def losses(output: str) -> float:
    found = re.search(r"([\d.]+)% packet loss", output)
    assert found, output
    return float(found[1])


def listens(lab: Lab, name: str) -> bool:
    return ":7000" in lab.run(name, "ss", "-ltn")


def counts_in_64_bits(lab: Lab, name: str) -> bool:
    """Whether the kernel's SAs have extended sequence numbers. That it writes "anti-replay esn context" says only that
    their replay window is one of those that came with them.
    """
    return re.search(r"\bflag\b.*\besn\b", lab.run(name, "ip", "xfrm", "state")) is not None


def settle(what: Callable[[], bool]) -> None:
    wait_until(what, _UP_S, 0.1)


def test_ten_rekeys_under_a_ping_lose_nothing(lab: Lab) -> None:
    """Both ends carry packets both ways through ten rekeys without a loss"""
    with connection(lab, rekey_s=1.0) as pair:
        before = pair.stats("a")["rekeys"]
        for _ in range(round(8 * PATIENCE)):
            for name, target in (("a", "b"), ("b", "a")):
                output = lab.run(
                    name, "ping", "-q", *_PATIENTLY, "-c", "100", "-i", "0.02", pair.address(target), check=False
                )
                assert losses(output) == 0, (output, pair.stats("a"), pair.stats("b"))
            if pair.stats("a")["rekeys"] - before >= 10:
                break
        assert pair.stats("a")["rekeys"] - before >= 10
        for name in "ab":
            stats = pair.stats(name)
            assert stats["rx_auth_failures"] == stats["rx_replay_drops"] == stats["rx_malformed"] == 0, stats
            assert stats["rx_packets"] >= 300
            assert stats["mtu"] == 1438


def test_tcp_streams_pass_both_ways(lab: Lab) -> None:
    """TCP streams pass in both directions, whole and unaltered, over IPv4 and IPv6"""
    with connection(lab, has_ipv6=True) as pair:
        ways = [
            ("a", "b", pair.address),
            ("a", "b", pair.address6),
            ("b", "a", pair.address),
            ("b", "a", pair.address6),
        ]
        for source, target, address_of in ways:
            address = address_of(target)
            label = f"receiver-{target}"
            receiver = lab.start(label, target, sys.executable, "-c", RECEIVER, address)
            wait_until(partial(listens, lab, target), _UP_S, 0.1)
            digest = lab.run(source, sys.executable, "-c", SENDER, address).strip()
            assert digest == hashlib.sha256(bytes(range(256)) * 4096).hexdigest()
            assert receiver.wait(_UP_S * PATIENCE) == 0
            del lab.processes[label]
        for name in "ab":
            stats = pair.stats(name)
            assert stats["rx_auth_failures"] == stats["rx_replay_drops"] == 0, stats
            assert stats["rx_bytes"] > 2 << 20


def test_ipv6_passes_beside_ipv4(lab: Lab) -> None:
    """IPv6 passes beside IPv4 under the same keys, through a rekey, and nobody else's enters"""
    with connection(lab, has_ipv6=True, rekey_s=1.0) as pair:
        before = pair.stats("a")["rekeys"]
        settle(lambda: pair.stats("a")["rekeys"] > before)
        for size in ("56", str(1438 - 48), "4000"):
            assert losses(pair.ping6("-c", "10", "-i", "0.05", "-s", size)) == 0
        assert losses(pair.ping("-c", "10", "-i", "0.05")) == 0
        for name in "ab":
            assert "fe80" not in lab.run(name, "ip", "-6", "addr", "show", "dev", pair.interface)
            stats = pair.stats(name)
            assert stats["tx_selector_drops"] == stats["rx_selector_drops"] == 0, stats
        lab.run("a", "ip", "addr", "add", "fd51:5c1c::f0/128", "dev", pair.interface, "nodad")
        sent = pair.stats("a")["tx_packets"]
        assert losses(pair.ping6("-c", "3", "-i", "0.05", "-I", "fd51:5c1c::f0")) == 100
        stats = pair.stats("a")
        assert stats["tx_packets"] == sent
        assert stats["tx_selector_drops"] >= 3


@mixed
def test_every_suite_is_the_kernels_too(lab: Lab) -> None:
    """Every cipher suite passes both ways between kernel and userspace, through a rekey, also with ESN"""
    for name, suite in SUITES.items():
        with connection(lab, rekey_s=1.0, suite=name) as pair:
            before = pair.stats("a")["rekeys"]
            settle(lambda pair=pair, before=before: pair.stats("a")["rekeys"] > before)  # type: ignore[misc]
            assert losses(pair.ping(*_PATIENTLY, "-c", "10", "-i", "0.05")) == 0, name
            assert {pair.stats(end)["data_plane"] for end in "ab"} == {"kernel", "userspace"}, name
            assert counts_in_64_bits(lab, "a") == suite.is_extended, name
            for end in "ab":
                stats = pair.stats(end)
                assert stats["suite"] == name
                assert stats["rx_packets"] >= 10
                assert stats["rx_auth_failures"] == stats["rx_replay_drops"] == stats["rx_malformed"] == 0, stats


@in_kernel
def test_the_kernel_is_taken_by_itself_and_nothing_is_left_of_it(lab: Lab) -> None:
    """Where the kernel has ESP it is chosen without being asked for, and a removed connection leaves nothing in it"""
    with connection(lab) as pair:
        for name in "ab":
            assert pair.stats(name)["data_plane"] == "kernel"
            assert "rfc4106(gcm(aes))" in lab.run(name, "ip", "xfrm", "state")
            assert "espinudp" in lab.run(name, "ip", "xfrm", "state")
    for name in "ab":
        assert lab.run(name, "ip", "xfrm", "state") == ""
        assert lab.run(name, "ip", "xfrm", "policy") == ""
        assert pair.interface not in lab.run(name, "ip", "link")
        assert "10.200" not in lab.run(name, "ip", "route")


@in_kernel
def test_strangers_are_dropped_and_counted(lab: Lab) -> None:
    """Packets with an unknown SPI, a wrong tag or a number seen before are dropped and counted, each as what it is"""
    with (
        connection(lab, rekey_s=3600.0, lifetime_s=7200.0) as pair,
        capture(lab, "b", lab.directory / "strangers.pcap"),
    ):
        assert losses(pair.ping(*_PATIENTLY, "-c", "5", "-i", "0.05")) == 0
        key = outbound_key(lab, "a")
        genuine = OutboundSa(*key, sequence=5000).seal(echo(pair.address("a"), pair.address("b")))
        before = pair.stats("b")
        inject(lab, pair, [b"\0\0\x12\x34" + bytes(60)])
        inject(lab, pair, [genuine[:-1] + bytes([genuine[-1] ^ 1])])
        inject(lab, pair, [genuine, genuine])

        def seen() -> dict[str, int]:
            stats = pair.stats("b")
            return {
                "unknown": stats["host_refusals"]["unknown_spi"] - before["host_refusals"]["unknown_spi"],
                "forged": stats["rx_auth_failures"] - before["rx_auth_failures"],
                "replayed": stats["rx_replay_drops"] - before["rx_replay_drops"],
                "taken": stats["rx_packets"] - before["rx_packets"],
            }

        settle(lambda: seen() == {"unknown": 1, "forged": 1, "replayed": 1, "taken": 1})


@in_kernel
def test_other_inner_addresses_do_not_come_out(lab: Lab) -> None:
    """A packet sealed with the right key but with another slice's addresses inside goes nowhere and is counted"""
    with connection(lab, rekey_s=3600.0, lifetime_s=7200.0) as pair, connection(lab) as other:
        key = outbound_key(lab, "a", pair)
        refused = pair.stats("b")["host_refusals"]["selector"]
        replies = lab.directory / "inner.pcap"
        with capture(lab, "b", replies):
            seal = OutboundSa(*key, sequence=9000).seal
            inject(lab, pair, [seal(echo(other.address("a"), pair.address("b")))])
            inject(lab, pair, [seal(echo(pair.address("a"), other.address("b")))])
            settle(lambda: pair.stats("b")["host_refusals"]["selector"] - refused >= 2)
        # An answer would go out through one of the tunnels.
        assert other.stats("b")["tx_packets"] == 0


@in_kernel
def test_other_inner_addresses_do_not_come_out_where_both_families_may(lab: Lab) -> None:
    """The same where the SA is for both families, so that the policies alone tell whose packets may pass"""
    with (
        connection(lab, has_ipv6=True, rekey_s=3600.0, lifetime_s=7200.0) as pair,
        connection(lab, has_ipv6=True) as other,
    ):
        seal = OutboundSa(*outbound_key(lab, "a", pair), sequence=9000).seal
        ours, others = IPv6(src=pair.address6("a"), dst=pair.address6("b")), other.address6("a")
        ping6 = ICMPv6EchoRequest(seq=1)
        foreign = [
            seal(echo(other.address("a"), pair.address("b"))),
            seal(bytes(IPv6(src=others, dst=ours.dst) / ping6), IPV6.next_header),
            seal(bytes(IPv6(src=ours.src, dst=other.address6("b")) / ping6), IPV6.next_header),
        ]
        before = pair.stats("b")
        inject(lab, pair, [*foreign, seal(bytes(ours / ping6), IPV6.next_header)])
        settle(lambda: pair.stats("b")["tx_packets"] - before["tx_packets"] == 1)  # the answer to the last one
        refused = pair.stats("b")["host_refusals"]["selector"] - before["host_refusals"]["selector"]
        assert refused == len(foreign)
        assert other.stats("b")["tx_packets"] == 0


@in_kernel
def test_no_packet_leaves_unsealed(lab: Lab) -> None:
    """Without a key nothing leaves: traffic stops when the last one has ended, and resumes with the next"""
    wire = lab.directory / "wire.pcap"
    with connection(lab, rekey_s=1.0, lifetime_s=20.0) as pair:
        assert losses(pair.ping(*_PATIENTLY, "-c", "5", "-i", "0.05")) == 0
        with capture(lab, "a", wire):
            lab.stop("kme", signal.SIGKILL)
            wait_until(lambda: {pair.stats(name)["state"] for name in "ab"} == {"expired"}, 40.0, 0.2)
            assert losses(pair.ping("-c", "10", "-i", "0.05")) == 100
            assert lab.run("a", "ip", "xfrm", "state") == ""
            assert pair.stats("a")["tx_no_sa_drops"] > 0
            lab.start_kme()
            settle(lambda: losses(pair.ping("-c", "1")) == 0)
    inner = {pair.address("a"), pair.address("b")}
    leaked = [packet for packet in rdpcap(str(wire)) if IP in packet and {packet[IP].src, packet[IP].dst} & inner]
    assert not leaked


@in_kernel
def test_what_a_killed_agent_leaves_ends_by_itself_and_is_swept(lab: Lab) -> None:
    """The kernel forgets a killed agent's keys when their lifetime ends, still sends nothing unsealed, and the next
    agent sweeps up what is left
    """
    wire = lab.directory / "killed.pcap"
    pair = Pair(lab, next(_NUMBERS), {"rekey_s": 1.0, "lifetime_s": 10.0})
    pair.add()
    pair.wait_up(_UP_S * PATIENCE)
    lab.stop_agent("a", signal.SIGKILL)
    with capture(lab, "a", wire):
        wait_until(lambda: lab.run("a", "ip", "xfrm", "state") == "", 60.0, 0.2)
        assert losses(pair.ping("-c", "5", "-i", "0.05")) == 100
    assert not [p for p in rdpcap(str(wire)) if IP in p and p[IP].dst == pair.address("b")]
    lab.start_agent("a")
    assert lab.run("a", "ip", "xfrm", "policy") == ""
    assert pair.interface not in lab.run("a", "ip", "link")
    lab.clients["b"].do("remove", connection_id=pair.id)


def outbound_key(lab: Lab, name: str, pair: Pair | None = None) -> tuple[int, bytes, bytes]:
    """SPI, key and salt of the host's newest outbound SA (of that connection), from its debugging key log."""
    known = lab.run(name, "ip", "xfrm", "policy") if pair is None else ""
    if pair is not None:
        for policy in lab.run(name, "ip", "xfrm", "policy").split("\nsrc "):
            if f"{pair.address(name)}/32" in policy and "dir out" in policy:
                known = policy
    for line in reversed((lab.directory / f"keylog-{name}").read_text().splitlines()):
        _, source, _, spi, _, keymat, *_ = line.replace('"', "").split(",")
        if source == UNDERLAY[name] and f"{int(spi, 16):#010x}" in known:
            octets = bytes.fromhex(keymat.removeprefix("0x"))
            return int(spi, 16), octets[:32], octets[32:]
    raise AssertionError(f"no SA of {name} in its key log: {known}")


def echo(source: str, destination: str) -> bytes:
    return bytes(IP(src=source, dst=destination) / ICMP(id=os.getpid() & 0xFFFF, seq=1))


def inject(lab: Lab, pair: Pair, datagrams: list[bytes]) -> None:
    """Send UDP datagrams from host a with the tunnel's own addresses and ports, past the agent that holds the port."""
    program = (
        "import socket, sys\n"
        "raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)\n"
        "for line in sys.stdin: raw.sendto(bytes.fromhex(line), (sys.argv[1], 0))\n"
    )
    header = [struct.pack("!HHHH", pair.port, pair.port, 8 + len(d), 0) + d for d in datagrams]
    done = subprocess.run(
        ["ip", "netns", "exec", lab.ns("a"), sys.executable, "-c", program, UNDERLAY["b"]],
        input="".join(f"{d.hex()}\n" for d in header),
        text=True,
        capture_output=True,
        timeout=60.0 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
