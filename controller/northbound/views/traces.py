"""What set-ups and tear-downs consisted of, as the JSON of the northbound API."""

from __future__ import annotations

from typing import Any

from controller.model.moment import moment
from controller.model.provisioning_trace import Layer, Outcome, ProvisioningMode, ProvisioningTrace, Step, Task
from controller.northbound.views.moments import MOMENT
from controller.northbound.views.schema_terms import AMOUNT, COUNT, TEXT, list_of, object_of, or_null, ref

TRACE_SCHEMAS: dict[str, Any] = {
    "Trace": object_of(
        {
            "id": TEXT, "slice": TEXT, "task": {"enum": [task.value for task in Task]},
            "mode": {"enum": [mode.value for mode in ProvisioningMode]}, "began": MOMENT,
            "total_ms": AMOUNT, "steps_ms": AMOUNT, "simulated_ms": AMOUNT,
            "outcome": {"enum": [outcome.value for outcome in Outcome]}, "error": or_null(TEXT),
            "steps": list_of(ref("TraceStep")),
        }
    ),
    "TraceStep": object_of(
        {
            "name": TEXT, "layer": {"enum": [layer.value for layer in Layer]}, "start_ms": AMOUNT, "end_ms": AMOUNT,
            "outcome": {"enum": [outcome.value for outcome in Outcome]},
        },
        {
            "error": TEXT, "connection": TEXT, "device": TEXT, "kind": TEXT, "entries": COUNT,
            "connect_ms": AMOUNT, "device_ms": AMOUNT, "simulated_ms": AMOUNT,
        },
    ),
    "TraceList": object_of({"traces": list_of(ref("Trace"))}),
}  # fmt: skip


def trace_view(trace: ProvisioningTrace) -> dict[str, Any]:
    return {
        "id": trace.id,
        "slice": trace.slice_name,
        "task": trace.task.value,
        "mode": trace.mode.value,
        "began": moment(trace.began_at),
        "total_ms": _ms(trace.total_s),
        "steps_ms": _ms(trace.steps_s),
        "simulated_ms": _ms(trace.simulated_s),
        "outcome": trace.outcome.value,
        "error": trace.error,
        "steps": [_step_view(step) for step in trace.steps],
    }


def _step_view(step: Step) -> dict[str, Any]:
    view: dict[str, Any] = {
        "name": step.name,
        "layer": step.layer.value,
        "start_ms": _ms(step.start_s),
        "end_ms": _ms(step.end_s),
        "outcome": step.outcome.value,
    }
    told = {"error": step.error, "connection": step.connection, "device": step.device}
    view |= {name: value for name, value in told.items() if value is not None}
    if step.times is not None:
        view |= {
            "kind": step.times.kind,
            "entries": step.times.entries,
            "connect_ms": _ms(step.times.connect_s),
            "device_ms": _ms(step.times.device_s),
            "simulated_ms": _ms(step.times.simulated_s),
        }
    return view


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 3)
