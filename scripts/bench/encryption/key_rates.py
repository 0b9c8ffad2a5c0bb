"""QKD keys that the network takes with so many slices, counted at the KMS: what it has delivered, and to whom.

Every slice has one QKD connection between the same two sites, so that where hosts seal each takes a key every 3 s.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.bench.encryption.slices import keyed_slice
from scripts.errors import DidNotHold
from scripts.measure.slices import create_patiently, delete_slice
from scripts.testbed.running_system import RunningSystem

DELIVERED = "delivered-to-master"
SETTLE_S = 6.0  # two renewals: prefetched keys are in place
CARD, HOST = "card", "sae"  # how the names of those that take keys begin


@dataclass(frozen=True)
class KeyRate:
    """With ``slices`` slices, bit/s of QKD keys over ``window_s`` seconds, by who took them."""

    slices: int
    window_s: float
    by_cards_bps: float
    by_hosts_bps: float

    @property
    def bps(self) -> float:
        return self.by_cards_bps + self.by_hosts_bps


def measure(system: RunningSystem, numbers: Sequence[int], window_s: float) -> list[KeyRate]:
    """With each of these numbers of slices, in ascending order; all are deleted in the end."""
    found: list[KeyRate] = []
    names: list[str] = []
    try:
        for number in sorted(numbers):
            while len(names) < number:
                request = keyed_slice(system.topology, f"keys-{len(names) + 1:03d}")
                create_patiently(system, request)
                names.append(request["name"])
            time.sleep(SETTLE_S)
            began = time.time()
            time.sleep(window_s)
            found.append(rate_of(ledger(system), number, began, began + window_s))
    finally:
        for name in names:
            delete_slice(system, name)
    return found


def ledger(system: RunningSystem) -> list[dict[str, Any]]:
    """The KMS' last deliveries. DidNotHold where it tells none."""
    status, answer = system.kms.call("GET", "/v1/ledger")
    if status != 200:
        raise DidNotHold(f"the KMS' ledger: {status}: {answer}")
    entries: list[dict[str, Any]] = answer["entries"]
    return entries


def rate_of(entries: Iterable[Mapping[str, Any]], slices: int, began: float, ended: float) -> KeyRate:
    """From the ledger: bits of QKD keys that were delivered in the meantime (Unix time, s), a key counted once."""
    bits = {CARD: 0, HOST: 0}
    for entry in entries:
        is_in = entry["event"] == DELIVERED and began <= entry["at"] < ended
        if is_in and "qkd" in str(entry["key_source"]).split("+"):
            bits[CARD if str(entry["sae"]).startswith(f"{CARD}-") else HOST] += int(entry["size"])
    window_s = ended - began
    return KeyRate(slices, window_s, bits[CARD] / window_s, bits[HOST] / window_s)


def slope(rates: Sequence[KeyRate]) -> float:
    """Bit/s that one more slice takes, by least squares; 0 of a single number of slices."""
    mean_x = sum(rate.slices for rate in rates) / len(rates)
    mean_y = sum(rate.bps for rate in rates) / len(rates)
    spread = sum((rate.slices - mean_x) ** 2 for rate in rates)
    return sum((rate.slices - mean_x) * (rate.bps - mean_y) for rate in rates) / spread if spread else 0.0
