"""Parts of scenarios: some that do what they must, some that do not."""

from __future__ import annotations

import math

from scripts.extensions.api import (
    EXTENSION_API,
    ConnectionLook,
    Effects,
    Execute,
    FaultAction,
    Impair,
    Inject,
    Lift,
    Mend,
    NetworkView,
    ProbeSample,
    Say,
    StepAction,
    TimelineEvent,
)


class TwoCuts:
    """Cuts a channel by the builtin fault: what is put together of those needs no netem."""

    name = "two-cuts"
    version = "0.1"
    api = EXTENSION_API
    inverse = "two-cuts end"
    element = "channel"

    def effects(self, net: NetworkView, target: str) -> Effects:
        return Effects(dead=(target,))

    def apply(self, net: NetworkView, target: str) -> tuple[FaultAction, ...]:
        return (Inject("link down", target),)

    def lift(self, net: NetworkView, target: str) -> tuple[FaultAction, ...]:
        return (Lift("link up", target),)


class LeavesSomething(TwoCuts):
    """Does not undo all that it has done."""

    name = "leaves-something"

    def apply(self, net: NetworkView, target: str) -> tuple[FaultAction, ...]:
        return (Inject("link down", target), Impair(target, loss_pct=5.0))


class DoesNothing(TwoCuts):
    """Is no fault."""

    name = "does-nothing"

    def apply(self, net: NetworkView, target: str) -> tuple[FaultAction, ...]:
        return (Mend(target),)


class TakesOurName(TwoCuts):
    """Would be lifted by a builtin command."""

    name = "takes-our-name"
    inverse = "link up"


class Loses200(TwoCuts):
    """Loses more than all."""

    name = "loses-200"

    def apply(self, net: NetworkView, target: str) -> tuple[FaultAction, ...]:
        return (Impair(target, loss_pct=200.0),)


class Looks:
    """A step that says how everything stands."""

    name = "looks"
    version = "0.1"
    api = EXTENSION_API

    def run(self, net: NetworkView, connections: tuple[ConnectionLook, ...], target: str) -> tuple[StepAction, ...]:
        said = ", ".join(f"{c.id} {c.state}" for c in connections) or "nobody"
        return (Say(f"at {target or 'nowhere'}: {said}"), Execute(net.sites[0].name, ("true",)))


class Elsewhere(Looks):
    """Runs something in a host that there is not."""

    name = "elsewhere"

    def run(self, net: NetworkView, connections: tuple[ConnectionLook, ...], target: str) -> tuple[StepAction, ...]:
        return (Execute("atlantis", ("true",)),)


class NotANumber:
    """A figure that is none."""

    name = "not-a-number"
    version = "0.1"
    api = EXTENSION_API
    unit = "ms"

    def measure(self, samples: tuple[ProbeSample, ...], events: tuple[TimelineEvent, ...]) -> float:
        return math.nan


class Moody:
    """Another figure each time."""

    name = "moody"
    version = "0.1"
    api = EXTENSION_API
    unit = "moods"

    def __init__(self) -> None:
        self._asked = 0.0

    def measure(self, samples: tuple[ProbeSample, ...], events: tuple[TimelineEvent, ...]) -> float:
        self._asked += 1
        return self._asked
