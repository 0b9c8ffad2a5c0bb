"""What setting up or taking down a slice consisted of: steps with their start and end, as in paper 001, Fig. 8."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProvisioningMode(StrEnum):
    """How switches are configured."""

    PARALLEL = "parallel"
    """All at once by OpenFlow, each stage confirmed by barriers."""
    SEQUENTIAL = "sequential"
    """One device after the other, each by a PATCH to the controller layer."""


class Layer(StrEnum):
    """Who does a step."""

    ORCHESTRATOR = "orchestrator"
    SWITCHES = "switches"  # all of them at once
    DEVICE = "device"  # one
    HOSTS = "hosts"


class Outcome(StrEnum):
    """How a step, or all of them together, ended."""

    DONE = "done"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"


class Task(StrEnum):
    """What the steps together are for."""

    SET_UP = "set_up"
    TAKE_DOWN = "take_down"


@dataclass(frozen=True)
class DeviceTimes:
    """Of one device's configuration: its kind, and the seconds inside it.

    ``connect_s`` until the controller layer had a session (nothing where it had one), ``device_s`` until the device had
    answered, and of that ``simulated_s`` by an explicit setting, because devices of its kind are slow.
    """

    kind: str
    simulated_s: float
    entries: int
    connect_s: float = 0.0
    device_s: float = 0.0


@dataclass(frozen=True)
class Step:
    """Times in seconds since the trace began. ``connection`` and ``device`` for a step of :attr:`Layer.DEVICE`."""

    name: str
    layer: Layer
    start_s: float
    end_s: float
    outcome: Outcome = Outcome.DONE
    error: str | None = None
    connection: str | None = None
    device: str | None = None
    times: DeviceTimes | None = None


@dataclass(frozen=True)
class ProvisioningTrace:
    """``total_s`` was measured by itself: it is the sum of the steps but for what lies between them."""

    id: str
    slice_name: str
    task: Task
    mode: ProvisioningMode
    began_at: float  # seconds since the epoch
    total_s: float
    outcome: Outcome
    error: str | None
    steps: tuple[Step, ...]

    @property
    def steps_s(self) -> float:
        return sum(step.end_s - step.start_s for step in self.steps)

    @property
    def simulated_s(self) -> float:
        return sum(step.times.simulated_s for step in self.steps if step.times is not None)
