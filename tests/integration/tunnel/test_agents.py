"""Two real agents on two hosts: traffic, rekeying, faults, and what a listener on the wire sees."""

from __future__ import annotations

import json
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw
from scapy.utils import rdpcap

from kms.tunnel.packet.cipher_suites import SUITES
from tests.support.tunnel_lab import UNDERLAY, Lab, MakePair, Pair, capture, loss_pct
from tests.support.wait import PATIENCE, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_tun, pytest.mark.counts_packets]


def test_ping_passes_and_removal_leaves_nothing(lab: Lab, make_pair: MakePair) -> None:
    pair = make_pair()
    assert loss_pct(pair.ping("-c", "20", "-i", "0.01")) == 0
    assert pair.stats("a")["tx_packets"] == pair.stats("b")["rx_packets"] == 20
    assert pair.stats("a")["mtu"] == 1438
    pair.remove()
    for name in "ab":
        assert pair.interface not in lab.run(name, "ip", "link")
        assert pair.address(name) not in lab.run(name, "ip", "addr")
        assert "10.200" not in lab.run(name, "ip", "route")
        assert str(pair.port) not in lab.run(name, "ss", "-lun")


def test_rekeying_under_a_1_khz_ping_loses_nothing(make_pair: MakePair) -> None:
    pair = make_pair(rekey_s=0.5)
    before = pair.stats("a")["rekeys"]
    output = pair.ping("-c", "3500", "-i", "0.001")
    assert loss_pct(output) == 0, output
    assert pair.stats("a")["rekeys"] - before >= 5
    assert pair.stats("b")["rekeys"] >= 5
    for name in "ab":
        stats = pair.stats(name)
        assert (stats["rx_replay_drops"], stats["rx_auth_failures"], stats["rx_unknown_spi"]) == (0, 0, 0)


def test_fault_07_agents_tell_which_keys_are_in_use_whatever_they_have_been_told(lab: Lab, make_pair: MakePair) -> None:
    pair = make_pair()
    pair.wait_up()
    first = pair.config("a")["key_source"]
    assert {pair.stats(name)["keys_in_use"] for name in "ab"} == {first}
    lab.clients["b"].do("modify", connection=pair.config("b") | {"key_source": "dh"})
    assert (pair.stats("b")["key_source"], pair.stats("b")["keys_in_use"]) == ("dh", first)
    lab.clients["a"].do("modify", connection=pair.config("a") | {"key_source": "dh"})
    pair.wait_up()
    for name in "ab":
        (listed,) = lab.clients[name].do("list")["connections"]
        (watched,) = lab.clients[name].do("watch", timeout_s=1.0)["connections"].values()
        assert listed["keys_in_use"] == watched["keys_in_use"] == pair.stats(name)["keys_in_use"] == "dh"


def test_another_key_source_under_a_1_khz_ping_loses_nothing(lab: Lab, make_pair: MakePair) -> None:
    pair = make_pair()
    pinger = subprocess.Popen(
        ["ip", "netns", "exec", lab.ns("a"), "ping", "-q", "-c", "1000", "-i", "0.001", pair.address("b")],
        stdout=subprocess.PIPE,
        text=True,
    )
    for name in "ba":
        lab.clients[name].do("modify", connection=pair.config(name) | {"key_source": "dh"})
    pair.wait_up()
    for name in "ab":
        assert pair.stats(name)["key_source"] == "dh"
        assert pair.stats(name)["rekeys"] >= 1
        refused = lab.clients[name].ask("modify", connection=pair.config(name) | {"port": 1})
        assert refused["error"]["type"] == "conflict"
    output = pinger.communicate()[0]
    assert loss_pct(output) == 0, output
    missing = lab.clients["a"].ask("modify", connection=pair.config("a") | {"id": "no/body"})
    assert missing["error"]["type"] == "not_found"


@pytest.mark.parametrize("suite", [name for name in SUITES if name.endswith("-esn")])
def test_each_suite_carries_packets(make_pair: MakePair, suite: str) -> None:
    pair = make_pair(suite=suite, key_source="qkd+dh")
    pair.ping("-c", "20", "-i", "0.01", "-s", "1000")
    # ping does not wait for what is late on a loaded machine; the ends count it.
    wait_until(lambda: all(pair.stats(name)["rx_packets"] == 20 for name in "ab"), 10.0)
    for name in "ab":
        stats = pair.stats(name)
        assert (stats["suite"], stats["rx_auth_failures"], stats["rx_selector_drops"]) == (suite, 0, 0)


@pytest.mark.parametrize("padding", ["mtu", "constant-rate"])
def test_padded_packets_are_all_of_one_length(lab: Lab, make_pair: MakePair, tmp_path: Path, padding: str) -> None:
    pair, pcap = make_pair(padding=padding), tmp_path / "wire.pcap"
    with capture(lab, "b", pcap):
        for size in ("8", "700", str(1438 - 28)):
            pair.ping("-c", "5", "-i", "0.02", "-s", size)
        wait_until(lambda: all(pair.stats(name)["rx_packets"] == 15 for name in "ab"), 10.0)
    lengths = {len(p[UDP].payload) for p in rdpcap(str(pcap)) if UDP in p and bytes(p[UDP].payload)[:4] != bytes(4)}
    assert lengths == {1472}
    dummies = pair.stats("b")["rx_dummies"]
    assert dummies > 100 if padding == "constant-rate" else dummies == 0


def test_the_largest_packet_passes_unfragmented(lab: Lab, make_pair: MakePair, tmp_path: Path) -> None:
    pair = make_pair()
    pcap = tmp_path / "wire.pcap"
    with capture(lab, "b", pcap):
        assert loss_pct(pair.ping("-c", "3", "-i", "0.01", "-M", "do", "-s", str(1438 - 28))) == 0
        assert loss_pct(pair.ping("-c", "3", "-i", "0.01", "-s", "4000")) == 0
        assert "too long" in lab.run("a", "sh", "-c", f"ping -c 1 -M do -s 1411 {pair.address('b')} 2>&1", check=False)
    outer = [packet[IP] for packet in rdpcap(str(pcap)) if IP in packet and packet[IP].proto == 17]
    assert max(len(packet) for packet in outer) <= 1500
    assert all(packet.flags == "DF" and packet.frag == 0 for packet in outer)


def send_marker(lab: Lab, pair: Pair, marker: str) -> None:
    lab.run("a", "ping", "-q", "-c", "5", "-i", "0.01", "-p", marker, "-s", "64", pair.address("b"))


def test_an_independent_decoder_agrees_and_a_listener_sees_no_marker(
    lab: Lab, make_pair: MakePair, tmp_path: Path
) -> None:
    pair = make_pair()
    pcap, marker = tmp_path / "wire.pcap", "716d61726b6572"
    with capture(lab, "b", pcap):
        send_marker(lab, pair, marker)
    octets = bytes.fromhex(marker)
    assert octets * 3 not in pcap.read_bytes()

    keylog = lab.directory / "keylog-a"
    assert stat.S_IMODE(keylog.stat().st_mode) == 0o600
    table = [json.loads(f"[{line}]") for line in keylog.read_text().splitlines()]
    keys = {int(line[3], 16): bytes.fromhex(line[5][2:]) for line in table}
    datagrams = [
        packet for packet in rdpcap(str(pcap))
        if UDP in packet and packet[UDP].dport == pair.port and bytes(packet[UDP].payload)[:4] != bytes(4)
    ]  # fmt: skip
    decrypted = []
    for packet in datagrams:
        esp = bytes(packet[UDP].payload)
        spi = int.from_bytes(esp[:4], "big")
        header = IP(src=packet[IP].src, dst=packet[IP].dst, proto=50)
        sa = SecurityAssociation(ESP, spi, crypt_algo="AES-GCM", crypt_key=keys[spi], tunnel_header=header)
        decrypted.append(sa.decrypt(IP(bytes(header / ESP(esp)))))
    assert [(p.src, p.dst) for p in decrypted[:2]] == [
        (pair.address("a"), pair.address("b")), (pair.address("b"), pair.address("a"))
    ]  # fmt: skip
    assert len(decrypted) == 10
    assert all(ICMP in p and octets * 3 in bytes(p) for p in decrypted)

    tshark = shutil.which("tshark")
    assert tshark, "tshark is part of the set-up"
    options = ["-o", "esp.enable_encryption_decode:TRUE", "-d", f"udp.port=={pair.port},udpencap"]
    # Only what was captured: Debian 12's tshark refuses a whole table for one line of a suite that it does not know.
    captured = {int.from_bytes(bytes(packet[UDP].payload)[:4], "big") for packet in datagrams}
    for line, row in zip(keylog.read_text().splitlines(), table, strict=False):
        if int(row[3], 16) in captured:
            options += ["-o", f"uat:esp_sa:{line}"]
    fields = ["-T", "fields", "-e", "ip.src", "-e", "icmp.type"]
    argv = [tshark, "-r", str(pcap), *options, "-Y", "icmp", *fields]
    shown = subprocess.run(argv, capture_output=True, text=True, timeout=60 * PATIENCE).stdout.splitlines()
    assert len(shown) == 10
    assert all(f",{pair.address('a')}\t8" in line or f",{pair.address('b')}\t0" in line for line in shown)

    logs = b"".join((lab.directory / f"agent-{name}.log").read_bytes() for name in "ab")
    assert b"UNSAFE" in logs
    for keymat in filter(None, keys.values()):  # GMAC's is no key of confidentiality
        assert keymat[:32].hex().encode() not in logs
        assert repr(keymat[:32])[2:-1].encode() not in logs


def test_in_clear_mode_the_marker_is_on_the_wire_and_removal_leaves_nothing(
    lab: Lab, make_pair: MakePair, tmp_path: Path
) -> None:
    pair = make_pair(mode="clear", key_source="none")
    pcap, marker = tmp_path / "wire.pcap", "716d61726b6572"
    with capture(lab, "b", pcap):
        send_marker(lab, pair, marker)
    assert bytes.fromhex(marker) * 3 in pcap.read_bytes()
    assert pair.stats("a")["state"] == "up"
    pair.remove()
    assert "10.200" not in lab.run("a", "ip", "addr") + lab.run("a", "ip", "route")
    assert "172.20.0.2" in lab.run("a", "ip", "addr")


@pytest.mark.parametrize("options", [{}, {"mode": "clear", "key_source": "none"}])
def test_a_direction_that_swallows_packets_is_known_in_time_and_told_to_who_watches(
    lab: Lab, make_pair: MakePair, options: dict[str, Any]
) -> None:
    pair = make_pair(probe_s=0.5, **options)
    wait_until(lambda: pair.stats("a")["reachable"] is True and pair.stats("b")["reachable"] is True, 5.0)
    wait_until(lambda: pair.stats("a")["rtt_ms"] < 500, 5.0)
    target = pair.address("b") if options else UNDERLAY["b"]
    token = lab.clients["b"].do("watch", timeout_s=0.0)["token"]
    lab.run("a", "ip", "neigh", "replace", target, "lladdr", "02:00:00:00:00:99", "dev", "data0", "nud", "permanent")
    try:
        told: dict[str, Any] = {}
        while told.get("reachable") is not False:
            answer = lab.clients["b"].do("watch", since=token, timeout_s=5.0 * PATIENCE)
            token, told = answer["token"], answer["connections"].get(pair.id, {})
            assert answer["connections"], "nothing was told"
        assert told["failing"] == "in"
        wait_until(lambda: pair.stats("a")["failing"] == "out", 5.0)
    finally:
        lab.run("a", "ip", "neigh", "del", target, "dev", "data0")
    wait_until(lambda: pair.stats("a")["reachable"] is True and pair.stats("b")["reachable"] is True, 5.0)


def test_tcp_hands_over_no_more_at_once_than_the_network_lets_through_in_two_milliseconds(
    lab: Lab, make_pair: MakePair
) -> None:
    pair = make_pair(rate_kbps=20_000)

    def at_once() -> int:
        (found,) = json.loads(lab.run("a", "ip", "-json", "-details", "link", "show", "dev", pair.interface))
        return int(found["gso_max_size"])

    assert at_once() == 5000
    for rate_kbps, octets in ((1000, 2 * 1438), (100_000, 25_000)):
        lab.clients["a"].do("modify", connection=pair.config("a") | {"rate_kbps": rate_kbps})
        assert at_once() == octets


def test_packets_of_another_slice_do_not_enter_the_tunnel(lab: Lab, make_pair: MakePair) -> None:
    """The host routes a foreign packet into the TUN device; the device is a door, the selector keeps it."""
    pair = make_pair()
    lab.run("a", "ip", "addr", "add", "10.200.99.0/32", "dev", "lo")
    lab.run("a", "ip", "route", "add", "10.200.99.1/32", "dev", pair.interface)
    try:
        before = pair.stats("a")
        lab.run("a", "ping", "-c", "3", "-i", "0.01", "-W", "1", "-I", "10.200.99.0", "10.200.99.1", check=False)
        lab.run("a", "ping", "-c", "3", "-i", "0.01", "-W", "1", "-I", "10.200.99.0", pair.address("b"), check=False)
        after = pair.stats("a")
    finally:
        lab.run("a", "ip", "addr", "del", "10.200.99.0/32", "dev", "lo")
    assert after["tx_selector_drops"] - before["tx_selector_drops"] == 6
    assert after["tx_packets"] == before["tx_packets"]


def test_plaintext_that_claims_to_come_from_the_peer_is_not_accepted_on_the_underlay(
    lab: Lab, make_pair: MakePair
) -> None:
    pair = make_pair()
    forged = bytes(IP(src=pair.address("b"), dst=pair.address("a")) / UDP(sport=9, dport=7777) / Raw(b"forged"))
    mac = re.search(r"link/ether (\S+)", lab.run("a", "ip", "link", "show", "data0"))
    assert mac
    sender = (
        "import socket,sys; s=socket.socket(socket.AF_PACKET,socket.SOCK_DGRAM); "
        "s.sendto(bytes.fromhex(sys.argv[1]),('data0',0x0800,0,0,bytes.fromhex(sys.argv[2])))"
    )
    receiver = (
        "import socket; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('',7777)); "
        "s.settimeout(float(__import__('sys').argv[1])); print('ready',flush=True); print(s.recv(99),flush=True)"
    )

    def is_accepted(wait_s: str) -> bool:
        argv = ["ip", "netns", "exec", lab.ns("a"), sys.executable, "-c", receiver, wait_s]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            lab.run("b", sys.executable, "-c", sender, forged.hex(), mac[1].replace(":", ""))
            return b"forged" in process.stdout.read()

    assert not is_accepted("0.3")
    # The value for all interfaces undoes that of one: a machine's is inherited by its namespaces.
    for name, undone in (("data0", "0"), ("all", "2")):
        filter_ = f"/proc/sys/net/ipv4/conf/{name}/rp_filter"
        lab.processes["agent-a"].send_signal(signal.SIGSTOP)  # it would put that right
        try:
            lab.run("a", "sh", "-c", f"echo {undone} > {filter_}")
            assert is_accepted("5"), "the attack works when the defence is off"
        finally:
            lab.processes["agent-a"].send_signal(signal.SIGCONT)
        wait_until(lambda filter_=filter_: lab.run("a", "cat", filter_).strip() == "1", 5.0)  # type: ignore[misc]
        assert not is_accepted("0.3")


def test_the_tun_device_speaks_no_ipv6(lab: Lab, make_pair: MakePair) -> None:
    pair = make_pair()
    assert "inet6" not in lab.run("a", "ip", "addr", "show", pair.interface)
    assert pair.stats("a")["tx_selector_drops"] == 0


def test_garbage_on_the_live_socket_is_counted_and_harms_nothing(lab: Lab, make_pair: MakePair) -> None:
    pair = make_pair()
    flood = """
import random, socket, struct, sys
port, rng = int(sys.argv[1]), random.Random(3)
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
for n in range(10000):
    kind = rng.randrange(3)
    body = (bytes(4) + b"QSTC\\1" if kind == 0 else b"") + rng.randbytes(rng.randrange(200))
    s.sendto(struct.pack(">HHHH", port, port, 8 + len(body), 0) + body, ("172.20.0.2", 0))
"""
    lab.run("b", sys.executable, "-c", flood, str(pair.port))
    names = ("rx_malformed", "rx_unknown_spi", "control_malformed", "rx_keepalives")
    wait_until(lambda: sum(pair.stats("a")[name] for name in names) >= 9000, 10.0)
    assert loss_pct(pair.ping("-c", "20", "-i", "0.01")) == 0
