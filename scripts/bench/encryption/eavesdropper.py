"""Taps one line while two connections send packets of four lengths over it, and says what is to be seen there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.bench.encryption.sight import Sight, Told, look
from scripts.bench.encryption.slices import qkd_channel, two_pairs_slice
from scripts.measure.capture.channels import ChannelCapture
from scripts.measure.capture.plaintext_search import new_marker
from scripts.measure.connection import Connection
from scripts.measure.errors import MeasurementError
from scripts.measure.polling import poll
from scripts.measure.probes.flows import Datagrams, Flow, flows_of, start_sending, stop_sending
from scripts.measure.probes.probers import Probers
from scripts.measure.slices import create_patiently, delete_slice
from scripts.testbed.running_system import RunningSystem
from topologies.spec import EncryptionMode

QUIET_S = 4.0
LENGTHS = (100, 400, 800, 1200)  # octets of payload
EACH = 100  # packets of every length, from one end of every connection
INTERVAL_S = 0.04
FIRST_PORT = 5800
BANDWIDTH_MBPS = 4.0
SETTLE_S = 1.0
PATIENCE = 5  # times as long as sending takes: on a busy machine
QUIESCENT_S = 0.4


@dataclass(frozen=True)
class Case:
    """A column of the table: in which mode, and what is asked for."""

    name: str
    mode: EncryptionMode
    asked: Mapping[str, Any]


CASES = (
    Case("nobody seals", EncryptionMode.HOST, {"security": "none"}),
    Case("host", EncryptionMode.HOST, {"security": "qkd"}),
    Case("host, padding mtu", EncryptionMode.HOST, {"security": "qkd", "padding": "mtu"}),
    Case("host, padding constant-rate", EncryptionMode.HOST, {"security": "qkd", "padding": "constant-rate"}),
    Case("channel", EncryptionMode.CHANNEL, {"security": "qkd"}),
    Case("channel, unencrypted connection", EncryptionMode.CHANNEL, {"security": "none"}),
    Case("both", EncryptionMode.BOTH, {"security": "qkd"}),
)


def measure(system: RunningSystem, case: Case) -> Sight:
    """What the eavesdropper sees in this case. Raises MeasurementError when the capture or the sending fails."""
    channel = qkd_channel(system.topology)
    made = create_patiently(system, two_pairs_slice(system.topology, "tapped", BANDWIDTH_MBPS, case.asked))
    try:
        with Probers(system, system.topology.site_names) as probers:
            return _tapped(system, probers, channel.id, made.connections)
    finally:
        delete_slice(system, "tapped")


def _tapped(system: RunningSystem, probers: Probers, channel_id: str, connections: tuple[Connection, ...]) -> Sight:
    marker, frames = new_marker(), list[tuple[float, bytes]]()
    plan: list[tuple[Flow, Datagrams]] = []
    for number, length in enumerate(LENGTHS):
        port = FIRST_PORT + number
        for flow in flows_of(connections)[::2]:
            flow.listen(probers, port)
            plan.append((flow, Datagrams(port, INTERVAL_S, length, marker, EACH)))
    capture = ChannelCapture(
        {channel_id: system.tap_of(channel_id)}, lambda _, frame: frames.append((time.monotonic(), frame))
    )
    with capture:
        time.sleep(SETTLE_S)
        began = time.monotonic()
        time.sleep(QUIET_S)
        sending = time.monotonic()
        start_sending(probers, plan)
        _await_the_last(probers, [flow for flow, _ in plan])
        sent = stop_sending(probers, [flow for flow, _ in plan])
        ended = time.monotonic()
    if any(capture.dropped.values()) or min(sent.values()) < EACH:
        least = min(sent.values())
        raise MeasurementError(f"the capture lost frames ({capture.dropped}), or of {EACH} packets {least} were sent")
    told = Told(_addresses(system, connections), len(connections), len(LENGTHS), EACH)
    quiet = [frame for frame in frames if began <= frame[0] < sending]
    busy = [frame for frame in frames if sending <= frame[0] < ended]
    return look(quiet, busy, sending - began, ended - sending, told, marker)


def _await_the_last(probers: Probers, flows: list[Flow]) -> None:
    """Until nothing more arrives: on a busy machine later than it was to be sent, and some of it never."""
    time.sleep(EACH * INTERVAL_S)
    before = -1

    def has_ended() -> bool:
        nonlocal before
        last, before = before, sum(flow.received(probers)["unique"] for flow in flows)
        return before == last

    poll(has_ended, PATIENCE * EACH * INTERVAL_S, QUIESCENT_S)


def _addresses(system: RunningSystem, connections: tuple[Connection, ...]) -> frozenset[str]:
    """Everything that names a host: what tunnels go between, and what is inside of them."""
    outer = {system.topology.host(site).data_address for site in system.topology.site_names}
    return frozenset(outer | {end.address for c in connections for end in c.ends})


def table(sights: Mapping[str, Sight]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows: what a tap tells, case by case; 2 connections of 2 pairs of hosts, 4 lengths."""
    columns = ("to be seen", *sights)
    rows = [
        ("payload", *("readable" if s.is_readable else "no" for s in sights.values())),
        ("pairs of hosts that talk, of 2", *(str(s.host_pairs) for s in sights.values())),
        ("streams told apart", *(str(s.flows) for s in sights.values())),
        ("lengths of packets told apart, of 4", *(str(s.lengths) for s in sights.values())),
        ("frames/s at rest, while sending", *(f"{s.quiet_fps:.0f}, {s.busy_fps:.0f}" for s in sights.values())),
        ("when somebody sends", *("yes" if s.tells_times else "no" for s in sights.values())),
    ]
    return columns, rows
