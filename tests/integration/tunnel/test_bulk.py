"""Bulk data through two real agents: every octet arrives, whatever was joined and cut on the way; also under attack."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.utils import rdpcap

from kms.tunnel.dataplane.tun import TunDevice
from kms.tunnel.packet.segmentation import Joiner
from scripts.testbed.paths import REPOSITORY
from tests.support.tunnel_lab import UNDERLAY, Lab, Pair, capture
from tests.support.wait import wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_tun, pytest.mark.counts_packets]
_NUMBERS = count(1)
FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])

TCP_SINK = """
import hashlib, socket, sys
server = socket.create_server((sys.argv[1], 7001), family=int(sys.argv[2])); print("ready", flush=True)
stream, _ = server.accept(); digest = hashlib.sha256(); total = 0
while data := stream.recv(1 << 16):
    digest.update(data); total += len(data); stream.sendall(data[:1])
print(total, digest.hexdigest(), flush=True)
"""
TCP_SOURCE = """
import hashlib, random, socket, sys, threading
stream = socket.create_connection((sys.argv[1], 7001)); source = random.Random(5)
reader = threading.Thread(target=lambda: [0 for _ in iter(lambda: stream.recv(4096), b"")], daemon=True)
reader.start()
digest = hashlib.sha256(); total = 0
while total < 6_000_000:
    data = source.randbytes(source.choice((1, 37, 1385, 1386, 9000, 200_000))); stream.sendall(data)
    digest.update(data); total += len(data)
stream.shutdown(socket.SHUT_WR); reader.join(30); print(total, digest.hexdigest(), flush=True)
"""
UDP_SINK = """
import socket, sys
sink = socket.socket(int(sys.argv[2]), socket.SOCK_DGRAM); sink.bind((sys.argv[1], 7002)); sink.settimeout(20)
sink.setsockopt(socket.SOL_SOCKET, 33, 8 << 20); print("ready", flush=True)
seen = []
try:
    while len(seen) < 2000:
        data = sink.recv(65536); number = int.from_bytes(data[:4], "big")
        assert data == number.to_bytes(4, "big") * (len(data) // 4), number
        seen.append((number, len(data)))
except TimeoutError:
    pass
print(len(set(seen)), flush=True)
"""
UDP_SOURCE = """
import socket, struct, sys, time
source = socket.socket(int(sys.argv[2]), socket.SOCK_DGRAM); source.connect((sys.argv[1], 7002))
for burst in range(100):  # 20 datagrams in one call: the kernel hands them to the tunnel as one (USO) or one by one
    size = (64, 512, 1388)[burst % 3]; first = burst * 20
    data = b"".join((first + n).to_bytes(4, "big") * (size // 4) for n in range(20))
    source.sendmsg([data], [(17, 103, struct.pack("=H", size))])
    time.sleep(0.01)  # its pace: the queues on the way are to lose nothing
"""
# From the peer's address and port, past the peer's own socket: what somebody on the path could send.
FORGER = """
import random, socket, struct, sys
sys.path.insert(0, sys.argv[5])
from tests.mutation.datagrams import mutated
source, target, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
samples = [bytes.fromhex(line) for line in sys.stdin.read().split()]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW); chance = random.Random(3); sent = 0
while sent < count:
    data = mutated(chance, samples)[:1472]
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 0, 0, 64, 17, 0, socket.inet_aton(source),
                         socket.inet_aton(target))
    raw.sendto(header + struct.pack("!HHHH", port, port, 8 + len(data), 0) + data, (target, 0)); sent += 1
print(sent)
"""


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    pair = Pair(lab, next(_NUMBERS), {"rekey_s": 0.2}, has_ipv6=True)
    pair.add()
    pair.wait_up()
    yield pair
    pair.remove()


def run_both(pair: Pair, sink: str, source: str, family: socket.AddressFamily) -> tuple[str, str]:
    """What the sink at b and the source at a print."""
    lab, address = pair.lab, pair.address("b") if family is socket.AF_INET else pair.address6("b")
    arguments = (address, str(int(family)))
    into = ["ip", "netns", "exec", lab.ns("b"), sys.executable, "-c", sink, *arguments]
    with subprocess.Popen(into, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        sent = lab.run("a", sys.executable, "-c", source, *arguments)
        return receiver.stdout.read().strip(), sent.strip()


@FAMILIES
def test_a_tcp_stream_arrives_octet_by_octet_through_many_keys(pair: Pair, family: socket.AddressFamily) -> None:
    got, sent = run_both(pair, TCP_SINK, TCP_SOURCE, family)
    assert got == sent
    assert pair.stats("b")["rx_packets"] > 4000
    assert pair.stats("b")["rx_auth_failures"] == pair.stats("b")["rx_malformed"] == 0


@FAMILIES
def test_datagrams_arrive_as_they_were_sent(pair: Pair, family: socket.AddressFamily) -> None:
    got, _ = run_both(pair, UDP_SINK, UDP_SOURCE, family)
    assert int(got) == 2000


def test_forged_datagrams_at_the_live_socket_are_counted_and_traffic_goes_on(
    lab: Lab, pair: Pair, tmp_path: Path
) -> None:
    number = int(os.environ.get("QSLICE_FORGED_DATAGRAMS", "5000"))
    with capture(lab, "b", tmp_path / "wire.pcap"):
        pair.ping("-c", "50", "-i", "0.01", "-s", "200")
    wire = [packet[UDP] for packet in rdpcap(str(tmp_path / "wire.pcap")) if UDP in packet]
    samples = [bytes(packet.payload).hex() for packet in wire if packet.dport == pair.port]
    assert len(samples) >= 50
    before, size = fates(pair), resident_kb(lab)
    argv = ["ip", "netns", "exec", lab.ns("a"), sys.executable, "-c", FORGER, UNDERLAY["a"], UNDERLAY["b"],
            str(pair.port), str(number), str(REPOSITORY)]  # fmt: skip
    sent = int(subprocess.run(argv, input="\n".join(samples), capture_output=True, text=True, check=True).stdout)
    wait_until(lambda: fates(pair) + kernel_drops(lab, pair) >= before + sent, 30.0)
    assert resident_kb(lab) < size + 20_000
    assert "0% packet loss" in pair.ping("-c", "20", "-i", "0.01")
    log = (lab.directory / "agent-b.log").read_text()
    assert "Traceback" not in log


def fates(pair: Pair) -> int:
    """Datagrams that b has accounted for."""
    from tests.mutation.datagrams import FATES

    stats = pair.stats("b")
    return sum(stats[name] for name in FATES)


def kernel_drops(lab: Lab, pair: Pair) -> int:
    """Datagrams that b's full socket did not take."""
    lines = lab.run("b", "cat", "/proc/net/udp").splitlines()
    return sum(int(line.split()[-1]) for line in lines if f":{pair.port:04X} " in line)


def resident_kb(lab: Lab) -> int:
    status = Path(f"/proc/{lab.processes['agent-b'].pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found
    return int(found[1])


@pytest.mark.parametrize("size", [1, 64, 512, 1388])
def test_the_kernel_takes_whatever_is_joined(size: int) -> None:
    """400 datagrams of one stream that have come at once, written to a device as the data plane does."""
    name, count = f"qt{os.getpid()}"[-15:], 400
    device = TunDevice(name)
    try:
        for words in (("addr", "add", "198.18.0.1", "peer", "198.18.0.2", "dev", name), ("link", "set", name, "up")):
            subprocess.run(["ip", *words], check=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
            sink.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
            sink.bind(("198.18.0.1", 7003))
            sink.settimeout(5)
            head = IP(src="198.18.0.2", dst="198.18.0.1", flags="DF") / UDP(sport=9, dport=7003)
            payloads = [n.to_bytes(2, "big")[-size:].ljust(size, b"x") for n in range(count)]
            rows = np.array([list(bytes(head / payload)) for payload in payloads], np.uint8)
            for joint, _ in Joiner(len(rows), rows.size).join(rows, rows.shape[1], udp=device.has_uso):
                os.write(device.fd, joint)
            assert [sink.recv(2000) for _ in range(count)] == payloads
    finally:
        device.close()
