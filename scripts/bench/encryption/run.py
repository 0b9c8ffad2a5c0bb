"""``bench encryption``: the same network with hosts, cards, and both sealing, one after the other.

In each: how many QKD keys it takes with so many slices, the round trips of an unencrypted and a QKD connection over
the same channel, and what an eavesdropper on that channel's line sees.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.bench.encryption import eavesdropper, key_rates, round_trips
from scripts.bench.encryption.key_rates import KeyRate
from scripts.bench.encryption.round_trips import RoundTrips
from scripts.bench.encryption.sight import Sight
from scripts.bench.encryption.slices import two_pairs_slice
from scripts.files.results import write_result
from scripts.report.line_chart import draw_lines
from scripts.testbed.running_system import RunningSystem
from topologies.spec import CARD_KEY_BITS, CARD_REKEY_S, EncryptionMode, Topology

TOPOLOGY = "ukqntel"
NOTES = (
    "key rates: bits of QKD keys that the KMS has delivered (its ledger), each key once; every slice has one QKD "
    "connection, which where hosts seal takes a key every 3 s",
    "round trips: an unencrypted (none) and a QKD connection over one channel of QKD, pinged side by side; "
    "medians of 30 blocks, their mean with the 95 % interval (Student's t)",
    "eavesdropper: on that channel's port, or on its wavelength's line where cards seal; two connections of two pairs "
    "of hosts send packets of four lengths",
)


@dataclass
class Results:
    """By mode, and what is seen by case."""

    rates: dict[EncryptionMode, list[KeyRate]] = field(default_factory=dict)
    trips: dict[EncryptionMode, RoundTrips] = field(default_factory=dict)
    sights: dict[str, Sight] = field(default_factory=dict)

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be: cards' demand grows with the slices, hosts' does not, a payload is readable."""
        one = CARD_KEY_BITS / CARD_REKEY_S
        found = [
            f"{mode.value}: a slice takes {per_slice:.1f} bit/s of QKD keys, not about {expected:.1f}"
            for mode, rates in self.rates.items()
            if len(rates) > 1
            for per_slice, expected in ((key_rates.slope(rates), one if mode.hosts_seal else 0.0),)
            if abs(per_slice - expected) > 0.2 * one
        ]
        sealed = {case.name for case in eavesdropper.CASES if case.mode.cards_seal or case.asked["security"] != "none"}
        readable = [name for name, sight in self.sights.items() if name in sealed and sight.is_readable]
        return [*found, *(f"{name}: the payload is readable" for name in readable)]


@dataclass(frozen=True)
class Effort:
    """How much is measured: slices at the most, pings on either connection, seconds for each number of slices."""

    slices: int
    pings: int
    window_s: float


def require_places(topology: Topology) -> None:
    """Refuse a network on which the connections have no place. Raises WrongRequest."""
    two_pairs_slice(topology, "tapped", 1.0, {})


def measure(system: RunningSystem, mode: EncryptionMode, effort: Effort, say: Callable[[str], None]) -> Results:
    """Everything in one mode, in which ``system`` is."""
    results = Results()
    numbers = sorted({0, effort.slices // 4, effort.slices // 2, effort.slices})
    say(f"{mode.value}: key rates")
    results.rates[mode] = key_rates.measure(system, numbers, effort.window_s)
    say(f"{mode.value}: round trips")
    results.trips[mode] = round_trips.measure(system, effort.pings)
    for case in eavesdropper.CASES:
        if case.mode is mode:
            say(f"{mode.value}: eavesdropper, {case.name}")
            results.sights[case.name] = eavesdropper.measure(system, case)
    return results


def merged(parts: Sequence[Results]) -> Results:
    together = Results()
    for part in parts:
        together.rates |= part.rates
        together.trips |= part.trips
        together.sights |= part.sights
    return together


def figures(results: Results) -> dict[str, float]:
    """``keys.MODE.N_slices_bps``, ``keys.MODE.per_slice_bps``, ``round_trip.MODE.*_ms``."""
    found: dict[str, float] = {}
    for mode, rates in results.rates.items():
        found |= {f"keys.{mode.value}.{rate.slices}_slices_bps": rate.bps for rate in rates}
        found[f"keys.{mode.value}.per_slice_bps"] = key_rates.slope(rates)
    for mode, trips in results.trips.items():
        head = f"round_trip.{mode.value}"
        for kind in (round_trips.CLEAR, round_trips.KEYED):
            interval = trips.interval(kind)
            found |= {f"{head}.{kind}_ms": interval.mean_ms, f"{head}.{kind}_interval_ms": interval.half_ms}
        less = f"{head}.qkd_less_none"
        found |= {f"{less}_ms": trips.difference.mean_ms, f"{less}_interval_ms": trips.difference.half_ms}
    return found


def as_lists(results: Results) -> dict[str, Any]:
    """Every single value, for the results file."""
    return {
        "key_rates": {mode.value: [asdict(rate) for rate in rates] for mode, rates in results.rates.items()},
        "round_trips_ms": {mode.value: dict(trips.times) for mode, trips in results.trips.items()},
        "sights": {name: asdict(sight) for name, sight in results.sights.items()},
    }


def write_rates(rates: Mapping[EncryptionMode, Sequence[KeyRate]], folder: Path) -> None:
    """``keys.csv`` and ``keys.svg``."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("mode", "slices", "window_s", "by_cards_bps", "by_hosts_bps", "bps"))
    for mode, points in rates.items():
        rows.writerows(
            (mode.value, p.slices, f"{p.window_s:.3f}", *(f"{v:.3f}" for v in (p.by_cards_bps, p.by_hosts_bps, p.bps)))
            for p in points
        )
    write_result(folder / "keys.csv", text.getvalue())
    lines = {mode.value: [(float(p.slices), p.bps) for p in points] for mode, points in rates.items()}
    drawing = draw_lines("QKD keys that the KMS delivered", "slices, one QKD connection each", "bit/s", lines)
    write_result(folder / "keys.svg", drawing)
