"""What could be asked for instead: the ways to loosen a request, one knob per field, and the nearest that fits.

A knob turns in steps away from what was asked, and what fits at one step fits at every further one. So the
nearest value that fits is found by bisection with the path computation itself as the judge, and it is both
feasible and minimal of its kind: one step less is not feasible. Steps are 1 kbit/s, 1 us, 1 ms of rekeying
interval, one level of security, one hop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from controller.model import ConnectionSpec, Match, Protection, SecurityRequirement
from topologies.spec import SecurityClass

MOST_LATENCY_US = 10_000_000
MOST_REKEY_MS = 86_400_000  # a day
MOST_HOPS = 1_000_000
Value = str | int | float
Problem = TypeVar("Problem")


@dataclass(frozen=True)
class Relaxation:
    """One change of the request that makes it feasible; ``also`` lists the further changes it needs with it."""

    field: str
    value: Value
    description: str
    also: tuple[Relaxation, ...] = ()


@dataclass(frozen=True)
class Knob(Generic[Problem]):
    """A field that can be loosened in ``steps`` steps; ``turn`` gives the problem after some of them."""

    constraint: str
    field: str
    steps: int
    turn: Callable[[Problem, int], Problem]
    value: Callable[[int], Value]
    asked: str

    def relaxation(self, step: int) -> Relaxation:
        value = self.value(step)
        return Relaxation(self.field, value, f"{self.field} {value} instead of {self.asked}")


def spec_knobs(spec: ConnectionSpec, prefix: str) -> list[Knob[ConnectionSpec]]:
    """Every way to loosen one connection's requirements; ``prefix`` leads the fields' names."""
    knobs: list[Knob[ConnectionSpec]] = [
        Knob(
            "bandwidth",
            f"{prefix}.bandwidth_mbps",
            max(0, spec.bandwidth_kbps - 1),
            lambda s, i: replace(s, bandwidth_kbps=spec.bandwidth_kbps - i),
            lambda i: (spec.bandwidth_kbps - i) / 1000,
            f"{spec.bandwidth_kbps / 1000:g}",
        ),
        Knob(
            "latency",
            f"{prefix}.latency_ms",
            max(0, MOST_LATENCY_US - spec.latency_us),
            lambda s, i: replace(s, latency_us=spec.latency_us + i),
            lambda i: (spec.latency_us + i) / 1000,
            f"{spec.latency_us / 1000:g}",
        ),
    ]
    if SecurityClass.QKD in spec.security.sources:
        # The next whole millisecond up, then one more per step.
        asked_ms = int(spec.rekey_s * 1000)
        knobs.append(
            Knob(
                "key_rate",
                f"{prefix}.rekey_s",
                max(0, MOST_REKEY_MS - asked_ms),
                lambda s, i: replace(s, rekey_s=(asked_ms + i) / 1000),
                lambda i: (asked_ms + i) / 1000,
                f"{spec.rekey_s:g}",
            )
        )
    levels = lesser_requirements(spec.security)
    knobs.append(
        Knob(
            "security",
            f"{prefix}.security",
            len(levels),
            lambda s, i: replace(s, security=levels[i - 1]),
            lambda i: describe_security(levels[i - 1]),
            describe_security(spec.security),
        )
    )
    if spec.max_hops is not None:
        asked_hops = spec.max_hops
        knobs.append(
            Knob(
                "hops",
                f"{prefix}.max_hops",
                MOST_HOPS,
                lambda s, i: replace(s, max_hops=asked_hops + i),
                lambda i: asked_hops + i,
                str(asked_hops),
            )
        )
    if spec.include_sites or spec.include_channels:
        included = ", ".join((*spec.include_sites, *spec.include_channels))
        knobs.append(
            Knob(
                "include",
                f"{prefix}.include",
                1,
                lambda s, _: replace(s, include_sites=(), include_channels=()),
                lambda _: "none",
                included,
            )
        )
    if spec.exclude_sites or spec.exclude_channels:
        excluded = ", ".join((*sorted(spec.exclude_sites), *sorted(spec.exclude_channels)))
        knobs.append(
            Knob(
                "exclude",
                f"{prefix}.exclude",
                1,
                lambda s, _: replace(s, exclude_sites=frozenset(), exclude_channels=frozenset()),
                lambda _: "none",
                excluded,
            )
        )
    if spec.protection.has_backup:
        knobs.append(
            Knob(
                "protection",
                f"{prefix}.protection",
                1,
                lambda s, _: replace(s, protection=Protection.RESTORATION),
                lambda _: Protection.RESTORATION.value,
                spec.protection.value,
            )
        )
    return [knob for knob in knobs if knob.steps > 0]


def lesser_requirements(security: SecurityRequirement) -> list[SecurityRequirement]:
    """Looser requirements from the nearest on: the same level or better, then every lower level or better."""
    looser = [replace(security, match=Match.AT_LEAST)] if security.match is Match.EXACT else []
    below = [level for level in sorted(SecurityClass, reverse=True) if level < security.level]
    return looser + [SecurityRequirement((level,)) for level in below]


def describe_security(security: SecurityRequirement) -> str:
    """``qkd``, ``qkd+qra``; an exact match says so."""
    return f"{security.key_source} (exact)" if security.match is Match.EXACT else security.key_source


def nearest_step(knob: Knob[Problem], problem: Problem, fits: Callable[[Problem], bool]) -> int | None:
    """The fewest steps of ``knob`` at which the problem fits; None when it fits at no step."""
    if not fits(knob.turn(problem, knob.steps)):
        return None
    too_few, enough = 0, knob.steps  # the problem as it stands does not fit
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if fits(knob.turn(problem, middle)):
            enough = middle
        else:
            too_few = middle
    return enough


@dataclass(frozen=True)
class Remedy(Generic[Problem]):
    """Knobs and how far each is turned, such that the request fits."""

    turns: tuple[tuple[Knob[Problem], int], ...]

    def apply(self, problem: Problem) -> Problem:
        for knob, step in self.turns:
            problem = knob.turn(problem, step)
        return problem

    @property
    def relaxation(self) -> Relaxation:
        first, *others = (knob.relaxation(step) for knob, step in self.turns)
        return replace(first, also=tuple(others))


def remedies(problem: Problem, knobs: list[Knob[Problem]], fits: Callable[[Problem], bool]) -> list[Remedy[Problem]]:
    """The nearest turn of each knob that suffices by itself; where none does, one remedy of several knobs.

    Several: those that cannot be left as they are even when all others are turned fully, each then turned back
    as far as the others' values allow, in order.
    """
    steps = [(knob, nearest_step(knob, problem, fits)) for knob in knobs]
    single = [Remedy(((knob, step),)) for knob, step in steps if step is not None]
    return single or _combined(problem, knobs, fits)


def _combined(problem: Problem, knobs: list[Knob[Problem]], fits: Callable[[Problem], bool]) -> list[Remedy[Problem]]:
    def remedy(steps: list[int]) -> Remedy[Problem]:
        return Remedy(tuple((knob, step) for knob, step in zip(knobs, steps, strict=True) if step))

    steps = [knob.steps for knob in knobs]
    if not fits(remedy(steps).apply(problem)):
        return []
    for position in range(len(knobs)):
        without = [*steps[:position], 0, *steps[position + 1 :]]
        if fits(remedy(without).apply(problem)):
            steps = without
    for position, knob in enumerate(knobs):
        if steps[position]:
            others = remedy([*steps[:position], 0, *steps[position + 1 :]])
            step = nearest_step(knob, others.apply(problem), fits)
            assert step is not None  # it fits at the step it has
            steps[position] = step
    return [remedy(steps)]
