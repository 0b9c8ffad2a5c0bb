"""The load of a soak: many connections that end on one host, and channels that fail and come back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle
from math import ceil
from typing import Any

from scripts.measure.connection import Connection
from scripts.measure.slices import create_patiently, refresh_connections
from scripts.testbed.running_system import RunningSystem

TOPOLOGY = "metro-ring"
HOST = "metro2"
OTHERS = {"cells": ["cell1", "cell2"], "core": "core1"}
ON_THE_HOST = 3  # connections of each slice: one from each cell, one to the core
REKEY_S = 3.0
CUT_S, MENDED_S = 4.0, 6.0


def requests(connections: int) -> list[dict[str, Any]]:
    """Slices with so many encrypted connections, or a few more, that end on the host."""
    return [
        {
            "name": f"soak-{n}",
            "sNSSAI": {"sst": 1, "sd": f"{n:06X}"},
            **OTHERS,
            "compute": {"site": HOST, "vcpus": 1, "memory_gb": 1},
            "connections": {
                "control": {"security": "none", "bandwidth_mbps": 0.1, "latency_ms": 50},
                "access": {"security": "dh", "bandwidth_mbps": 0.5, "latency_ms": 50, "rekey_s": REKEY_S},
                "backhaul": {"security": "qra", "bandwidth_mbps": 0.5, "latency_ms": 50, "rekey_s": REKEY_S},
            },
        }
        for n in range(1, ceil(connections / ON_THE_HOST) + 1)
    ]


def create(system: RunningSystem, wanted: Sequence[dict[str, Any]], on_each: Callable[[], None]) -> list[Connection]:
    """The slices' connections, all of which are up."""
    found: list[Connection] = []
    for request in wanted:
        found += create_patiently(system, request).connections
        on_each()
    return found


class Flapping:
    """Cuts the channels that most connections use and mends them, one after the other, in the time it is given."""

    def __init__(self, system: RunningSystem, wanted: Sequence[dict[str, Any]]) -> None:
        self._system, self._wanted = system, wanted
        used = Counter(channel for connection in self._connections() for channel in connection.path)
        self._channels = cycle(channel for channel, _ in used.most_common())
        self._cut: str | None = None
        self._next_at = time.monotonic() + MENDED_S
        self.cuts = 0

    def go_on(self) -> None:
        """Do what is due, if anything."""
        if time.monotonic() < self._next_at:
            return
        if self._cut is None:
            self._cut = next(self._channels)
            self._system.link_down(self._cut)
            self.cuts += 1
            self._next_at = time.monotonic() + CUT_S
        else:
            self.mend()
            self._next_at = time.monotonic() + MENDED_S

    def mend(self) -> None:
        if self._cut is not None:
            self._system.link_up(self._cut)
            self._cut = None

    def _connections(self) -> list[Connection]:
        return list(refresh_connections(self._system, self._wanted).values())
