"""The course: its exercises, begun, checked and reset on the network that is up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.automation.testbed import Testbed
from scripts.errors import DidNotHold, EnvironmentLacks, WrongRequest
from scripts.lab import eavesdropper, needs, protected, refused, reroute
from scripts.lab.exercise import Exercise, Finding
from scripts.measure.errors import ApiError, ApiRefusal, MeasurementError
from scripts.testbed.paths import Layout
from topologies.catalog import load

NETWORK = "metro-ring"
EXERCISES: Mapping[int, Exercise] = {
    each.number: each
    for each in (
        needs.EXERCISE, reroute.EXERCISE, eavesdropper.EXERCISE, refused.EXERCISE, protected.EXERCISE
    )
}  # fmt: skip
SLICES = tuple(f"lab{number}" for number in EXERCISES)


@dataclass(frozen=True)
class Result:
    """What a check has found."""

    exercise: int
    findings: tuple[Finding, ...]

    @property
    def is_solved(self) -> bool:
        return bool(self.findings) and all(finding.ok for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        checks = [{"name": f.what, "ok": f.ok, "detail": f.detail} for f in self.findings]
        return {"exercise": self.exercise, "ok": self.is_solved, "checks": checks}


def exercise(number: int) -> Exercise:
    """WrongRequest where there is none."""
    if number not in EXERCISES:
        raise WrongRequest(f"N: there is no exercise {number}; there are {', '.join(map(str, EXERCISES))}")
    return EXERCISES[number]


def answers_of(asked: Exercise, words: Sequence[str]) -> dict[str, str]:
    """The answers given as NAME=VALUE; WrongRequest where one is missing, unknown or given twice."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise WrongRequest(f"ANSWER: {word!r} is not of the form NAME=VALUE")
        if name not in asked.answers:
            known = ", ".join(asked.answers) or "none"
            raise WrongRequest(f"ANSWER: exercise {asked.number} takes no {name!r}; it takes: {known}")
        if name in found:
            raise WrongRequest(f"ANSWER: {name} is given twice")
        found[name] = value
    missing = [f"{name} ({about})" for name, about in asked.answers.items() if name not in found]
    if missing:
        raise WrongRequest(f"ANSWER: exercise {asked.number} also asks for {', '.join(missing)}, each as NAME=VALUE")
    return found


def network(layout: Layout | None = None) -> Testbed:
    """The network that is up. Raises EnvironmentLacks where it is none, or not the course's."""
    found = Testbed.running(layout)
    expected = load(NETWORK)
    if found.topology.name != NETWORK or found.topology.site_names != expected.site_names:
        raise EnvironmentLacks(
            f"the exercises are on the network {NETWORK}, and {found.topology.name} is up: "
            f"qslice down, then qslice up --topo {NETWORK} --detach"
        )
    return found


def start(number: int, layout: Layout | None = None) -> str:
    """Prepare an exercise and return its task; what an earlier attempt at it left is removed."""
    begun = exercise(number)
    testbed = network(layout)
    try:
        _delete(testbed, f"lab{number}")
        begun.prepare(testbed)
    except ApiError as error:
        raise DidNotHold(f"exercise {number} cannot begin: {error}; `qslice lab reset` clears the network") from error
    return begun.task


def check(number: int, words: Sequence[str], layout: Layout | None = None) -> Result:
    """Look at the solution of an exercise."""
    asked = exercise(number)
    answers = answers_of(asked, words)
    testbed = network(layout)
    try:
        return Result(number, tuple(asked.judge(testbed, answers)))
    except (MeasurementError, ApiError) as error:
        return Result(number, (Finding("the check came to its end", False, str(error)),))


def reset(layout: Layout | None = None) -> str:
    """Delete the course's slices, lift every fault, end every eavesdropping; what was done, in words."""
    testbed = network(layout)
    testbed.lift_all()
    eavesdropper.stop_all(testbed)
    try:
        deleted = [name for name in SLICES if _delete(testbed, name)]
    except ApiError as error:
        raise DidNotHold(f"not all of it: {error}") from error
    return f"faults lifted, nobody listens, {len(deleted)} slices deleted"


def _delete(testbed: Testbed, name: str) -> bool:
    try:
        testbed.delete(name)
    except ApiRefusal as error:
        if error.status == 404:
            return False
        raise
    return True
