"""Exercise 1: a slice that satisfies given needs. Judged by the slice as the API shows it, and by packets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.automation.testbed import Testbed
from scripts.automation.values import Connection, Slice
from scripts.lab.exercise import Answers, Exercise, Finding, nothing_to_prepare
from scripts.lab.looking import level_of, raw_slice
from scripts.measure.capture.plaintext_search import look_for_markers
from scripts.measure.link_cut import key_source_of
from scripts.measure.probes.probers import Probers
from scripts.measure.programs.ping import ping_all
from topologies.spec import SecurityClass

NAME = "lab1"
MOST_TIMES = 2.0
"""How many times the bandwidth that is needed a solution may reserve."""


@dataclass(frozen=True)
class Need:
    """What goes between two sites, whichever of them is the source."""

    a: str
    b: str
    security: SecurityClass
    bandwidth_mbps: float
    latency_ms: float

    def __str__(self) -> str:
        return f"{self.a} - {self.b}"


NEEDS = (
    Need("cell1", "metro2", SecurityClass.QRA, 10, 10),
    Need("cell2", "metro2", SecurityClass.QRA, 10, 10),
    Need("metro2", "core2", SecurityClass.QKD, 20, 15),
)
TASK = f"""\
A company runs an application at metro2, for users in the cells cell1 and cell2, and keeps its data at core2. Create a
slice called {NAME} with what it needs, and not more than twice the bandwidth:

    between            keys at least      bandwidth     latency at most
    cell1 - metro2     post-quantum       10 Mbit/s     10 ms
    cell2 - metro2     post-quantum       10 Mbit/s     10 ms
    metro2 - core2     quantum (QKD)      20 Mbit/s     15 ms

Start from scripts/examples/enterprise-app.yaml, and ask with `qslice slice create FILE --dry-run` whether it fits."""


def judge_needs(view: Mapping[str, Any], classes: Mapping[str, SecurityClass], needs: Sequence[Need]) -> list[Finding]:
    """What the API's view of a slice says about each need; ``classes`` are those of the channels by id. Pure."""
    state = str(view["state"])
    findings = [Finding(f"{view['name']} is in service", state == "ACTIVE", f"its state is {state}")]
    for need in needs:
        connection = _between(view["connections"], need)
        if connection is None:
            findings.append(Finding(str(need), False, "no connection between these sites"))
        else:
            findings += _judge_connection(connection, classes, need)
    return findings


def _between(connections: Sequence[Mapping[str, Any]], need: Need) -> Mapping[str, Any] | None:
    """Of several the one that promises most: a control connection may run between the same sites."""
    found = [c for c in connections if {c["src"], c["dst"]} == {need.a, need.b}]
    return max(found, key=lambda c: (level_of(c["required"]), c["bandwidth_mbps"]), default=None)


def _judge_connection(connection: Mapping[str, Any], classes: Mapping[str, SecurityClass], need: Need) -> list[Finding]:
    required, mbps = level_of(connection["required"]), float(connection["bandwidth_mbps"])
    path, latency_ms = connection["path"], connection["latency_ms"]
    weakest = min((classes[channel] for channel in path), default=SecurityClass.NONE)
    fallbacks = [level for level in connection["fallback"] if level_of(level) < need.security]
    is_secure = required >= need.security and weakest >= need.security and not fallbacks
    keys = f"{connection['required']} asked for, channels of class {weakest.label} or higher"
    keys += f", falls back to {', '.join(fallbacks)}" if fallbacks else ""
    is_fast = bool(path) and latency_ms is not None and latency_ms <= need.latency_ms
    return [
        Finding(f"{need}: keys", is_secure, f"{keys}; {need.security.label} is needed"),
        Finding(
            f"{need}: bandwidth",
            need.bandwidth_mbps <= mbps <= MOST_TIMES * need.bandwidth_mbps,
            f"{mbps:g} Mbit/s reserved; {need.bandwidth_mbps:g} to {MOST_TIMES * need.bandwidth_mbps:g} are right",
        ),
        Finding(f"{need}: latency", is_fast, f"{latency_ms} ms; {need.latency_ms:g} ms at most"),
    ]


def judge(testbed: Testbed, answers: Answers) -> list[Finding]:
    view = raw_slice(testbed, NAME)
    if view is None:
        return [Finding(f"{NAME} exists", False, "there is no such slice: create it, then check again")]
    classes = {channel.id: SecurityClass.parse(channel.security) for channel in testbed.channels().values()}
    findings = judge_needs(view, classes, NEEDS)
    connections = [_measured(Slice.of(view), need) for need in NEEDS]
    used = [(need, c) for need, c in zip(NEEDS, connections, strict=True) if c is not None and c.path]
    return findings + (_judge_packets(testbed, used) if used else [])


def _measured(made: Slice, need: Need) -> Connection | None:
    found = [c for c in made.connections if {c.src, c.dst} == {need.a, need.b}]
    return max(found, key=lambda c: (c.required_class, c.bandwidth_mbps), default=None)


def _judge_packets(testbed: Testbed, used: Sequence[tuple[Need, Connection]]) -> list[Finding]:
    connections = [connection for _, connection in used]
    pings = ping_all(testbed.system, connections)
    with Probers(testbed.system, sorted({host for c in connections for host in (c.src, c.dst)})) as probers:
        markers = look_for_markers(testbed.system, probers, connections)
    findings = []
    for need, connection in used:
        answered, marker = pings[connection.id], markers[connection.id]
        source = key_source_of(testbed.system, connection)
        has_keys = all(level_of(part) >= need.security for part in source.split(" / "))
        is_whole = getattr(answered, "loss_pct", 100.0) == 0
        said = f"{answered.loss_pct:g} % of pings lost" if hasattr(answered, "loss_pct") else str(answered)
        findings += [
            Finding(f"{need}: packets arrive", is_whole, said),
            Finding(f"{need}: only ciphertext on its channels", marker.ciphertext_only, marker.detail),
            Finding(f"{need}: keys in use at both ends", has_keys, f"{source}; {need.security.label} is needed"),
        ]
    return findings


EXERCISE = Exercise(1, "a slice that satisfies given needs", TASK, {}, nothing_to_prepare, judge)
