"""An exercise and what a check finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scripts.automation.testbed import Testbed

Answers = Mapping[str, str]


@dataclass(frozen=True)
class Finding:
    """One thing that a check looked at: ``detail`` says what was seen, and for a wrong solution what to look at."""

    what: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Exercise:
    """``prepare`` brings the network into the state that the task begins with, ``judge`` looks at the solution."""

    number: int
    title: str
    task: str
    answers: Mapping[str, str]
    """What is told to ``check``, by name, each with what it is."""
    prepare: Callable[[Testbed], None]
    judge: Callable[[Testbed, Answers], list[Finding]]


def nothing_to_prepare(testbed: Testbed) -> None:
    """The task begins with the network as it is."""
