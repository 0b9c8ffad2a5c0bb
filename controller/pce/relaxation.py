"""What could be asked for instead: the ways to loosen a request, one knob per field, and the nearest that fits.

A knob turns in steps away from what was asked: 1 kbit/s, 1 us, 1 ms of rekeying interval, one level of security,
one hop. What fits at one step fits at every further one, so bisection with the path computation itself as the
judge finds the nearest value that fits: it is feasible, and one step less is not. (A lower level under an exact
match is the exception; its few steps are tried in order.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from controller.model.request import ConnectionSpec, Match, Protection
from topologies.spec import SecurityClass

# How far a relaxation may go.
MOST_LATENCY_US = 10_000_000
MOST_REKEY_MS = 86_400_000
MOST_HOPS = 255
REVERSE_BANDWIDTH = "reverse_bandwidth"  # the constraint, where it is another than the bandwidth

Value = str | int | float | tuple[str, ...]
Problem = TypeVar("Problem")


@dataclass(frozen=True)
class Relaxation:
    """One change of the request that makes it feasible: ``field`` set to ``value``.

    ``also`` lists the changes that are needed together with it; each is one of them.
    """

    field: str
    value: Value
    description: str
    also: tuple[Relaxation, ...] = ()


@dataclass(frozen=True)
class Knob(Generic[Problem]):
    """A field that can be loosened in ``steps`` steps; ``turn`` gives the problem after some of them."""

    constraint: str
    field: str
    asked: str
    steps: int
    turn: Callable[[Problem, int], Problem]
    value: Callable[[int], Value]
    is_ordered: bool = True  # what fits at one step fits at every further one

    def relaxation(self, step: int) -> Relaxation:
        value = self.value(step)
        words = (", ".join(value) or "none") if isinstance(value, tuple) else value
        return Relaxation(self.field, value, f"{self.field} {words} instead of {self.asked}")


def spec_knobs(spec: ConnectionSpec, prefix: str) -> list[Knob[ConnectionSpec]]:
    """Every way to loosen one connection's requirements; ``prefix`` leads the fields' names."""
    knobs = [
        *_amount_knobs(spec, prefix),
        *_security_knobs(spec, prefix),
        *_list_knobs(spec, prefix),
    ]
    if spec.protection.has_backup:
        knobs.append(
            Knob(
                "protection", f"{prefix}.protection", spec.protection.value, 1,
                lambda s, _: replace(s, protection=Protection.RESTORATION),
                lambda _: Protection.RESTORATION.value,
            )
        )  # fmt: skip
    return [knob for knob in knobs if knob.steps > 0]


def _amount_knobs(spec: ConnectionSpec, prefix: str) -> list[Knob[ConnectionSpec]]:
    kbps, latency_us, hops = spec.bandwidth_kbps, spec.latency_us, spec.max_hops
    reverse_kbps = spec.reverse_bandwidth_kbps
    knobs: list[Knob[ConnectionSpec]] = [
        Knob(
            "bandwidth", f"{prefix}.bandwidth_mbps", f"{kbps / 1000:g}", kbps - 1,
            lambda s, i: replace(s, bandwidth_kbps=kbps - i),
            lambda i: (kbps - i) / 1000,
        ),
        Knob(
            "latency", f"{prefix}.latency_ms", f"{latency_us / 1000:g}", MOST_LATENCY_US - latency_us,
            lambda s, i: replace(s, latency_us=latency_us + i),
            lambda i: (latency_us + i) / 1000,
        ),
    ]  # fmt: skip
    if reverse_kbps is not None:
        knobs.append(
            Knob(
                REVERSE_BANDWIDTH, f"{prefix}.reverse_bandwidth_mbps", f"{reverse_kbps / 1000:g}", reverse_kbps - 1,
                lambda s, i: replace(s, reverse_bandwidth_kbps=reverse_kbps - i),
                lambda i: (reverse_kbps - i) / 1000,
            )
        )  # fmt: skip
    if spec.takes_qkd_keys:
        whole_ms = int(spec.rekey_s * 1000)
        knobs.append(
            Knob(
                "key_rate", f"{prefix}.rekey_s", f"{spec.rekey_s:g}", MOST_REKEY_MS - whole_ms,
                lambda s, i: replace(s, rekey_s=(whole_ms + i) / 1000),
                lambda i: (whole_ms + i) / 1000,
            )
        )  # fmt: skip
    if hops is not None:
        knobs.append(
            Knob(
                "hops", f"{prefix}.max_hops", str(hops), MOST_HOPS - hops,
                lambda s, i: replace(s, max_hops=hops + i),
                lambda i: hops + i,
            )
        )  # fmt: skip
    return knobs


def _security_knobs(spec: ConnectionSpec, prefix: str) -> list[Knob[ConnectionSpec]]:
    below = [level for level in sorted(SecurityClass, reverse=True) if level < spec.security.level]
    is_exact = spec.security.match is Match.EXACT
    knobs: list[Knob[ConnectionSpec]] = [
        Knob(
            "security", f"{prefix}.security", spec.security.key_source, len(below),
            lambda s, i: replace(s, security=replace(s.security, sources=(below[i - 1],))),
            lambda i: below[i - 1].label,
            is_ordered=not is_exact,
        )
    ]  # fmt: skip
    if is_exact:
        knobs.append(
            Knob(
                "security", f"{prefix}.match", Match.EXACT.value, 1,
                lambda s, _: replace(s, security=replace(s.security, match=Match.AT_LEAST)),
                lambda _: Match.AT_LEAST.value,
            )
        )  # fmt: skip
    return knobs


def _list_knobs(spec: ConnectionSpec, prefix: str) -> list[Knob[ConnectionSpec]]:
    """The lists of required and excluded elements, each of which can be given up as a whole."""

    def knob(
        constraint: str, name: str, elements: tuple[str, ...], turn: Callable[[ConnectionSpec, int], ConnectionSpec]
    ) -> Knob[ConnectionSpec]:
        return Knob(constraint, f"{prefix}.{name}", ", ".join(elements), 1 if elements else 0, turn, lambda _: ())

    nothing: frozenset[str] = frozenset()
    return [
        knob("include", "include_sites", spec.include_sites, lambda s, _: replace(s, include_sites=())),
        knob("include", "include_channels", spec.include_channels, lambda s, _: replace(s, include_channels=())),
        knob(
            "exclude", "exclude_sites", tuple(sorted(spec.exclude_sites)),
            lambda s, _: replace(s, exclude_sites=nothing),
        ),
        knob(
            "exclude", "exclude_channels", tuple(sorted(spec.exclude_channels)),
            lambda s, _: replace(s, exclude_channels=nothing),
        ),
    ]  # fmt: skip


def nearest_step(knob: Knob[Problem], problem: Problem, fits: Callable[[Problem], bool]) -> int | None:
    """The fewest steps of ``knob`` at which the problem fits, which it does not as it stands; None if at no step."""
    if not knob.is_ordered:
        return next((step for step in range(1, knob.steps + 1) if fits(knob.turn(problem, step))), None)
    if not fits(knob.turn(problem, knob.steps)):
        return None
    too_few, enough = 0, knob.steps
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
    as far as the others' values allow, security before all others: it is lowered only where nothing else helps.
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
    before: list[int] = []
    security_first = sorted(range(len(knobs)), key=lambda position: knobs[position].constraint != "security")
    # Once is enough for ordered knobs; one that is not may make others needless when it is turned back.
    while steps != before:
        before = list(steps)
        for position in security_first:
            without = [*steps[:position], 0, *steps[position + 1 :]]
            if steps[position] and fits(remedy(without).apply(problem)):
                steps = without
        for position, knob in enumerate(knobs):
            if steps[position]:
                others = remedy([*steps[:position], 0, *steps[position + 1 :]])
                step = nearest_step(knob, others.apply(problem), fits)
                assert step is not None  # it fits at the step it has
                steps[position] = step
    return [remedy(steps)]
