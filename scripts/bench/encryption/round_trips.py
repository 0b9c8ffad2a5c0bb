"""Round trips of an unencrypted and a QKD connection over the same channel, pinged side by side.

Both are pinged at the same time and rate, so that whatever else the machine does hits both. The difference is taken
block by block and comes with the 95 % interval of its mean (Student's t over the blocks).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from scripts.bench.encryption.slices import same_channel_slice
from scripts.measure.connection import Connection
from scripts.measure.errors import MeasurementError
from scripts.measure.programs.children import Children, finish
from scripts.measure.slices import create_patiently, delete_slice
from scripts.testbed.running_system import RunningSystem

CLEAR, KEYED = "none", "qkd"
INTERVAL_S = 0.02
BLOCKS = 30
# Two-sided 95 % quantiles of Student's t by degrees of freedom; above 30 that of the next smaller number serves.
T_95 = {5: 2.571, 10: 2.228, 15: 2.131, 20: 2.086, 29: 2.045, 40: 2.021, 60: 2.000, 120: 1.980}
_REPLY = re.compile(r"icmp_seq=(\d+) .*time=([\d.]+) ms")
WARM_UP = 25  # replies that are left out: neighbours and caches are new


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, in ms."""

    mean_ms: float
    half_ms: float

    @property
    def has_zero(self) -> bool:
        return abs(self.mean_ms) <= self.half_ms


@dataclass(frozen=True)
class RoundTrips:
    """Round-trip times in ms by kind, of those echo requests that both were answered."""

    times: Mapping[str, tuple[float, ...]]

    def interval(self, kind: str) -> Interval:
        return interval([median(block) for block in blocks(self.times[kind])])

    @property
    def difference(self) -> Interval:
        """QKD less none."""
        pairs = zip(blocks(self.times[KEYED]), blocks(self.times[CLEAR]), strict=True)
        return interval([median(keyed) - median(clear) for keyed, clear in pairs])


def measure(system: RunningSystem, pings: int) -> RoundTrips:
    """Ping both ``pings`` times. Raises MeasurementError."""
    request = same_channel_slice(
        system.topology, "round-trips", 1.0, **{CLEAR: {"security": CLEAR}, KEYED: {"security": KEYED}}
    )
    made = create_patiently(system, request)
    try:
        told = _ping({c.name: c for c in made.connections}, system, pings + WARM_UP)
    finally:
        delete_slice(system, request["name"])
    both = sorted(set(told[CLEAR]) & set(told[KEYED]))[WARM_UP:]
    if len(both) < BLOCKS * 2:
        raise MeasurementError(f"{len(both)} of {pings} echo requests were answered on both connections")
    return RoundTrips({kind: tuple(times[n] for n in both) for kind, times in told.items()})


def _ping(connections: Mapping[str, Connection], system: RunningSystem, count: int) -> dict[str, dict[int, float]]:
    with Children(system) as children:
        running = {
            name: children.start(
                c.src,
                [
                    "ping",
                    "-n",
                    "-I",
                    c.src_address,
                    "-c",
                    str(count),
                    "-i",
                    f"{INTERVAL_S:g}",
                    "-W",
                    "2",
                    c.dst_address,
                ],
            )
            for name, c in connections.items()
        }
        return {name: parse(finish(process, count * INTERVAL_S + 30)[0]) for name, process in running.items()}


def parse(text: str) -> dict[int, float]:
    """Milliseconds by number, from what ``ping`` prints of each reply."""
    return {int(number): float(time_ms) for number, time_ms in _REPLY.findall(text)}


def blocks(values: Sequence[float], number: int = BLOCKS) -> list[Sequence[float]]:
    """Equal parts in the order of time; what is left over at the end is left out."""
    size = len(values) // number
    return [values[n * size : (n + 1) * size] for n in range(number)]


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent values with its 95 % interval."""
    freedom = max(f for f in T_95 if f <= len(values) - 1)
    return Interval(mean(values), T_95[freedom] * stdev(values) / math.sqrt(len(values)))
