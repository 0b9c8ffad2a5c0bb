"""``bench scale``: what a network costs by its number of sites, and whether a slice costs more in a larger one.

Each network is brought up and taken down by the commands that a user gives, and must leave nothing. While it is
there: memory and processor time at rest, agents started anew, slices set up, each connection of the first pinged, and a
channel of a working path cut under 1 kHz echo requests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from scripts.bench.common import percentile
from scripts.bench.failover.run import CUT, PROBED_SLICE, USUAL_AFTER_S, create, delete, one_failure, slice_request
from scripts.bench.scale.footprint import available_mb, busy_share, memory_mb, processes
from scripts.bench.scale.networks import network, slice_requests
from scripts.configuration.values import DEFAULTS, Configuration
from scripts.errors import CommandError, DidNotHold, EnvironmentLacks
from scripts.measure.connection import Connection
from scripts.measure.polling import poll
from scripts.measure.probes.probers import Probers
from scripts.measure.programs.ping import ping_all
from scripts.measure.slices import create_patiently, create_slice, delete_slice
from scripts.testbed.cleanup import read_or_guess, remove_leftovers
from scripts.testbed.life.supervisor import SupervisorClient
from scripts.testbed.paths import REPOSITORY, Layout, write_private
from scripts.testbed.processes import end
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem
from topologies.files import to_document, to_json
from topologies.spec import Topology

STAGES = 6
REST_S = 10.0
# After the start the KMS fills its stores: what it takes for that is not what it takes at rest.
SETTLE_TIMEOUT_S = 300.0
SETTLE_POLL_S = 1.0
STORED_BITS = 1 << 16  # of a section: a quarter of its store, below which it is filled with priority
AGENT_STARTS = 5
PINGS = 5
GROUPS = 4  # places in the network where slices are set up
NOTES = (
    "each network is brought up and taken down by `qslice up --detach` and `down`: start of the interpreter included",
    "5 sites: ukqntel; others: four neighbours each, four channels to each, every five sites like those of ukqntel",
    "memory_mb: PSS of all processes of the run and of Open vSwitch's, the larger of at rest and after the slices",
    "machine_mb: by how much less memory the machine has to give then than before, the kernel's own included",
    f"idle_cpu: share of one processor during {REST_S:g} s without slices, once every QKD section has key in store",
    "agent_start_ms: from the order to the answer of the agent's socket, which is asked every 20 ms",
    "set_up_ms: from the request to the slice being ACTIVE (three or five connections, three classes), over paths of "
    "the same length in every network; the first of each place is not counted",
    "restoration_ms: loss-derived outage of an unprotected connection whose channel is cut; not with --slowness",
)


@dataclass
class Size:
    """One network. Seconds, megabytes, milliseconds."""

    sites: int
    channels: int
    up_s: float = 0.0
    down_s: float = 0.0
    settled_s: float = 0.0
    memory_mb: float = 0.0
    machine_mb: float = 0.0
    idle_cpu: float = 0.0
    agents_mb: list[float] = field(default_factory=list)
    agent_starts_ms: list[float] = field(default_factory=list)
    set_ups_ms: list[float] = field(default_factory=list)
    restorations_ms: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """``sites_N.*`` as contracts.md names them."""
        named: dict[str, float] = {
            "channels": self.channels, "up_s": self.up_s, "down_s": self.down_s, "settled_s": self.settled_s,
            "memory_mb": self.memory_mb, "machine_mb": self.machine_mb, "idle_cpu": self.idle_cpu,
        }  # fmt: skip
        for name, values in (("agent_mb", self.agents_mb), ("agent_start_ms", self.agent_starts_ms)):
            named[name] = percentile(values, 0.5)
        for name, values in (("set_up_ms", self.set_ups_ms), ("restoration_ms", self.restorations_ms)):
            named |= {f"{name}.p50": percentile(values, 0.5)} if values else {}
        return {f"sites_{self.sites}.{name}": value for name, value in named.items()}


@dataclass(frozen=True)
class Effort:
    """How much is done on each network."""

    runs: int = 20
    restorations: int = 10
    slowness: float = 1.0
    """For emulated processors: waits are so many times as long. Above 1, no 1 kHz stream could be sent."""
    configuration: Configuration = DEFAULTS


def measure(sites: int, effort: Effort, layout: Layout, tell: Callable[[str], None]) -> Size:
    """All figures of one network, which is gone when this returns. CommandError, as its commands', when one fails."""
    topology = network(sites)
    size = Size(sites, len(topology.channels))
    before_mb = available_mb()
    with _up(topology, effort.configuration, layout, size, tell):
        record = running_record(layout)
        system = RunningSystem(record, layout)
        tell("waiting for QKD keys")
        size.settled_s = _settle(system, SETTLE_TIMEOUT_S * effort.slowness)
        tell("at rest")
        size.idle_cpu = busy_share(processes(record), REST_S)
        size.memory_mb = memory_mb(processes(record))
        size.agents_mb = [memory_mb([record.processes[_agent(site)].pid]) for site in topology.site_names]
        tell("agents")
        size.agent_starts_ms = [_restart(_agent(site), layout) for site in topology.site_names[:AGENT_STARTS]]
        tell("slices")
        size.set_ups_ms = _set_up(system, effort)
        tell("restoration")
        size.restorations_ms = _restore(system, effort.restorations) if effort.slowness == 1 else []
        size.memory_mb = max(size.memory_mb, memory_mb(processes(running_record(layout))))
        size.machine_mb = before_mb - available_mb()
    _see_that_nothing_is_left(layout)
    return size


@contextmanager
def _up(
    topology: Topology, configuration: Configuration, layout: Layout, size: Size, tell: Callable[[str], None]
) -> Iterator[None]:
    layout.make()
    file, settings = layout.state / "bench-scale.json", layout.state / "bench-scale-settings.json"
    write_private(file, to_json(to_document(topology)))
    write_private(settings, json.dumps(configuration.document()))
    tell(f"{size.sites} sites, {size.channels} channels: up")
    try:
        size.up_s = _qslice("up", "--detach", "--topo", str(file), "--config", str(settings))
        try:
            yield
        finally:
            size.down_s = _qslice("down")
    finally:
        file.unlink(missing_ok=True)
        settings.unlink(missing_ok=True)


def _qslice(*words: str) -> float:
    """Seconds that a command took. Raises its CommandError when it fails."""
    argv = [sys.executable, "-m", "scripts.cli.main", words[0], "--json", *words[1:]]
    began = time.monotonic()
    done = subprocess.run(
        argv, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, cwd="/", check=False,
    )  # fmt: skip
    took_s = time.monotonic() - began
    if done.returncode:
        kind: type[CommandError] = EnvironmentLacks if done.returncode == EnvironmentLacks.exit_status else DidNotHold
        try:
            said = json.loads(done.stdout)["error"]
        except (ValueError, KeyError, TypeError):
            said = done.stderr.strip()[-500:]
        raise kind(f"{words[0]}: {said}")
    return took_s


def _see_that_nothing_is_left(layout: Layout) -> None:
    """DidNotHold when `down` has left anything: it looks itself, and tells of what somebody else's has left."""
    left = read_or_guess(layout)
    found = [] if left is None else remove_leftovers(left, layout)
    if found:
        raise DidNotHold(f"down has left {', '.join(found)}")


def _settle(system: RunningSystem, timeout_s: float) -> float:
    """Seconds until every QKD section has key in store, or the time is over."""

    def settled() -> bool:
        status, keys = system.kms.call("GET", "/v1/keys")
        return status == 200 and all(section["available_bits"] >= STORED_BITS for section in keys["sections"])

    began = time.monotonic()
    poll(settled, timeout_s, SETTLE_POLL_S)
    return time.monotonic() - began


def _agent(site: str) -> str:
    return f"tunnel-{site}"


def _restart(name: str, layout: Layout) -> float:
    """Milliseconds from the order to start an agent to its answer; the one that was there is ended before."""
    end(running_record(layout).processes[name])
    began = time.monotonic()
    SupervisorClient(layout.supervisor_socket).restart(name)
    return (time.monotonic() - began) * 1e3


def _set_up(system: RunningSystem, effort: Effort) -> list[float]:
    places = slice_requests(system.topology)
    chosen = places[:: max(1, len(places) // GROUPS)][:GROUPS]
    # On emulated processors a switch or an agent may answer too late for the controller, which says so.
    make = partial(create_patiently, slowness=effort.slowness) if effort.slowness > 1 else create_slice
    times = []
    for number, place in enumerate(chosen):
        request = _request(number, place)
        first = create_patiently(system, request, effort.slowness)
        if number == 0:
            _ping(system, first.connections, effort.slowness)
        delete_slice(system, request["name"], effort.slowness)
        for _ in range(max(1, effort.runs // len(chosen))):
            times.append(make(system, request).provision_ms)
            delete_slice(system, request["name"], effort.slowness)
    return times


def _ping(system: RunningSystem, connections: Sequence[Connection], slowness: float) -> None:
    """DidNotHold when an echo request stays without an answer."""
    for name, result in ping_all(system, connections, PINGS, slowness=slowness).items():
        if isinstance(result, Exception):
            raise result
        if result.received < PINGS:
            raise DidNotHold(f"{name}: {result.received} of {PINGS} echo requests were answered")


def _request(number: int, place: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"scale-{number}",
        "sNSSAI": {"sst": 1, "sd": f"{number:06X}"},
        "cells": place["cells"],
        "compute": {"site": place["compute"], "vcpus": 1, "memory_gb": 1},
        "core": place["core"],
        "connections": {
            "control": {"security": "dh", "bandwidth_mbps": 1, "latency_ms": 50},
            "access": {"security": "qra", "bandwidth_mbps": 4, "latency_ms": 50},
            "backhaul": {"security": "qkd", "bandwidth_mbps": 4, "latency_ms": 50},
        },
    }


def _restore(system: RunningSystem, runs: int) -> list[float]:
    create(system, slice_request(PROBED_SLICE, "cell1", "metro1", "core1", bandwidth_mbps=5.0))
    try:
        with Probers(system, ("cell1", "core1")) as probers:
            return [
                one_failure(system, probers, "restoration", CUT, number, USUAL_AFTER_S).outage_ms
                for number in range(runs)
            ]
    finally:
        delete(system, PROBED_SLICE)


def as_list(sizes: list[Size]) -> list[dict[str, Any]]:
    """Every single measurement."""
    return [dict(vars(size)) for size in sizes]
