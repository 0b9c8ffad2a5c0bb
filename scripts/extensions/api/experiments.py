"""What faults, steps and metrics of experiments are given, and what they have done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Impair:
    """Lose, delay and scatter packets on a channel, in the direction ``a-b``, ``b-a`` or both (None)."""

    channel: str
    direction: str | None = None
    loss_pct: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0


@dataclass(frozen=True)
class Mend:
    """Undo every :class:`Impair` on a channel."""

    channel: str


@dataclass(frozen=True)
class Inject:
    """Do one of the built-in faults, as a scenario's ``do``."""

    do: str
    target: str


@dataclass(frozen=True)
class Lift:
    """Undo a built-in fault by its inverse, as a scenario's ``do``."""

    do: str
    target: str


@dataclass(frozen=True)
class Execute:
    """Run a command in the host at a site; it may take 10 s, and must end with status 0."""

    site: str
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Say:
    """Note a sentence among the findings."""

    text: str


FaultAction = Impair | Mend | Inject | Lift
StepAction = Impair | Mend | Inject | Lift | Execute | Say


@dataclass(frozen=True)
class Effects:
    """What a fault does to the network: channels that carry nothing any more, and those that carry worse."""

    dead: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConnectionLook:
    """How a connection stands at the moment of a step."""

    id: str
    state: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class ProbeSample:
    """One probe of one connection: when it left, seconds from the start, and its round trip; None: it was lost."""

    connection: str
    probe: str
    at_s: float
    took_ms: float | None


@dataclass(frozen=True)
class TimelineEvent:
    """What the timeline did, and when it was done, seconds from the start."""

    at_s: float
    do: str
    target: str
    is_fault: bool
