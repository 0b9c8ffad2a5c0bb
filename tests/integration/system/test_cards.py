"""Wavelengths sealed by cards: what is on the line, and that clients have carrier only while it goes out sealed."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import UDP
from scapy.utils import rdpcap

from kms.tunnel.packet.esp import InboundSa
from kms.tunnel.packet.ethernet import NEXT_HEADER_ETHERNET, tag_of
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem
from tests.support.launcher import LAYOUT, answer, network_up, qslice
from tests.support.wait import PATIENCE, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_ovs, pytest.mark.needs_tun, pytest.mark.slow]
LIFETIME_S = 6
WAVELENGTH = "ch2"
SA = re.compile(r'"IPv4","(?P<source>[\d.]+)","[\d.]+","0x(?P<spi>\w+)","AES-GCM[^"]+","0x(?P<keymat>\w+)"')


@pytest.fixture(scope="module")
def keylog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cards") / "keys"


@pytest.fixture(scope="module")
def system(keylog: Path) -> Iterator[RunningSystem]:
    config = keylog.with_name("config.yaml")
    config.write_text(json.dumps({"encryption": {"mode": "channel", "lifetime_s": LIFETIME_S}}))
    with network_up(keylog, options=("--config", str(config))):
        yield RunningSystem(running_record(LAYOUT), LAYOUT)


@pytest.fixture(scope="module")
def clients(system: RunningSystem) -> list[dict[str, Any]]:
    """Two connections in the clear, whose first hops are two circuits of one wavelength."""
    made = answer("slice", "create", "--example", "enterprise-app")
    found = [c for c in made["connections"] if c["name"] in ("cell1-control", "cell2-control")]
    assert [c["path"][0] for c in found] == [f"cell1-agg1-{WAVELENGTH}", f"cell2-agg1-{WAVELENGTH}"]
    for each in found:
        wait_until(partial(answers, each), 20, 0.1)
    return found


def ping(over: dict[str, Any], count: int, interval_s: float, pattern: str = "00") -> int:
    """How many were answered."""
    words = ("ping", "-q", "-c", str(count), "-i", f"{interval_s:g}", "-W", "2", "-p", pattern, over["dst_address"])
    said = qslice("exec", over["src"], "--", *words, timeout_s=60).stdout
    return int(re.search(r"(\d+) received", said)[1])  # type: ignore[index]


def answers(over: dict[str, Any]) -> bool:
    return ping(over, 1, 0.1) == 1


def with_carrier() -> set[str]:
    said = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0].partition("@")[0] for line in said.splitlines() if "LOWER_UP" in line}


def sealed_ports(system: RunningSystem, wavelength: str | None = None) -> set[str]:
    return {
        client.interface for card in system.cards for client in card.clients if wavelength in (None, card.wavelength)
    }


def lit(ports: set[str]) -> bool:
    return ports <= with_carrier()


def dark(ports: set[str]) -> bool:
    return not ports & with_carrier()


def inbound_sas(keylog: Path) -> dict[int, InboundSa]:
    found = {}
    for line in keylog.read_text().splitlines():
        said = SA.match(line)
        if said:
            keymat = bytes.fromhex(said["keymat"])
            found[int(said["spi"], 16)] = InboundSa(int(said["spi"], 16), keymat[:32], keymat[32:], replay_window=1024)
    return found


def test_the_line_shows_ciphertext_under_one_key_for_all_clients_which_opens_all_of_it(
    system: RunningSystem, clients: list[dict[str, Any]], keylog: Path, tmp_path: Path
) -> None:
    card = next(c for c in system.cards if (c.wavelength, c.end) == (WAVELENGTH, "a"))
    markers = [bytes.fromhex("51534c434152444131"), bytes.fromhex("51534c434152444232")]
    circuits = {client.channel: client.circuit for client in card.clients}
    wanted = [(tag_of(circuits[c["path"][0]]), m) for c, m in zip(clients, markers, strict=True)]
    assert wanted[0][0] != wanted[1][0]
    shared: list[int] = []
    for attempt in range(10):  # the key may change between the two, or the capture begin late
        capture = tmp_path / f"line{attempt}.pcap"
        with captured(card.interface, capture):
            for client, marker in zip(clients, markers, strict=True):
                assert ping(client, 5, 0.02, marker.hex()) == 5
            time.sleep(0.3)
        assert not any(marker in capture.read_bytes() for marker in markers)
        frames = opened(capture, keylog)
        shared = [spi for spi, found in frames.items() if all(is_among(found, *each) for each in wanted)]
        if shared:
            break
    assert len(shared) <= 2  # one key, an SPI for each direction
    assert shared


def is_among(frames: list[bytes], tag: bytes, marker: bytes) -> bool:
    return any(frame[12:16] == tag and marker in frame for frame in frames)


@contextmanager
def captured(interface: str, to: Path) -> Iterator[None]:
    holder = running_record(LAYOUT).namespaces["qs-line-a"]
    argv = ["nsenter", "-t", str(holder), "-n", "--", "tcpdump", "-U", "-ni", interface, "-w", str(to)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as tcpdump:
        assert tcpdump.stderr is not None
        while b"listening" not in tcpdump.stderr.readline():
            assert tcpdump.poll() is None
        yield
        tcpdump.terminate()


def opened(capture: Path, keylog: Path) -> dict[int, list[bytes]]:
    """By SPI the frames in all ESP packets of a capture. KeyError where a key is not in the log."""
    sas, found = inbound_sas(keylog), dict[int, list[bytes]]()
    for packet in rdpcap(str(capture)):
        datagram = bytes(packet[UDP].payload) if UDP in packet else bytes(4)
        if datagram[:4] != bytes(4):  # else a control message
            spi = int.from_bytes(datagram[:4], "big")
            frame, next_header = sas[spi].open(datagram)
            assert next_header == NEXT_HEADER_ETHERNET
            found.setdefault(spi, []).append(frame)
    return found


def test_keys_change_every_three_seconds_and_no_frame_is_lost(
    system: RunningSystem, clients: list[dict[str, Any]]
) -> None:
    site = next(card.site for card in system.cards if card.wavelength == WAVELENGTH)
    before = system.card_stats(site)[WAVELENGTH]["rekeys"]
    assert ping(clients[0], 700, 0.01) == 700
    assert system.card_stats(site)[WAVELENGTH]["rekeys"] >= before + 2


def test_a_cut_line_takes_the_wavelengths_clients_at_both_ends_and_nobody_elses(system: RunningSystem) -> None:
    ports = sealed_ports(system, "ch4")
    others = sealed_ports(system) - ports
    answer("wavelength", "down", "ch4")
    wait_until(lambda: dark(ports), 10, 0.05)
    assert lit(others)
    answer("wavelength", "up", "ch4")
    wait_until(lambda: lit(ports), 10, 0.05)


def test_a_port_that_is_down_shows_at_the_other_end_of_its_circuit_alone(system: RunningSystem) -> None:
    ports = set(system.channel_interfaces("metro1-core1-ch3"))
    answer("link", "down", "metro1-core1-ch3", "--direction", "a-b")
    wait_until(lambda: dark(ports), 10, 0.05)
    assert lit(sealed_ports(system) - ports)
    answer("link", "up", "metro1-core1-ch3")
    wait_until(lambda: lit(ports), 10, 0.05)


def test_a_dead_shelf_has_no_carrier_and_comes_back(system: RunningSystem) -> None:
    site = system.shelves[0]
    near = {client.interface for card in system.cards for client in card.clients if card.site == site}
    answer("process", "kill", f"shelf-{site}")
    wait_until(lambda: dark(near), 10, 0.05)
    wait_until(lambda: dark(sealed_ports(system)), 10, 0.05)
    answer("process", "restart", f"shelf-{site}")
    wait_until(lambda: lit(sealed_ports(system)), 30, 0.1)


def test_without_keys_all_goes_dark_after_their_lifetime_and_nothing_passes_in_the_clear(
    system: RunningSystem, clients: list[dict[str, Any]]
) -> None:
    answer("process", "kill", "kms")
    wait_until(lambda: dark(sealed_ports(system)), (LIFETIME_S + 10) * PATIENCE, 0.1)
    assert ping(clients[0], 3, 0.1) == 0
    answer("process", "restart", "kms")
    wait_until(lambda: lit(sealed_ports(system)), 60, 0.1)
    wait_until(lambda: answers(clients[0]), 30, 0.2)
