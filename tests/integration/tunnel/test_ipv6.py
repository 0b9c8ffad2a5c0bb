"""IPv6 inside the tunnel, between two real agents: traffic in super-packets, selectors, what a listener sees."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw
from scapy.utils import rdpcap

from tests.support.tunnel_lab import Lab, Pair, capture
from tests.support.wait import PATIENCE, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_tun, pytest.mark.counts_packets]
_NUMBERS = count(1)

RECEIVER = (
    "import socket, sys; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::', 7777)); "
    "s.settimeout(float(sys.argv[1])); print('ready', flush=True); print(s.recv(99), flush=True)"
)
SENDER = (
    "import socket, sys; s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM); "
    "s.sendto(bytes.fromhex(sys.argv[1]), ('data0', 0x86DD, 0, 0, bytes.fromhex(sys.argv[2])))"
)


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    pair = Pair(lab, next(_NUMBERS), {}, has_ipv6=True)
    pair.add()
    pair.wait_up()
    yield pair
    for client in lab.clients.values():
        client.ask("remove", connection_id=pair.id)


def drops(pair: Pair) -> list[int]:
    return [pair.stats(name)[f"{way}_selector_drops"] for name in "ab" for way in ("tx", "rx")]


def arrived(pair: Pair) -> list[int]:
    """ping does not wait for what is late on a loaded machine; the ends count it."""
    return [pair.stats(name)[f"{way}_packets"] for name in "ab" for way in ("tx", "rx")]


def test_both_families_pass_nothing_else_is_said_and_removal_leaves_nothing(lab: Lab, pair: Pair) -> None:
    pair.ping6("-c", "20", "-i", "0.01")
    pair.ping("-c", "20", "-i", "0.01")
    wait_until(lambda: arrived(pair) == [40] * 4, 10.0)
    shown = lab.run("a", "ip", "-6", "addr", "show", "dev", pair.interface)
    assert f"{pair.address6('a')}/128" in shown
    assert "fe80" not in shown
    assert "tentative" not in shown
    assert drops(pair) == [0] * 4, "the kernel says nothing of its own on that device"
    pair.remove()
    for name in "ab":
        assert pair.address6(name) not in lab.run(name, "ip", "-6", "addr") + lab.run(name, "ip", "-6", "route")


def test_the_largest_packet_passes_and_a_larger_one_in_fragments(pair: Pair) -> None:
    pair.ping6("-c", "3", "-i", "0.01", "-M", "do", "-s", str(1438 - 48))
    wait_until(lambda: arrived(pair) == [3] * 4, 10.0)
    pair.ping6("-c", "3", "-i", "0.01", "-s", "4000")
    wait_until(lambda: arrived(pair) == [3 + 3 * 3] * 4, 10.0)
    assert drops(pair) == [0] * 4


def device_packets(lab: Lab, pair: Pair, name: str) -> tuple[int, int]:
    """What the device took from the agent and what it gave it, a super-packet counting as one."""
    (found,) = json.loads(lab.run(name, "ip", "-json", "-statistics", "link", "show", "dev", pair.interface))
    return found["stats64"]["rx"]["packets"], found["stats64"]["tx"]["packets"]


def test_a_tcp_stream_moves_in_super_packets_at_both_ends_both_ways(lab: Lab, pair: Pair) -> None:
    lab.start("iperf3", "b", "iperf3", "-s", "-B", pair.address6("b"))
    try:
        wait_until(lambda: ":5201" in lab.run("b", "ss", "-Hltn"), 10.0)
        for sender, receiver, options in (("a", "b", ()), ("b", "a", ("-R",))):
            before = {n: (pair.stats(n), device_packets(lab, pair, n)) for n in "ab"}
            shown = lab.run("a", "iperf3", "-6", "-J", "-t", "1", "-c", pair.address6("b"), *options)
            assert json.loads(shown)["end"]["sum_received"]["bytes"] > 1_000_000
            after = {n: (pair.stats(n), device_packets(lab, pair, n)) for n in "ab"}

            def grown(name: str, counter: str, index: int, before: Any = before, after: Any = after) -> float:
                packets = after[name][0][counter] - before[name][0][counter]
                return float(packets / (after[name][1][index] - before[name][1][index]))

            assert grown(sender, "tx_packets", 1) > 3, "the device hands over many segments under one header"
            assert grown(receiver, "rx_packets", 0) > 3, "what has come is joined again"
    finally:
        lab.stop("iperf3")
    assert drops(pair) == [0] * 4


def test_an_independent_decoder_finds_ipv6_inside_both_ways(lab: Lab, pair: Pair, tmp_path: Path) -> None:
    pcap, marker = tmp_path / "wire.pcap", "716d61726b6572"
    with capture(lab, "b", pcap):
        pair.ping6("-c", "5", "-i", "0.01", "-p", marker, "-s", "64")
    octets = bytes.fromhex(marker)
    assert octets * 3 not in pcap.read_bytes()
    table = [json.loads(f"[{line}]") for line in (lab.directory / "keylog-a").read_text().splitlines()]
    keys = {int(line[3], 16): bytes.fromhex(line[5][2:]) for line in table}
    decrypted = []
    for packet in rdpcap(str(pcap)):
        if UDP not in packet or packet[UDP].dport != pair.port or bytes(packet[UDP].payload)[:4] == bytes(4):
            continue
        esp = bytes(packet[UDP].payload)
        header = IP(src=packet[IP].src, dst=packet[IP].dst, proto=50)
        spi = int.from_bytes(esp[:4], "big")
        sa = SecurityAssociation(ESP, spi, crypt_algo="AES-GCM", crypt_key=keys[spi], tunnel_header=header)
        decrypted.append(IPv6(bytes(sa.decrypt(IP(bytes(header / ESP(esp)))))))
    assert len(decrypted) == 10
    there, back = (pair.address6(name) for name in "ab")
    assert sum((p.src, p.dst) == (there, back) and ICMPv6EchoRequest in p for p in decrypted) == 5
    assert sum((p.src, p.dst) == (back, there) and ICMPv6EchoReply in p for p in decrypted) == 5
    assert all(octets * 3 in bytes(p) for p in decrypted)


def test_ipv6_packets_of_another_slice_do_not_enter_the_tunnel(lab: Lab, pair: Pair) -> None:
    foreign, beyond = "fd51:5c1c::f0", "fd51:5c1c::f1"
    lab.run("a", "ip", "addr", "add", f"{foreign}/128", "dev", pair.interface, "nodad")
    lab.run("a", "ip", "route", "add", f"{beyond}/128", "dev", pair.interface)
    before = pair.stats("a")
    for source, target in ((foreign, beyond), (foreign, pair.address6("b")), (pair.address6("a"), beyond)):
        lab.run("a", "ping", "-6", "-c", "3", "-i", "0.01", "-W", "1", "-I", source, target, check=False)
    after = pair.stats("a")
    assert after["tx_selector_drops"] - before["tx_selector_drops"] == 9
    assert after["tx_packets"] == before["tx_packets"]


def test_plaintext_ipv6_that_claims_to_come_from_the_peer_is_not_accepted_on_the_underlay(lab: Lab, pair: Pair) -> None:
    forged = IPv6(src=pair.address6("b"), dst=pair.address6("a")) / UDP(sport=9, dport=7777) / Raw(b"forged")
    mac = re.search(r"link/ether (\S+)", lab.run("a", "ip", "link", "show", "data0"))
    assert mac

    def is_accepted(wait_s: str) -> bool:
        argv = ["ip", "netns", "exec", lab.ns("a"), sys.executable, "-c", RECEIVER, wait_s]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            lab.run("b", sys.executable, "-c", SENDER, bytes(forged).hex(), mac[1].replace(":", ""))
            return b"forged" in process.stdout.read()

    setting = "/proc/sys/net/ipv6/conf/data0/disable_ipv6"
    assert not is_accepted("0.3")
    agent = lab.processes["agent-a"]
    agent.send_signal(signal.SIGSTOP)
    try:  # nobody puts it right
        lab.run("a", "sh", "-c", f"echo 0 > {setting}")
        assert is_accepted(str(5 * PATIENCE)), "the attack works when the defence is off"
    finally:
        lab.run("a", "sh", "-c", f"echo 1 > {setting}")
        agent.send_signal(signal.SIGCONT)


def test_an_underlay_too_narrow_for_ipv6_is_named(lab: Lab) -> None:
    pair = Pair(lab, next(_NUMBERS), {}, has_ipv6=True)
    lab.run("a", "ip", "link", "set", "data0", "mtu", "1341")
    try:
        answer = lab.clients["a"].ask("add", connection=pair.config("a"))
        assert (answer["error"]["type"], answer["error"]["field"]) == ("invalid", "connection.local_address6")
        assert "1280" in answer["error"]["message"]
    finally:
        lab.run("a", "ip", "link", "set", "data0", "mtu", "1500")
    assert lab.clients["a"].do("list")["connections"] == []


def test_what_padding_hides_of_ipv4_it_hides_of_ipv6(lab: Lab, tmp_path: Path) -> None:
    pair, pcap = Pair(lab, next(_NUMBERS), {"padding": "mtu"}, has_ipv6=True), tmp_path / "wire.pcap"
    pair.add()
    pair.wait_up()
    with capture(lab, "b", pcap):
        for size in ("8", "700", str(1438 - 48)):
            pair.ping6("-c", "5", "-i", "0.02", "-s", size)
        wait_until(lambda: arrived(pair) == [15] * 4, 10.0)
    pair.remove()
    assert {len(p[UDP].payload) for p in rdpcap(str(pcap)) if UDP in p and bytes(p[UDP].payload)[:4] != bytes(4)} == {
        1472
    }
