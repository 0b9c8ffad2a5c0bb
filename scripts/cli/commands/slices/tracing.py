"""The steps of a slice's set-ups and tear-downs."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from scripts.cli.controllers import get
from scripts.console.output import print_json, print_table, say
from scripts.errors import DidNotHold
from scripts.testbed.clients import Northbound

TASKS = {"set_up": "set-up", "take_down": "tear-down"}


def show_traces(controller: Northbound, name: str, *, as_json: bool) -> int:
    """Of a slice that is there, is gone, or could not be made. DidNotHold when there is none."""
    traces = get(controller, f"/v1/traces?{urlencode({'slice': name})}")["traces"]
    if not traces:
        raise DidNotHold(f"slice {name}: there is no trace of it since the controller was started")
    if as_json:
        print_json({"traces": traces})
        return 0
    for trace in traces:
        _print(trace)
    return 0


def _print(trace: dict[str, Any]) -> None:
    rows = [
        (
            step["name"], step["layer"], step.get("connection", "-"), step.get("device", "-"), step.get("kind", "-"),
            f"{step['start_ms']:.1f}", f"{step['end_ms']:.1f}", f"{step['end_ms'] - step['start_ms']:.1f}",
            step.get("error") or step["outcome"],
        )
        for step in trace["steps"]
    ]  # fmt: skip
    columns = ("step", "layer", "connection", "device", "kind", "start ms", "end ms", "took ms", "outcome")
    print_table(f"{TASKS[trace['task']]}, {trace['mode']}, {trace['began']}", columns, rows)
    simulated = f", of which {trace['simulated_ms']:.0f} ms simulated devices" if trace["simulated_ms"] else ""
    say(f"{trace['outcome']}: {trace['total_ms']:.1f} ms; its steps: {trace['steps_ms']:.1f} ms{simulated}")
    if trace["error"]:
        say(trace["error"])
