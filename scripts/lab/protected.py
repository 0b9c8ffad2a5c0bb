"""Exercise 5: a slice that survives a cut without loss. The check cuts a channel itself, and counts packets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.automation.testbed import Testbed
from scripts.automation.values import Connection
from scripts.lab.exercise import Answers, Exercise, Finding, nothing_to_prepare
from scripts.lab.looking import level_of, raw_slice
from scripts.measure.link_cut import FailureResult, cut_and_watch
from scripts.measure.probes.probers import Probers
from topologies.spec import SecurityClass, Topology

NAME, A, B, LEAST, MBPS = "lab5", "cell1", "core2", SecurityClass.QRA, 10
RARER = 2.0
"""Requests leave every so many milliseconds: twice as rarely as in the demo, so that a laptop keeps up."""
WITH_BACKUP = ("1:1", "1+1")
WHOLE_AGAIN_S = 20.0
TRIES = 5
"""Other load can keep the switches from running at the moment of a cut; without a backup path every cut loses."""
TASK = f"""\
Create a slice called {NAME} with one connection from {A} to {B}: post-quantum keys or better, {MBPS} Mbit/s, 20 ms. It
has to survive the cut of any one fibre without losing a packet: choose its protection. The check sends an echo request
every {RARER:g} ms through the connection, cuts a channel of its path, counts what is lost, and mends the channel; one
cut of up to {TRIES} has to be without loss.

    sudo qslice lab check 5"""


def judge_plan(view: Mapping[str, Any], topology: Topology) -> list[Finding]:
    """The slice as the API shows it: its two paths share nothing that can fail. Pure."""
    ends = [c for c in view["connections"] if {c["src"], c["dst"]} == {A, B}]
    if view["state"] != "ACTIVE" or len(ends) != 1:
        return [Finding(f"one connection {A} - {B} is in service", False, f"{view['state']}, {len(ends)} of them")]
    (connection,) = ends
    working, backup = connection["path"], (connection["backup"] or {}).get("path", [])
    shared = _risks(topology, working) & _risks(topology, backup)
    is_protected = bool(backup) and not shared
    said = f"share {', '.join(sorted(shared))}" if shared else f"{len(working)} and {len(backup)} channels, none shared"
    is_strong = level_of(connection["required"]) >= LEAST and connection["bandwidth_mbps"] >= MBPS
    return [
        Finding(
            "its keys and bandwidth", is_strong, f"{connection['required']}, {connection['bandwidth_mbps']:g} Mbit/s"
        ),
        Finding(
            "a backup path stands ready on other fibres",
            is_protected,
            f"protection {connection['protection']}: " + (said if backup else "there is no backup path"),
        ),
    ]


def _risks(topology: Topology, path: list[str]) -> set[str]:
    return {risk for channel in path for risk in topology.channel(channel).risk_groups}


def judge(testbed: Testbed, answers: Answers) -> list[Finding]:
    view = raw_slice(testbed, NAME)
    if view is None:
        return [Finding(f"{NAME} exists", False, "there is no such slice: create it, then check again")]
    findings = judge_plan(view, testbed.topology)
    measured = None
    for _ in range(TRIES):
        connection = next((c for c in testbed.slice(NAME).connections if {c.src, c.dst} == {A, B} and c.path), None)
        if connection is None:
            break
        measured = _cut(testbed, connection)
        if measured.main.outage.lost == 0:
            break
        testbed.wait_until(lambda: _is_whole(testbed), WHOLE_AGAIN_S, "the slice has its paths again")
    return findings + ([] if measured is None else judge_cut(measured))


def _cut(testbed: Testbed, connection: Connection) -> FailureResult:
    with Probers(testbed.system, sorted({connection.src, connection.dst})) as probers:
        return cut_and_watch(
            testbed.system,
            probers,
            [connection],
            lambda: {c.id: c for c in testbed.slice(NAME).connections},
            slowness=RARER,
            restorable=connection.path,
        )


def _is_whole(testbed: Testbed) -> bool:
    """Whether every connection that had a backup path has one again."""
    return all(
        c.state == "ACTIVE" and (c.backup or c.protection not in WITH_BACKUP) for c in testbed.slice(NAME).connections
    )


def judge_cut(measured: FailureResult) -> list[Finding]:
    """What was measured. Pure."""
    outage, cut = measured.main.outage, measured.cut
    kept = "; ".join(measured.shortcomings) or f"{' '.join(measured.main.after.path)}, keys as before"
    lost = f"{outage.lost} of {outage.sent} lost, {outage.silence_ms:.0f} ms without an answer; cut: {cut}"
    return [
        Finding("no packet is lost", outage.lost == 0, lost),
        Finding("it is carried on, as securely", measured.security_kept, kept),
    ]


EXERCISE = Exercise(5, "a slice that survives a cut without loss", TASK, {}, nothing_to_prepare, judge)
