"""From a timeline to single actions with resolved targets. Pure: the random choices come from the seed alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scripts.errors import DidNotHold
from scripts.experiments.scripted.scenario import Scenario
from scripts.experiments.scripted.steps import (
    FLAP,
    LIFT_ALL,
    Around,
    Aside,
    Between,
    OnPath,
    Step,
    channels_around,
    channels_between,
)
from scripts.testbed.faults import HEALTHY, FaultKind
from topologies.links import Direction, Impairment

Paths = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Action:
    """One command at one time; ``choose``, if there is one, finds the target from the paths of that moment."""

    at_s: float
    do: str
    targets: tuple[str, ...]
    direction: Direction | None = None
    fraction: float = 1.0
    choose: Callable[[Paths], str] | None = None
    impairment: Impairment = HEALTHY
    aside: Aside | None = None
    is_part: bool = False
    """An extension's."""

    @property
    def is_fault(self) -> bool:
        return self.do in {kind.value for kind in FaultKind} or self.is_part

    def resolve(self, paths: Paths) -> tuple[str, ...]:
        return self.targets if self.choose is None else (self.choose(paths),)


def schedule(scenario: Scenario, paths: Paths, seed: int, repetition: int) -> tuple[Action, ...]:
    """All actions in the order of their times. ``paths`` are the connections' at the start of the repetition."""
    actions: list[Action] = []
    for step in scenario.file.timeline:
        if not isinstance(step, Step):
            actions.append(Action(step.at_s, step.do, (step.target,), aside=step))
            continue
        direction = Direction(step.direction) if step.direction else None
        how = Impairment(step.loss_pct, step.delay_ms, step.jitter_ms)
        targets, choose = _targets(scenario, step, paths, f"{seed}/{repetition}")
        if step.do == FLAP:
            for n in range(step.times):
                down = step.at_s + n * step.period_s
                actions.append(Action(down, FaultKind.CUT.value, targets, choose=choose))
                actions.append(Action(down + step.period_s / 2, "link up", targets, choose=choose))
        else:
            is_part = step.do in scenario.parts.faults
            actions.append(Action(step.at_s, step.do, targets, direction, step.fraction, choose, how, is_part=is_part))
    return tuple(sorted(actions, key=lambda a: a.at_s))


def _targets(
    scenario: Scenario, step: Step, paths: Paths, seed: str
) -> tuple[tuple[str, ...], Callable[[Paths], str] | None]:
    target = step.target
    if step.do == LIFT_ALL or target is None:
        return (), None
    if isinstance(target, str):
        return (target,), None
    if isinstance(target, Between):
        return channels_between(scenario.topology, target), None
    if isinstance(target, Around):
        return channels_around(scenario.topology, target), None
    if target.when == "start":
        return (_hop(target, paths, seed),), None
    return (), lambda now: _hop(target, now, seed)


def _hop(target: OnPath, paths: Paths, seed: str) -> str:
    path = paths.get(target.path_of) or ()
    if not path:
        raise DidNotHold(f"{target.path_of} has no path to break")
    if target.hop == "random":
        # The same hop for the fault and for its lifting, whatever else has been drawn.
        return random.Random(f"{seed}/{target.path_of}").choice(list(path))  # noqa: S311 - an experiment, not a secret
    return path[min(target.hop, len(path) - 1)]
