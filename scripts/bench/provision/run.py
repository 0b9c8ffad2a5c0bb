"""``bench provision``: how long it takes to set up and to tear down a slice, measured on the running system.

The form is that of paper 002, Fig. 6: a hundred runs of each of the two use cases. Three clocks are
read. The controller's own stages count from the request's arrival. The first packet is seen where it matters, in the
receiving host, by a program that runs there. Tear-down is what the caller of DELETE waits.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from typing import Any

from scripts.bench.common import summary
from scripts.console.progress import Progress
from scripts.measure.connection import Connection, connections_of
from scripts.measure.errors import ApiError, MeasurementError
from scripts.measure.places import settled
from scripts.measure.polling import poll
from scripts.measure.probes.probers import Probers, new_token, result_of
from scripts.measure.slices import load_request
from scripts.measure.system import System
from scripts.testbed.running_system import RunningSystem

CASES = ("enterprise-app", "cdn")
BARRIERS = "barriers"  # the controller's name for the stage after which every switch has confirmed
PROBE_INTERVAL_S = 0.002
PROBE_TIMEOUT_S = 5.0
POOL_FILLED = 32  # kms.keys.limits.Limits.pool_target
KEYS_TIMEOUT_S = 30.0
CHANNELS_TIMEOUT_S = 10.0
MS = 1e3
NOTES = (
    "to_barriers: from the request's arrival at the controller until every switch has confirmed ingress, transit and "
    "egress by a barrier; stages count from there too",
    "to_first_packet: from the request's sending until each of the slice's connections has delivered a packet, seen in "
    "the receiving host; the sender begins when the API has answered",
    "teardown: what the caller of DELETE waits; switches, tunnels and journal hold nothing of the slice then",
    "measured with pools of keys filled, as they are some seconds after the start; nothing is discarded as warm-up",
    "paper 002 has 1 to 2 minutes for each of the four: real optical and Ethernet switches configured in sequence "
    "through NETCONF, so the figures are context and not a comparison",
)


@dataclass(frozen=True)
class Run:
    """One slice, set up and torn down. Milliseconds from the request on; ``stages`` are the controller's own."""

    stages: Mapping[str, float]
    to_answer_ms: float
    to_first_packet_ms: float
    teardown_ms: float


@dataclass
class Case:
    """All runs of one use case."""

    name: str
    runs: list[Run] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def values(self, what: str) -> list[float]:
        """One of Run's figures, or a stage, over all runs that have it."""
        if what == "to_barriers_ms":
            return [run.stages[BARRIERS] for run in self.runs if BARRIERS in run.stages]
        return [float(getattr(run, what)) for run in self.runs]


def wait_for_keys(system: RunningSystem) -> None:
    """Until the KMS has filled its pools and every QKD section is in service, or half a minute has passed."""

    def filled() -> bool:
        status, keys = system.kms.call("GET", "/v1/keys")
        return (
            status == 200
            and all(pool["stored"] >= POOL_FILLED for pool in keys["pools"])
            and all(section["state"] == "active" for section in keys["sections"])
        )

    poll(filled, KEYS_TIMEOUT_S, 0.2)


def wait_for_channels(system: System) -> None:
    """After a failure: until every channel is in service again, so that one fault is not counted in every later run."""

    def in_service() -> bool:
        status, topology = system.api("GET", "/v1/topology")
        return status == 200 and all(channel["state"] != "down" for channel in topology["channels"])

    poll(in_service, CHANNELS_TIMEOUT_S, 0.2)


def failure_notes(failures: Sequence[str]) -> list[str]:
    """What went wrong, each once, with how often."""
    return [f"failed {count} times: {what[:300]}" for what, count in Counter(failures).most_common()]


def measure(system: System, runs: int, cases: Sequence[str] = CASES) -> list[Case]:
    """``runs`` times set up and tear down of each use case, one after the other, on a network without slices."""
    results = []
    with Probers(system, system.topology.site_names) as probers:
        for name in cases:
            request = settled(load_request(name), system.topology)
            case = Case(name)
            with Progress(f"{name}: set up and tear down", total=runs) as progress:
                for _ in range(runs):
                    try:
                        case.runs.append(one_run(system, probers, request))
                    except (ApiError, MeasurementError) as error:
                        case.failures.append(str(error))
                        wait_for_channels(system)
                    progress.advance()
            results.append(case)
    return results


def one_run(system: System, probers: Probers, request: Mapping[str, Any]) -> Run:
    """Set a slice up, send a packet over each connection as soon as it is there, tear it down again."""
    name = str(request["name"])
    started = time.monotonic()
    status, answer = system.api("POST", "/v1/slices", dict(request))
    answered = time.monotonic()
    if status != 201:
        raise ApiError(f"creating slice {name}: HTTP {status}: {answer}")
    try:
        arrived = first_arrival(probers, connections_of(answer, request))
    finally:
        deleted = time.monotonic()
        status, gone = system.api("DELETE", f"/v1/slices/{name}")
        ended = time.monotonic()
    if status != 200 and status != 204:
        raise ApiError(f"deleting slice {name}: HTTP {status}: {gone}")
    return Run(
        stages=dict(answer.get("timings_ms") or {}),
        to_answer_ms=(answered - started) * MS,
        to_first_packet_ms=(arrived - started) * MS,
        teardown_ms=(ended - deleted) * MS,
    )


def first_arrival(probers: Probers, connections: Sequence[Connection]) -> float:
    """The moment (CLOCK_MONOTONIC, seconds) when the last of the connections has delivered its first packet.

    Each source sends every 2 ms until it is answered. An encrypted connection's inner address stands on its tunnel
    interface alone, and is routed nowhere else: what arrives there has been through the tunnel.
    """
    waiting: list[tuple[Connection, Future[dict[str, Any]], Future[dict[str, Any]]]] = []
    for connection in connections:
        token = new_token()
        arrival = probers[connection.dst].submit("first_arrival", token=token, timeout_s=PROBE_TIMEOUT_S)
        reply = probers[connection.src].submit(
            "first_reply", token=token, source=connection.src_address, destination=connection.dst_address,
            interval_s=PROBE_INTERVAL_S, timeout_s=PROBE_TIMEOUT_S,
        )  # fmt: skip
        waiting.append((connection, arrival, reply))
    latest = 0.0
    for connection, arrival, reply in waiting:
        try:
            latest = max(latest, float(result_of(arrival, connection.id, PROBE_TIMEOUT_S + 1)["at"]))
            result_of(reply, connection.id, PROBE_TIMEOUT_S + 1)
        except MeasurementError as error:
            raise MeasurementError(f"first packet of {connection.id}: {error}") from error
    return latest


def figures(cases: Sequence[Case], runs: int) -> dict[str, float]:
    """The contract's figures, and every stage of the controller's."""
    found: dict[str, float] = {"runs": runs}
    for case in cases:
        for what in ("to_barriers_ms", "to_first_packet_ms", "to_answer_ms", "teardown_ms"):
            found |= summary(f"{case.name}.{what}", case.values(what))
        for stage in stages(case):
            values = [run.stages[stage] for run in case.runs if stage in run.stages]
            found |= summary(f"{case.name}.stages.{stage}_ms", values)
        found[f"{case.name}.failures"] = len(case.failures)
    return found


def stages(case: Case) -> tuple[str, ...]:
    """The stages that the controller told, in the order in which they ended."""
    order = {stage: at for run in case.runs for stage, at in run.stages.items()}
    return tuple(sorted(order, key=lambda stage: order[stage]))


def as_lists(cases: Sequence[Case]) -> dict[str, list[dict[str, Any]]]:
    """Every single run, for the results file."""
    return {case.name: [asdict(run) for run in case.runs] for case in cases}
