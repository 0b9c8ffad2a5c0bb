"""Loss and round-trip time of every connection, by the system's own ``ping`` (iputils)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.measure.connection import Connection
from scripts.measure.errors import MeasurementError
from scripts.measure.programs.children import Children, finish
from scripts.measure.system import System

COUNT = 25
INTERVAL_S = 0.05
REPLY_TIMEOUT_S = 2.0
END_TIMEOUT_S = 10.0

_COUNTS = re.compile(r"(\d+) packets transmitted, (\d+) received")
_TIMES = re.compile(r"rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+) ms")


@dataclass(frozen=True)
class PingResult:
    """What ``ping`` counted; the times are None when nothing came back."""

    sent: int
    received: int
    min_ms: float | None
    avg_ms: float | None
    max_ms: float | None

    @property
    def loss_pct(self) -> float:
        return 100.0 * (self.sent - self.received) / self.sent


def parse_ping(text: str) -> PingResult:
    """The closing summary of iputils ``ping``; MeasurementError when there is none."""
    counts = _COUNTS.search(text)
    if counts is None or int(counts[1]) == 0:
        last = text.strip().splitlines()[-1] if text.strip() else "nothing"
        raise MeasurementError(f"ping sent nothing; it said {last!r}")
    times = _TIMES.search(text)
    return PingResult(
        sent=int(counts[1]),
        received=int(counts[2]),
        min_ms=float(times[1]) if times else None,
        avg_ms=float(times[2]) if times else None,
        max_ms=float(times[3]) if times else None,
    )


def ping_all(
    system: System,
    connections: Sequence[Connection],
    count: int = COUNT,
    interval_s: float = INTERVAL_S,
    slowness: float = 1.0,
) -> dict[str, PingResult | MeasurementError]:
    """Ping every connection from its source end, all at once; by connection id, an error in place of a failed one.

    With a ``slowness`` above 1 pings are so many times rarer, and may take so many times as long.
    """
    interval_s *= slowness
    timeout_s = count * interval_s + (REPLY_TIMEOUT_S + END_TIMEOUT_S) * slowness
    results: dict[str, PingResult | MeasurementError] = {}
    with Children(system) as children:
        running = {}
        for c in connections:
            argv = ["ping", "-n", "-q", "-I", c.src_address, "-c", str(count), "-i", f"{interval_s:g}"]
            running[c.id] = children.start(c.src, [*argv, "-W", f"{REPLY_TIMEOUT_S * slowness:g}", c.dst_address])
        for connection_id, process in running.items():
            try:
                out, err = finish(process, timeout_s)
                results[connection_id] = parse_ping(out or err)
            except MeasurementError as error:
                results[connection_id] = error
    return results
