"""Recording the steps of an operation, and the traces of the last operations."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from controller.model.provisioning_trace import (
    DeviceTimes,
    Layer,
    Outcome,
    ProvisioningMode,
    ProvisioningTrace,
    Step,
    Task,
)

KEPT = 200
# Who does the stages that are timed; all others are the orchestrator's own.
LAYERS = {
    "transit": Layer.SWITCHES,
    "barriers": Layer.SWITCHES,
    "ingress_withdrawn": Layer.SWITCHES,
    "rules_withdrawn": Layer.SWITCHES,
    "tunnels": Layer.HOSTS,
    "active": Layer.HOSTS,
    "tunnels_removed": Layer.HOSTS,
}


class Stopwatch:
    """Milliseconds since the request came in, by stage; and the steps that they come from, each after the last."""

    def __init__(self, steady: Callable[[], float], start: float) -> None:
        self._steady = steady
        self._start = start
        self._last = 0.0
        self.laps_ms: dict[str, float] = {}
        self.steps: list[Step] = []

    @property
    def elapsed_s(self) -> float:
        return self._steady() - self._start

    def lap(self, stage: str) -> None:
        """The stage ends now; it began when the one before ended."""
        self.stage(stage)
        self.laps_ms[stage] = round(self._last * 1000, 3)

    def stage(self, name: str, outcome: Outcome = Outcome.DONE) -> None:
        """As :meth:`lap`, without being among the slice's timings."""
        before, self._last = self._last, self.elapsed_s
        self.steps.append(Step(name, LAYERS.get(name, Layer.ORCHESTRATOR), before, self._last, outcome))

    def device(self, name: str, connection: str, device: str, times: DeviceTimes | None, error: str | None) -> None:
        """The step of one device ends now; ``error`` None: well."""
        before, self._last = self._last, self.elapsed_s
        outcome = Outcome.DONE if error is None else Outcome.FAILED
        self.steps.append(
            Step(name, Layer.DEVICE, before, self._last, outcome, error, connection, device, times)
        )  # fmt: skip


class Traces:
    """The last of them, the newest at the end. Any method may be called from any thread."""

    def __init__(self) -> None:
        self._kept: deque[ProvisioningTrace] = deque(maxlen=KEPT)
        self._guard = threading.Lock()

    def add(self, trace: ProvisioningTrace) -> None:
        with self._guard:
            self._kept.append(trace)

    def all(self, slice_name: str | None = None) -> tuple[ProvisioningTrace, ...]:
        """Of one slice, or of all."""
        with self._guard:
            return tuple(trace for trace in self._kept if slice_name in (None, trace.slice_name))


def trace_of(
    watch: Stopwatch,
    trace_id: str,
    name: str,
    task: Task,
    mode: ProvisioningMode,
    now: float,
    outcome: Outcome,
    error: str | None = None,
) -> ProvisioningTrace:
    """The trace of what ends now, at ``now`` seconds since the epoch."""
    total_s = watch.elapsed_s
    return ProvisioningTrace(trace_id, name, task, mode, now - total_s, total_s, outcome, error, tuple(watch.steps))
