"""``bench failover``: what a failure costs a connection, by protection class and by how the failure shows itself.

With ten slices up, on ``metro-ring`` unless told otherwise, one channel of the working lane of one connection (first
cell to first core, encrypted, several hops) fails under a 1 kHz echo stream through its tunnel; each run takes the
lane's next hop. ``cut`` takes the carrier at both ends, ``silent`` drops every packet in both directions and keeps the
carrier.

Outage is loss-derived (RFC 6413, 3.5.2.2): echo requests without a reply, times the interval at which they left.
A request counts as lost whichever direction lost it. With 1:1 the tunnel sends again what the switch-over has lost, so
that it comes late instead (:mod:`kms.tunnel.protocol.repair`): how late is the silence, the longest time
between two replies.
The baseline in the same program is Ryu's own ``simple_switch_stp_13`` on the same network: see
:mod:`scripts.bench.failover.stp`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.bench.common import percentile
from scripts.measure.errors import ApiError, MeasurementError
from scripts.measure.places import Places, places_in
from scripts.measure.polling import poll
from scripts.measure.probes.outage import measure_outage
from scripts.measure.probes.probers import Probers, new_token
from scripts.measure.protection import protected_if_possible
from scripts.testbed.faults import Fault, FaultKind
from scripts.testbed.running_system import RunningSystem
from topologies.spec import Topology

TOPOLOGY = "metro-ring"
CLASSES = ("1+1", "1:1", "restoration")
CUT, SILENT = "cut", "silent"
DETECTIONS = (CUT, SILENT)
BACKGROUND_SLICES = 9
PROBED_SLICE = "probed"
INTERVAL_S = 0.001
BEFORE_S = 0.2
# How long to watch after the failure: detection of silence takes three intervals of BFD, which depend on the class.
AFTER_S = {("restoration", SILENT): 1.2}
USUAL_AFTER_S = 0.5
READY_TIMEOUT_S = 15.0
MANY_INTERVAL_S = 0.05
NOTES = (
    "outage: echo requests at 1 kHz without a reply times their interval; a delayed packet is no lost one",
    "silence: the longest time between two replies, beyond the interval: how long nothing came, lost or late; with 1:1 "
    "the switches take that long to turn over, and the tunnel sends again what was lost meanwhile",
    "cut: both ends lose carrier; silent: every packet is dropped in both directions, carrier stays",
    "each run fails the next hop of the working lane: first, middle and last hops alike",
    "hundred_slices: one cut hits a connection of each of 100 slices; the time from the cut to the reply to the first "
    "request that was sent after the cut and answered, of the last of them, seen at 20 requests a second",
    "stp: Ryu's simple_switch_stp_13 on the same network, the carrying channel cut under 50 echo requests a "
    "second; its timers are those of IEEE 802.1D, so seconds are what it is meant to take; 150 s: it had not come back",
)


@dataclass(frozen=True)
class Run:
    """One failure: which channel, and what the stream lost."""

    channel: str
    lost: int
    outage_ms: float
    silence_ms: float
    sent: int


def slice_request(
    name: str, cell: str, site: str, core: str, protection: str = "restoration", bandwidth_mbps: float = 0.5
) -> dict[str, Any]:
    """A slice whose connections ask for little, so that ten or a hundred of them fit side by side."""
    ask = {"security": "dh", "bandwidth_mbps": bandwidth_mbps, "latency_ms": 50.0}
    return {
        "name": name, "sNSSAI": {"sst": 1}, "cells": [cell], "core": core,
        "compute": {"site": site, "vcpus": 0, "memory_gb": 0},
        "connections": {"control": {**ask, "protection": protection}, "access": ask, "backhaul": ask},
    }  # fmt: skip


def probed_requests(places: Places) -> dict[str, dict[str, Any]]:
    """The slice that is probed, by protection class."""
    cell, core = places.cell(0), places.core(0)
    return {
        protection: slice_request(PROBED_SLICE, cell, places.site(1), core, protection, bandwidth_mbps=5.0)
        for protection in CLASSES
    }


def classes_on(topology: Topology) -> tuple[str, ...]:
    """The protection classes that the network can give the probed connection."""
    requests = probed_requests(places_in(topology))
    return tuple(c for c in CLASSES if not protected_if_possible(topology, requests[c])[1])


def left_out(topology: Topology) -> tuple[str, ...]:
    """What is to be said of the others."""
    without = [c for c in CLASSES if c not in classes_on(topology)]
    return tuple(f"{c} is not measured: {topology.name} has no two ways there without a common risk" for c in without)


def create(system: RunningSystem, request: Mapping[str, Any]) -> dict[str, Any]:
    status, answer = system.api("POST", "/v1/slices", dict(request))
    if status != 201:
        raise ApiError(f"creating slice {request['name']}: HTTP {status}: {answer}")
    return dict(answer)


def delete(system: RunningSystem, name: str) -> None:
    status, answer = system.api("DELETE", f"/v1/slices/{name}")
    if status not in (200, 204):
        raise ApiError(f"deleting slice {name}: HTTP {status}: {answer}")


def measure(system: RunningSystem, runs: int, advance: Callable[[], None]) -> dict[str, list[Run]]:
    """``runs`` failures of each class that there can be, and kind: ``CLASS.DETECTION`` -> what each cost."""
    results: dict[str, list[Run]] = {}
    places = places_in(system.topology)
    cell, core = places.cell(0), places.core(0)
    requests = probed_requests(places)
    for n in range(BACKGROUND_SLICES):
        create(system, slice_request(f"other{n}", places.cell(n), places.site(n), core))
    try:
        with Probers(system, (cell, core)) as probers:
            for protection in classes_on(system.topology):
                create(system, requests[protection])
                time.sleep(2.0)  # BFD changes its pace over a few of its old intervals
                try:
                    for detection in DETECTIONS:
                        after_s = AFTER_S.get((protection, detection), USUAL_AFTER_S)
                        found = results[f"{protection}.{detection}"] = []
                        for number in range(runs):
                            found.append(one_failure(system, probers, protection, detection, number, after_s))
                            advance()
                finally:
                    delete(system, PROBED_SLICE)
    finally:
        for n in range(BACKGROUND_SLICES):
            delete(system, f"other{n}")
    return results


def one_failure(
    system: RunningSystem, probers: Probers, protection: str, detection: str, number: int, after_s: float
) -> Run:
    """Wait until the connection is whole, fail one hop under the stream, repair it."""
    connection = whole_connection(system, protection)
    channel = connection["path"][number % len(connection["path"])]
    token = new_token()
    prober = probers[connection["src"]]
    prober.call(
        "ping", token=token, source=connection["src_address"], destination=connection["dst_address"],
        interval_s=INTERVAL_S,
    )  # fmt: skip
    if not poll(lambda: bool(prober.call("ping_count", token=token)["replies"] > 0), 3.0):
        raise MeasurementError(f"{connection['id']} answers no echo request before the failure")
    time.sleep(BEFORE_S)
    failed_at = time.monotonic()
    try:
        system.faults.inject(Fault(FaultKind.CUT if detection == CUT else FaultKind.BLACKHOLE, channel))
        time.sleep(after_s)
    finally:
        stream = prober.call("ping_stop", token=token)
        system.link_up(channel)
    outage = measure_outage(stream["sent"], dict(stream["replies"]), failed_at)
    return Run(channel, outage.lost, outage.lost_ms, outage.silence_ms, outage.sent)


def whole_connection(system: RunningSystem, protection: str) -> dict[str, Any]:
    """The probed connection once it is ACTIVE, with a backup where its class has one, all of its channels up."""
    found: dict[str, Any] = {}

    def is_whole() -> bool:
        nonlocal found
        status, answer = system.api("GET", f"/v1/slices/{PROBED_SLICE}")
        if status != 200:
            raise ApiError(f"slice {PROBED_SLICE}: HTTP {status}")
        found = _control(answer)
        return found["state"] == "ACTIVE" and (found["backup"] is not None or protection == "restoration")

    if not poll(is_whole, READY_TIMEOUT_S):
        raise MeasurementError(f"{found['id']} is {found['state']}, not whole again: {found['reason']}")
    return found


def _control(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The one between the slice's only cell and the core."""
    return dict(next(c for c in answer["connections"] if c["name"].endswith("-control")))


def figures(results: Mapping[str, Sequence[Run]]) -> dict[str, float]:
    """``CLASS.DETECTION.*`` as contracts.md names them."""
    named: dict[str, float] = {}
    for prefix, runs in results.items():
        if runs:
            named[f"{prefix}.lost_packets.max"] = max(run.lost for run in runs)
            named[f"{prefix}.outage_ms.p50"] = percentile([run.outage_ms for run in runs], 0.5)
            named[f"{prefix}.outage_ms.p99"] = percentile([run.outage_ms for run in runs], 0.99)
            named[f"{prefix}.silence_ms.p50"] = percentile([run.silence_ms for run in runs], 0.5)
            named[f"{prefix}.silence_ms.p99"] = percentile([run.silence_ms for run in runs], 0.99)
        named[f"{prefix}.runs"] = len(runs)
    return named


def hundred_slices(system: RunningSystem, count: int, advance: Callable[[], None]) -> tuple[float, int]:
    """Milliseconds from one cut to the last of the connections it hit answering again, and how many were hit."""
    places = places_in(system.topology)
    names, sites = [f"many{n}" for n in range(count)], (places.cell(0), places.site(0), places.core(0))
    made: list[str] = []
    try:
        connections = []
        for name in names:
            answer = create(system, slice_request(name, *sites, bandwidth_mbps=0.05))
            made.append(name)
            connections.append(_control(answer))
            advance()
        users: dict[str, list[dict[str, Any]]] = {}
        for connection in connections:
            for channel in connection["path"]:
                users.setdefault(channel, []).append(connection)
        cut = max(users, key=lambda channel: len(users[channel]))
        return _cut_under_many(system, cut, users[cut]), len(users[cut])
    finally:
        for name in made:
            delete(system, name)


def _cut_under_many(system: RunningSystem, cut: str, hit: Sequence[Mapping[str, Any]]) -> float:
    tokens = {c["id"]: new_token() for c in hit}
    with Probers(system, sorted({c["src"] for c in hit})) as probers:
        for c in hit:
            probers[c["src"]].call(
                "ping", token=tokens[c["id"]], source=c["src_address"], destination=c["dst_address"],
                interval_s=MANY_INTERVAL_S,
            )  # fmt: skip
        for c in hit:
            if not poll(lambda c=c: probers[c["src"]].call("ping_count", token=tokens[c["id"]])["replies"] > 0, 5.0):  # type: ignore[misc]
                raise MeasurementError(f"{c['id']} answers no echo request before the cut")
        cut_at = time.monotonic()
        system.link_down(cut)
        try:
            time.sleep(2.0)
            streams = {c["id"]: probers[c["src"]].call("ping_stop", token=tokens[c["id"]]) for c in hit}
        finally:
            system.link_up(cut)
    last = 0.0
    for connection_id, stream in streams.items():
        back = [at for n, at in stream["replies"] if stream["sent"][n] > cut_at]
        if not back:
            raise MeasurementError(f"{connection_id} has not come back within 2 s")
        last = max(last, min(back) - cut_at)
    return last * 1e3
