"""What goes on in the background: sections make key.

The quantum sections' work runs in one thread, so that requests are answered meanwhile; its plan is made here, by
:func:`plan_slice`, a pure function. A section whose buffer is full is probed by one short round a second, which is what
notices an eavesdropper; at rest, while nobody does anything to its line, by one in ten, and where there are many by
fewer than one a second while its buffer is being filled.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum

from kms.background.waiting import wait_for
from kms.errors import KeyMakerError
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.pulse_budget import PulseBudget
from kms.sources.qkd.section import KeyMaker, Section, SectionState, SliceOfWork

_log = logging.getLogger(__name__)

PROBE_INTERVAL_S = 1.0
REST_INTERVAL_S = 10.0  # a line that is left alone is found as it was: a hundred sections cost next to nothing so
# Of one core, what topping up buffers that are not low may take.
GENTLE_SHARE = 0.02
CALM_S_PER_SECTION = 0.05
ROUNDS_PER_SLICE = 8
FAULT_REST_S = 5.0  # after an error in a section's own work
_URGENT_BELOW = 0.25  # of the buffer's capacity


class Urgency(IntEnum):
    """Why a section should run now; the lower, the sooner."""

    PROBE = 0
    URGENT = 1
    GENTLE = 2


@dataclass(frozen=True)
class PlannedSlice:
    urgency: Urgency
    rounds: int
    keep: bool


def plan_slice(
    state: SectionState, fill: float, idle_s: float, affordable_rounds: int, *, is_at_rest: bool = False,
    calm_s: float = PROBE_INTERVAL_S,
) -> PlannedSlice | None:  # fmt: skip
    """What a section should do now: ``fill`` of its buffer (0 to 1), seconds since it last ran, rounds it may run.

    ``is_at_rest`` says that its line has been judged as it is now, and that nobody is on it: it is probed every
    ``calm_s`` seconds then, while its buffer is not full.
    """
    if affordable_rounds < 1:
        return None
    can_wait = is_at_rest and state is SectionState.ACTIVE
    interval_s = PROBE_INTERVAL_S
    if can_wait:
        interval_s = REST_INTERVAL_S if fill >= 1 else calm_s
    is_due = idle_s >= interval_s
    if state is SectionState.STOPPED or fill >= 1:
        return PlannedSlice(Urgency.PROBE, 1, keep=False) if is_due else None
    # One is enough to judge a line, and all are waited for.
    rounds = 1 if state is SectionState.STARTING else min(affordable_rounds, ROUNDS_PER_SLICE)
    if fill < _URGENT_BELOW:
        return PlannedSlice(Urgency.PROBE if is_due else Urgency.URGENT, rounds, keep=True)
    if is_due:
        return PlannedSlice(Urgency.PROBE, 1, keep=not can_wait or calm_s <= PROBE_INTERVAL_S)
    return PlannedSlice(Urgency.GENTLE, rounds, keep=True)


@dataclass
class RunningSection:
    section: Section
    maker: KeyMaker
    budget: PulseBudget
    last_run: float = float("-inf")
    rests_until: float = float("-inf")
    started_at: float | None = None  # when its devices will have started again, if they are about it
    judged_under: Attack | None = None
    begun_rounds: int = 0
    """How many rounds there are of a block that is not finished."""

    def is_dark(self, now: float) -> bool:
        """Whether nothing can be measured at ``now``; a restart begins at the first look at it, and ends here."""
        if not self.section.is_restarting:
            self.started_at = None
        elif self.started_at is None:
            _log.info("QKD section %s starts again: %g s", self.section.section_id, self.section.restart_s)
            self.started_at = now + self.section.restart_s
        elif now >= self.started_at:
            self.section.started()
        if self.section.is_dark:
            self.budget.forfeit(now)
        return self.section.is_dark

    @property
    def is_at_rest(self) -> bool:
        return self.section.attack == NO_ATTACK == self.judged_under


class SectionRunner:
    """Runs the sections, the neediest first; every other time one whose key somebody waits for, if there is one."""

    def __init__(self, sections: Sequence[RunningSection], clock: Callable[[], float] = time.monotonic) -> None:
        self._sections = list(sections)
        self._clock = clock
        self._wake = asyncio.Event()
        self._gentle_from = float("-inf")
        self._calm_s = min(REST_INTERVAL_S, max(PROBE_INTERVAL_S, CALM_S_PER_SECTION * len(self._sections)))
        self._has_favoured = False
        for running in self._sections:
            running.section.on_taken = self._wake.set

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kms-qkd")
        try:
            while True:
                chosen = self._choose(self._clock())
                if chosen is None:
                    self._wake.clear()
                    await wait_for(self._wake, PROBE_INTERVAL_S / 10)
                    continue
                running, planned = chosen
                attack = running.section.attack
                try:
                    work = await loop.run_in_executor(thread, running.maker.work, planned.rounds, attack, planned.keep)
                except KeyMakerError as error:
                    _log.warning("QKD section %s is stopped: %s: %s",
                                 running.section.section_id, running.section.extension, error)  # fmt: skip
                    running.section.refuse(error.code)
                    running.rests_until = self._clock() + FAULT_REST_S
                    continue
                except Exception:  # noqa: BLE001 -- what ails one section is not to concern the others
                    _log.exception("QKD section %s could not be run: it is stopped", running.section.section_id)
                    running.section.fail()
                    running.rests_until = self._clock() + FAULT_REST_S
                    continue
                if work.verdicts:
                    running.judged_under = attack
                self._finish(running, planned, work)
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    def _choose(self, now: float) -> tuple[RunningSection, PlannedSlice] | None:
        best: tuple[tuple[bool, int, float, int], RunningSection, PlannedSlice] | None = None
        for running in self._sections:
            section, pulses = running.section, running.maker.round_pulses
            if running.is_dark(now) or running.rests_until > now:
                continue
            fill = len(section.buffer) / section.buffer.capacity_bytes
            affordable = running.budget.available(now) // pulses
            idle_s = now - running.last_run
            planned = plan_slice(
                section.state, fill, idle_s, affordable, is_at_rest=running.is_at_rest, calm_s=self._calm_s
            )
            if planned is None or (planned.urgency is Urgency.GENTLE and now < self._gentle_from):
                continue
            is_favoured = section.is_awaited and not self._has_favoured
            # What is begun is finished first, where nobody is in need: it takes megabytes, in each of many sections.
            need = fill if planned.urgency is not Urgency.GENTLE else 0.0
            rank = not is_favoured, planned.urgency, need, -running.begun_rounds
            if best is None or rank < best[0]:
                best = rank, running, planned
        if best is None:
            return None
        (is_usual, _, _, _), running, planned = best
        self._has_favoured = not is_usual
        running.budget.spend(planned.rounds * running.maker.round_pulses)
        running.last_run = now
        return running, planned

    def _finish(self, running: RunningSection, planned: PlannedSlice, work: SliceOfWork) -> None:
        section = running.section
        before = section.state
        section.absorb(work)
        if planned.keep:
            running.begun_rounds = 0 if work.blocks else running.begun_rounds + planned.rounds
        for block in work.blocks:
            if block.reason:
                _log.warning("QKD section %s: a block gave no key: %s", section.section_id, block.reason)
        if section.state is not before:
            level = logging.WARNING if section.state is SectionState.STOPPED else logging.INFO
            _log.log(
                level, "QKD section %s is %s, QBER %.4f%s", section.section_id, section.state.value, section.qber or 0,
                "" if section.stop_reason is None else f": {section.stop_reason.value}",
            )  # fmt: skip
        if planned.urgency is Urgency.GENTLE:
            now = self._clock()
            self._gentle_from = now + (now - running.last_run) * (1 / GENTLE_SHARE - 1)
