"""Work that must go on: begun anew with a pause whenever it ends, whatever it ends with, until the process does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
# Work that went on for so long before it ended begins with the first pause again.
STEADY_S = 60.0
_ENDING: tuple[type[BaseException], ...] = (SystemExit, KeyboardInterrupt, GeneratorExit)


@dataclass(frozen=True)
class TaskReport:
    """How a task is: ``restarts`` since the start; ``last_error`` is the kind of what ended it last, "" if nothing.

    The log has the rest: these reports are for anybody who asks.
    """

    task: str
    is_running: bool = False
    restarts: int = 0
    last_error: str = ""


class Supervisor:
    """Carries work out on the threads of its callers. ``ending`` are further errors that end a thread on purpose."""

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        steady: Callable[[], float] = time.monotonic,
        ending: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._sleep = sleep
        self._steady = steady
        self._ending: tuple[type[BaseException], ...] = _ENDING + ending
        self._reports: dict[str, TaskReport] = {}

    @property
    def reports(self) -> tuple[TaskReport, ...]:
        """Of all permanent tasks, and of passing ones that are failing or have failed."""
        return tuple(self._reports.values())

    def keep(self, task: str, work: Callable[[], object]) -> None:
        """Carry ``work`` out for ever: it is permanent, and begun anew even when it returns."""
        self._reports[task] = TaskReport(task, is_running=True)
        pause_s = FIRST_PAUSE_S
        while True:
            began = self._steady()
            if self._is_done(task, work):
                self._note(task, "it returned")
                log.error("%s ended, and is begun anew", task)
            pause_s = self._pause(began, pause_s)

    def until_done(self, task: str, work: Callable[[], object], again: Callable[[], object] | None = None) -> None:
        """Carry ``work`` out; as long as that fails, it or ``again`` anew."""
        pause_s = FIRST_PAUSE_S
        began = self._steady()
        while not self._is_done(task, work):
            pause_s = self._pause(began, pause_s)
            began, work = self._steady(), again or work
        if task in self._reports:
            report = self._reports[task]
            self._reports[task] = TaskReport(task, False, report.restarts, report.last_error)

    def _is_done(self, task: str, work: Callable[[], object]) -> bool:
        try:
            work()
        # What nobody has thought of is the point; eventlet's Timeout is not an Exception.
        except BaseException as error:
            if isinstance(error, self._ending):
                raise
            self._note(task, type(error).__name__)
            log.exception("%s failed, and is begun anew", task)
            return False
        return True

    def _note(self, task: str, error: str) -> None:
        restarts = self._reports[task].restarts if task in self._reports else 0
        self._reports[task] = TaskReport(task, True, restarts + 1, error)

    def _pause(self, began: float, pause_s: float) -> float:
        """Wait; how long to wait the next time."""
        if self._steady() - began >= STEADY_S:
            pause_s = FIRST_PAUSE_S
        self._sleep(pause_s)
        return min(2 * pause_s, LONGEST_PAUSE_S)
