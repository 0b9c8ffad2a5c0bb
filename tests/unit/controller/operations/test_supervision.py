"""Work that must go on goes on, whatever it ends with, and says so."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest

from controller.model.errors import DriverError
from controller.operations.concurrency import Call, Parallel
from controller.operations.supervision import LONGEST_PAUSE_S, Supervisor, TaskReport
from scripts.testbed.paths import REPOSITORY


class Over(BaseException):
    """Ends the thread on purpose."""


class Silence(BaseException):
    """As eventlet's Timeout: no Exception, and no reason to end."""


ERRORS: tuple[BaseException, ...] = (
    ValueError("odd"), OverflowError(), RecursionError(), KeyError("id"), OSError(24, "too many open files"),
    MemoryError(), AssertionError(), DriverError("silent"), Silence(),
)  # fmt: skip


def steps(outcomes: list[BaseException | None]) -> Callable[[], None]:
    """Work that ends with each of ``outcomes``, None for returning, and then on purpose."""
    left: Iterator[BaseException | None] = iter([*outcomes, Over()])

    def work() -> None:
        outcome = next(left)
        if outcome is not None:
            raise outcome

    return work


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_fault_09_a_permanent_task_is_begun_anew_whatever_it_ends_with(error: BaseException) -> None:
    slept: list[float] = []
    supervisor = Supervisor(slept.append, lambda: 0.0, (Over,))
    with pytest.raises(Over):
        supervisor.keep("task", steps([error, None, error]))
    assert supervisor.reports == (TaskReport("task", True, 3, type(error).__name__),)
    assert slept == sorted(slept)
    assert len(slept) == 3
    assert slept[0] > 0


def test_fault_09_pauses_grow_up_to_a_limit_and_begin_anew_after_a_steady_while() -> None:
    slept: list[float] = []
    now = [0.0]
    supervisor = Supervisor(slept.append, lambda: now[0], (Over,))
    with pytest.raises(Over):
        supervisor.keep("task", steps([ValueError()] * 12))
    assert max(slept) == LONGEST_PAUSE_S
    work = steps([ValueError()] * 9)

    def long() -> None:
        now[0] += 100.0
        work()

    slept.clear()
    with pytest.raises(Over):
        supervisor.keep("task", long)
    assert set(slept) == {min(slept)}


def test_fault_09_what_must_be_done_once_is_tried_until_it_is_and_its_failures_are_seen() -> None:
    supervisor = Supervisor(lambda s: None, lambda: 0.0)
    done: list[str] = []

    def first() -> None:
        done.append("first")
        raise ValueError

    fails = [KeyError(), KeyError()]

    def again() -> None:
        done.append("again")
        if fails:
            raise fails.pop()

    supervisor.until_done("news", first, again)
    assert done == ["first", "again", "again", "again"]
    assert supervisor.reports == (TaskReport("news", False, 3, "KeyError"),)
    supervisor.until_done("others", lambda: None)
    assert len(supervisor.reports) == 1


def test_fault_09_a_call_that_fails_in_a_way_nobody_thought_of_has_failed() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    calls = Parallel([Call(broken), Call(lambda: None)])
    with pytest.raises(DriverError, match="ZeroDivisionError"):
        calls.join(5.0)


# What a green thread may begin with: the supervisor, or work whose end harms nothing but itself.
SUPERVISED = {"keep", "until_done"}
PASSING = {"_attempt", "_deal_with_news", "_greet", "_end", "function"}


def test_fault_09_every_green_thread_of_the_controller_is_supervised_or_passing() -> None:
    """New permanent work cannot be begun beside the supervisor unnoticed."""
    begun: set[str] = set()
    for path in (REPOSITORY / "controller").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                at = {"spawn": 0, "spawn_n": 0, "spawn_after": 1}.get(node.func.attr)
                if at is not None:
                    begun.add(ast.unparse(node.args[at]).rpartition(".")[2])
    assert begun <= SUPERVISED | PASSING
    assert "keep" in begun
