"""``bench provision --both-modes``: parallel and sequential provisioning on one network, in turns.

The controller is started anew in the other mode for each turn; network, KMS, agents and devices stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.bench.common import summary
from scripts.bench.provision import run
from scripts.bench.provision.run import CASES, Case
from scripts.measure.errors import ApiError
from scripts.testbed.running_system import RunningSystem

MODES = ("parallel", "sequential")
TURNS = 4
NOTES = (
    f"both modes in {TURNS} turns on one network: the controller starts anew for each, nothing else does",
    "steps_to_total: the sum of a trace's steps by its total, which is measured by itself; device_steps: edits of "
    "devices in a set-up",
)


@dataclass
class InTurns:
    """The runs of each use case in each mode, and their traces."""

    cases: list[Case] = field(default_factory=lambda: [Case(f"{mode}.{name}") for mode in MODES for name in CASES])
    traces: list[Mapping[str, Any]] = field(default_factory=list)


def measure(system: RunningSystem, runs: int, switch: Callable[[str], None]) -> InTurns:
    """At least ``runs`` of each; ``switch`` starts the controller in a mode."""
    found = InTurns()
    by_name = {case.name: case for case in found.cases}
    run.wait_for_keys(system)
    for _ in range(TURNS):
        for mode in MODES:
            switch(mode)
            for case in run.measure(system, -(-runs // TURNS)):
                whole = by_name[f"{mode}.{case.name}"]
                whole.runs += case.runs
                whole.failures += case.failures
            found.traces += traces_of(system)
    return found


def traces_of(system: RunningSystem) -> Sequence[Mapping[str, Any]]:
    """What the controller has recorded since it was started."""
    status, answer = system.api("GET", "/v1/traces")
    if status != 200:
        raise ApiError(f"traces: HTTP {status}: {answer}")
    return list(answer["traces"])


def figures(found: InTurns, runs: int) -> dict[str, float]:
    """Those of both modes, each under its name, and what the traces say."""
    told = run.figures(found.cases, runs)
    for mode in MODES:
        traces = [trace for trace in found.traces if trace["mode"] == mode]
        shares = [trace["steps_ms"] / trace["total_ms"] for trace in traces if trace["total_ms"]]
        told |= summary(f"{mode}.steps_to_total", shares)
    steps = [
        float(sum(step["layer"] == "device" for step in trace["steps"]))
        for trace in found.traces
        if trace["mode"] == "sequential" and trace["task"] == "set_up"
    ]
    return told | summary("sequential.device_steps", steps)
