"""Permanent tasks: each is restarted with a pause whenever it ends, for whatever reason, until the KMS itself does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
# A task that ran for so long before it ended begins with the first pause again.
STEADY_S = 60.0

Work = Callable[[], Awaitable[None]]


@dataclass
class TaskReport:
    """How a permanent task is: ``restarts`` since the start; ``last_error`` names what ended it last, "" if nothing."""

    name: str
    is_running: bool = False
    restarts: int = 0
    last_error: str = ""


class Supervisor:
    """Starts permanent tasks and keeps them going. ``work`` is called anew for each restart."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self.reports: list[TaskReport] = []

    def start(self, name: str, work: Work) -> None:
        report = TaskReport(name)
        self.reports.append(report)
        self._tasks.append(asyncio.create_task(self._keep(report, work), name=name))

    async def close(self) -> None:
        """End all of them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, report: TaskReport, work: Work) -> None:
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            began = loop.time()
            report.is_running = True
            try:
                await work()
                report.last_error = "it returned"
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    report.is_running = False
                    raise
                report.last_error = "it was cancelled from inside"  # a future that it waited for was
                _log.error("%s ended, and is begun anew: %s", report.name, report.last_error)
            except Exception as error:  # noqa: BLE001 -- the kind of error that nobody has thought of is the point
                report.last_error = f"{type(error).__name__}: {error}"[:400]
                _log.exception("%s ended, and is begun anew", report.name)
            else:
                _log.error("%s ended, and is begun anew", report.name)
            report.is_running = False
            report.restarts += 1
            if loop.time() - began >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
