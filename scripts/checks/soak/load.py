"""The load of a soak: many connections that end on one host, packets in them, and channels that fail and come back."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from math import ceil
from types import TracebackType
from typing import Any, Self

from scripts.measure.connection import Connection
from scripts.measure.probes.probers import Probers, new_token
from scripts.measure.slices import create_patiently, refresh_connections
from scripts.testbed.running_system import RunningSystem

TOPOLOGY = "metro-ring"
HOST = "metro2"
OTHERS = {"cells": ["cell1", "cell2"], "core": "core1"}
OTHER_HOSTS = ("cell1", "cell2", "core1")
ON_THE_HOST = 3  # connections of each slice: one from each cell, one to the core
REKEY_S = 3.0
CUT_S, MENDED_S = 4.0, 6.0
STALL_ROUNDS, STALL_S, STALL_EVERY_S = 3, 3.0, 2.5  # of six processes: 99 s
ECHO_EVERY_S = 1.0  # through each connection
WRONG = ("rx_auth_failures", "rx_malformed")
"""Packets that a tunnel refuses as not its peer's. However slow the machine is, there are none."""
LATE = ("rx_unknown_spi", "rx_expired_drops")
"""Those that came too late for their key. Those that were not sent, as no key had come yet, do not count: how soon the
KMS answers is a matter of speed."""


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


@dataclass(frozen=True)
class Carried:
    """Echo requests through all connections. Those that a cut channel has lost are among the unanswered."""

    sent: int
    answered: int


@dataclass(frozen=True)
class Done:
    """What the load was: how often a channel was cut, and what went through."""

    cuts: int
    carried: Carried


class Traffic:
    """Echo requests through each connection, from entering the block until :meth:`stop`."""

    def __init__(self, system: RunningSystem, connections: Sequence[Connection]) -> None:
        self._connections = connections
        self._probers = Probers(system, sorted({connection.src for connection in connections}))
        self._tokens = {connection.id: new_token() for connection in connections}

    def __enter__(self) -> Self:
        self._probers.__enter__()
        for connection in self._connections:
            self._probers[connection.src].call(
                "ping", token=self._tokens[connection.id], source=connection.src_address,
                destination=connection.dst_address, interval_s=ECHO_EVERY_S,
            )  # fmt: skip
        return self

    def stop(self) -> Carried:
        found = [self._probers[c.src].call("ping_stop", token=self._tokens[c.id]) for c in self._connections]
        return Carried(sum(len(each["sent"]) for each in found), sum(len(dict(each["replies"])) for each in found))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._probers.__exit__(kind, error, trace)


class Stalls:
    """Processes stand still for a moment, one after the other, each more than once, and then no more.

    A machine with too much to do makes them stand still too, at any time: what waits meanwhile is done all at once, and
    takes room that a process then keeps. So the first minutes have it, in which processes may grow.
    """

    def __init__(self, processes: Iterable[int]) -> None:
        self._waiting = STALL_ROUNDS * list(processes)
        self._stopped: int | None = None
        self._next_at = time.monotonic() + STALL_EVERY_S

    def go_on(self) -> None:
        """Do what is due, if anything."""
        if time.monotonic() < self._next_at:
            return
        if self._stopped is not None:
            self.end()
            self._next_at = time.monotonic() + STALL_EVERY_S
        elif self._waiting:
            self._stopped = self._waiting.pop(0)
            with suppress(ProcessLookupError):  # that it has ended is found out, and told, elsewhere
                os.kill(self._stopped, signal.SIGSTOP)
            self._next_at = time.monotonic() + STALL_S

    def end(self) -> None:
        """Let go on who stands still."""
        if self._stopped is not None:
            with suppress(ProcessLookupError):
                os.kill(self._stopped, signal.SIGCONT)
            self._stopped = None


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
