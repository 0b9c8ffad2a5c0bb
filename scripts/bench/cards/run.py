"""``bench cards``: one TCP stream through four software switches, over three wavelengths whose cards seal or not.

One network has both ways between the same two hosts, which in channel mode seal nothing: what differs is the cards
alone. The ways are measured in turn, round after round, so that slow changes of the machine cancel out.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scripts.bench.common import summary
from scripts.measure.connection import Connection
from scripts.measure.errors import MeasurementError
from scripts.measure.programs.iperf import iperf_together
from scripts.measure.programs.ping import ping_all
from scripts.measure.slices import create_patiently
from scripts.testbed.running_system import RunningSystem

Found = TypeVar("Found")

SITES = ("s1", "s2", "s3", "s4")
WAYS = {"plain": "none", "sealed": "dh"}
"""By the name of a way the class of its wavelengths."""
BANDWIDTH_MBPS = 9_000
PINGS, PING_S = 200, 0.005
MBPS_PER_GBPS = 1000.0  # capacities as they are: nothing is shaped, nothing policed
NOTES = (
    "one TCP stream of iperf3 from the first to the last of four software switches; hosts seal nothing",
    "plain: three wavelengths of class none, a veth pair each; sealed: three with a pair of cards, a key every 3 s",
    "ratio: sealed to plain in the same round; cards, switches and hosts share the machine's processors",
)


def document() -> dict[str, Any]:
    """The network, as a topology file has it."""
    tiers = zip(SITES, ("cell", "aggregation", "metro", "core"), strict=True)
    hops = enumerate(itertools.pairwise(SITES), start=1)
    return {
        "name": "cards",
        "sites": [
            {"name": name, "tier": tier} for name, tier in tiers
        ],
        "wavelengths": [
            {"id": f"{way}{n}", "class": security} for n in range(1, len(SITES)) for way, security in WAYS.items()
        ],
        "fibres": [
            {"a": a, "b": b, "km": 0, "channels": [f"{way}{n}" for way in WAYS]} for n, (a, b) in hops
        ],
    }  # fmt: skip


@dataclass
class Results:
    """By way: Mbit/s of each round, round trips in ms; and how often a key changed while packets passed."""

    mbps: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    rtt_ms: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    rekeys: int = 0
    lost: int = 0

    @property
    def ratios(self) -> list[float]:
        return [sealed / plain for sealed, plain in zip(self.mbps["sealed"], self.mbps["plain"], strict=True)]

    def figures(self) -> dict[str, float]:
        """Medians of ratios are taken of rounds, not of medians."""
        found: dict[str, float] = {}
        for way, values in self.mbps.items():
            found |= summary(f"tcp.{way}_mbps", values)
        for way, (least, mean) in self.rtt_ms.items():
            if least is not None and mean is not None:
                found |= {f"rtt.{way}_ms.min": least, f"rtt.{way}_ms.mean": mean}
        ratios = self.ratios
        found |= {"tcp.ratio.median": statistics.median(ratios), "tcp.ratio.min": min(ratios)}
        return {**found, "tcp.ratio.max": max(ratios), "rekeys": self.rekeys, "rekeys.lost_packets": self.lost}


def prepare(system: RunningSystem) -> dict[str, Connection]:
    """A connection over each way. MeasurementError where the controller leads one elsewhere."""
    found = {}
    for way, security in WAYS.items():
        request = {
            "name": way, "sNSSAI": {"sst": 1},
            "connections": [{
                "name": "c", "from": SITES[0], "to": SITES[-1], "security": security,
                "bandwidth_mbps": BANDWIDTH_MBPS, "latency_ms": 100,
            }],
        }  # fmt: skip
        (connection,) = create_patiently(system, request).connections
        if any(way not in channel for channel in connection.path):
            raise MeasurementError(f"the connection of class {security} is on {', '.join(connection.path)}")
        found[way] = connection
    return found


def measure(system: RunningSystem, rounds: int, seconds: int, advance: Callable[[], None]) -> Results:
    """Raises MeasurementError."""
    results, ways = Results(), prepare(system)
    before = _rekeys(system)
    for way, connection in ways.items():
        ping = _good(ping_all(system, [connection], PINGS, PING_S)[connection.id])
        results.rtt_ms[way] = ping.min_ms, ping.avg_ms
    for _ in range(rounds):
        for way, connection in ways.items():
            got = _good(iperf_together(system, [connection], seconds)[connection.id])
            results.mbps[way].append(got.received_mbps)
            advance()
    results.rekeys, results.lost = _rekeys(system) - before, _lost(system)
    return results


def _rekeys(system: RunningSystem) -> int:
    return sum(card["rekeys"] for cards in _cards(system).values() for card in cards.values())


def _cards(system: RunningSystem) -> dict[str, dict[str, dict[str, Any]]]:
    """What all cards say of themselves, by wavelength and site."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for site in system.shelves:
        for wavelength, card in system.card_stats(site).items():
            found.setdefault(wavelength, {})[site] = card
    return found


def _lost(system: RunningSystem) -> int:
    """Frames that one card has sealed and the other has not opened, who is asked after it. A line loses none itself."""
    sent = _cards(system)
    opened = _cards(system)
    lost = 0
    for wavelength, (one, other) in ((name, tuple(ends)) for name, ends in sent.items()):
        for near, far in ((one, other), (other, one)):
            lost += max(0, sent[wavelength][near]["tx_packets"] - opened[wavelength][far]["rx_packets"])
    return lost


def _good(found: Found | MeasurementError) -> Found:
    if isinstance(found, MeasurementError):
        raise found
    return found


def as_lists(results: Results) -> dict[str, Sequence[float]]:
    """Every value, for the raw figures."""
    return {**{f"tcp.{way}_mbps": values for way, values in results.mbps.items()}, "tcp.ratio": results.ratios}
