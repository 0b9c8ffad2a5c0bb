"""The plan of the background work, and the runner that follows it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import numpy as np
import pytest

from kms.background.upkeep import (
    REST_INTERVAL_S,
    ROUNDS_PER_SLICE,
    PlannedSlice,
    RunningSection,
    SectionRunner,
    Urgency,
    plan_slice,
)
from kms.errors import SectionStoppedError
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.modes import StopReason
from kms.sources.qkd.pulse_budget import PulseBudget
from kms.sources.qkd.section import Distiller, KeyBuffer, Section, SectionState

ACTIVE, STOPPED, STARTING = SectionState.ACTIVE, SectionState.STOPPED, SectionState.STARTING
RESTARTING = SectionState.RESTARTING


@pytest.mark.parametrize(
    ("state", "fill", "idle_s", "affordable", "expected"),
    [
        (ACTIVE, 0.1, 0.1, 0, None),
        (ACTIVE, 0.1, 0.1, 100, PlannedSlice(Urgency.URGENT, ROUNDS_PER_SLICE, keep=True)),
        (ACTIVE, 0.1, 0.1, 3, PlannedSlice(Urgency.URGENT, 3, keep=True)),
        (ACTIVE, 0.7, 0.1, 100, PlannedSlice(Urgency.GENTLE, ROUNDS_PER_SLICE, keep=True)),
        (ACTIVE, 0.7, 1.5, 100, PlannedSlice(Urgency.PROBE, 1, keep=True)),
        (ACTIVE, 0.1, 1.5, 100, PlannedSlice(Urgency.PROBE, ROUNDS_PER_SLICE, keep=True)),
        (ACTIVE, 1.0, 0.1, 100, None),
        (ACTIVE, 1.0, 1.5, 100, PlannedSlice(Urgency.PROBE, 1, keep=False)),
        (STOPPED, 0.0, 0.1, 100, None),
        (STOPPED, 0.0, 1.5, 100, PlannedSlice(Urgency.PROBE, 1, keep=False)),
        (STARTING, 0.0, float("inf"), 100, PlannedSlice(Urgency.PROBE, 1, keep=True)),
        (STARTING, 0.0, 0.1, 100, PlannedSlice(Urgency.URGENT, 1, keep=True)),
    ],
)
def test_plan(state: SectionState, fill: float, idle_s: float, affordable: int, expected: PlannedSlice | None) -> None:
    assert plan_slice(state, fill, idle_s, affordable) == expected


@pytest.mark.parametrize(
    ("state", "fill", "idle_s", "is_probed"),
    [
        (ACTIVE, 1.0, 1.5, False),
        (ACTIVE, 1.0, REST_INTERVAL_S, True),
        (ACTIVE, 0.9, 1.5, True),
        (STOPPED, 1.0, 1.5, True),
        (STARTING, 1.0, 1.5, True),
    ],
)
def test_a_full_section_whose_line_is_left_alone_is_seldom_looked_at(
    state: SectionState, fill: float, idle_s: float, is_probed: bool
) -> None:
    assert (plan_slice(state, fill, idle_s, 100, is_at_rest=True) is not None) is is_probed


def test_of_many_sections_at_rest_none_is_probed_every_second_and_what_is_begun_is_finished() -> None:
    assert plan_slice(ACTIVE, 0.7, 1.5, 100, is_at_rest=True, calm_s=8.0) == PlannedSlice(
        Urgency.GENTLE, ROUNDS_PER_SLICE, keep=True
    )
    assert plan_slice(ACTIVE, 0.7, 8.5, 100, is_at_rest=True, calm_s=8.0) == PlannedSlice(Urgency.PROBE, 1, keep=False)
    assert plan_slice(ACTIVE, 0.7, 1.5, 100, calm_s=8.0) == PlannedSlice(Urgency.PROBE, 1, keep=True)


@pytest.mark.parametrize(
    ("attack", "judged_under", "is_at_rest"),
    [
        (NO_ATTACK, None, False),
        (NO_ATTACK, NO_ATTACK, True),
        (Attack(fraction=0.1), NO_ATTACK, False),
        (Attack(fraction=0.1), Attack(fraction=0.1), False),  # one judgement may miss who takes a few photons
        (NO_ATTACK, Attack(fraction=0.1), False),
    ],
)
def test_a_line_is_at_rest_when_it_has_been_judged_with_nobody_on_it(
    attack: Attack, judged_under: Attack | None, is_at_rest: bool
) -> None:
    one = running(1e6, 60.0)
    one.section.attack, one.judged_under = attack, judged_under
    assert one.is_at_rest is is_at_rest


class SimulatedTime:
    """Passes whenever it is looked at."""

    def __init__(self, step_s: float) -> None:
        self.now = 0.0
        self._step_s = step_s

    def __call__(self) -> float:
        self.now += self._step_s
        return self.now


def running(rate_hz: float, prefill_s: float) -> RunningSection:
    channel = ChannelParameters(length_km=5.0, pulse_rate_hz=rate_hz)
    section = Section("s", "a", "b", channel, KeyBuffer(1 << 12))
    maker = Distiller(channel, os.urandom, np.random.default_rng(4))
    return RunningSection(section, maker, PulseBudget(rate_hz, prefill_s, 0.0))


async def until(predicate: object, runner: SectionRunner) -> None:
    task = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(20):
            while not predicate():  # type: ignore[operator]
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_sections_are_filled_then_only_probed_and_an_eavesdropper_is_noticed_while_idle() -> None:
    each = [running(1e6, 60.0), running(1e6, 60.0)]

    async def play() -> None:
        runner = SectionRunner(each, SimulatedTime(step_s=0.3))
        await until(lambda: all(len(r.section.buffer) == r.section.buffer.capacity_bytes for r in each), runner)
        each[0].section.attack = Attack(fraction=1.0)
        await until(lambda: each[0].section.state is STOPPED, runner)
        assert each[1].section.state is ACTIVE
        each[0].section.attack = NO_ATTACK
        await until(lambda: each[0].section.state is ACTIVE, runner)

    asyncio.run(play())
    for r in each:
        alice, bob = r.section.take(len(r.section.buffer))
        assert alice == bob


def _cut(section: Section) -> None:
    section.cut()
    section.mend()


def _failed(section: Section) -> None:
    section.fail()


def _left_by_eve(section: Section) -> None:
    section.fail(StopReason.TOO_MANY_ERRORS)  # and nobody is on the line any more


@pytest.mark.parametrize("trouble", [_cut, _failed, _left_by_eve])
def test_a_section_makes_no_key_while_its_devices_start_again(trouble: Callable[[Section], None]) -> None:
    one = running(1e6, 60.0)
    one.section.restart_s = 10.0
    time = SimulatedTime(step_s=1.0)
    seen: dict[SectionState, list[float]] = {}

    def is_back() -> bool:
        if one.section.state is ACTIVE and RESTARTING not in seen:
            return False
        seen.setdefault(one.section.state, []).append(time.now)
        return one.section.state is ACTIVE

    async def play() -> None:
        runner = SectionRunner([one], time)
        await until(lambda: len(one.section.buffer) == one.section.buffer.capacity_bytes, runner)
        trouble(one.section)
        with pytest.raises(SectionStoppedError):
            one.section.take(1)
        await until(is_back, runner)

    asyncio.run(play())
    assert max(seen[RESTARTING]) >= min(seen[RESTARTING]) + 8.0  # looked at a step late at either end
    assert seen[ACTIVE][0] >= min(seen[RESTARTING]) + 9.0
    assert one.section.stop_reason is None


def test_the_laser_earns_nothing_while_a_section_is_dark() -> None:
    one = running(1e6, 0.0)
    one.section.restart_s = 50.0
    one.section.cut()
    assert one.is_dark(40.0)
    one.section.mend()
    assert one.is_dark(41.0)
    assert "starting again" in str(one.section.stop_reason and one.section.stop_reason.value)
    assert one.is_dark(90.9)
    assert not one.is_dark(91.1)
    assert one.budget.available(91.1) == pytest.approx(0.2 * 1e6, abs=2)


def test_a_section_cut_while_it_restarts_begins_its_restart_anew() -> None:
    one = running(1e6, 0.0)
    one.section.restart_s = 50.0
    _cut(one.section)
    assert one.is_dark(0.0)
    one.section.cut()
    assert one.is_dark(49.0)
    one.section.mend()
    assert one.is_dark(49.1)
    assert one.is_dark(99.0)
    assert not one.is_dark(99.2)


def test_a_section_that_restarts_at_once_is_judged_at_once() -> None:
    one = running(1e6, 0.0)
    _cut(one.section)
    assert one.section.state is STARTING
    assert not one.is_dark(0.0)


def test_a_section_whose_key_is_awaited_comes_first_and_the_others_go_on() -> None:
    each = [running(1e6, 60.0) for _ in range(8)]
    *others, awaited = each

    async def play() -> None:
        runner = SectionRunner(each, SimulatedTime(step_s=0.001))
        await until(lambda: all(r.section.state is ACTIVE for r in each), runner)
        awaited.section.ask_for_key()
        await until(lambda: len(awaited.section.buffer) > 0, runner)

    asyncio.run(play())
    assert not awaited.section.is_awaited
    assert sum(len(r.section.buffer) > 0 for r in others) <= 2  # in turns with it, and of those the neediest


def test_no_section_outruns_its_laser() -> None:
    slow = running(50_000.0, prefill_s=1.0)
    time = SimulatedTime(step_s=0.4)
    sent = 0
    work = slow.maker.work

    def counting(rounds: int, attack: Attack, keep: bool) -> object:
        nonlocal sent
        sent += rounds * slow.maker.round_pulses
        return work(rounds, attack, keep)

    slow.maker.work = counting  # type: ignore[method-assign, assignment]

    async def play() -> None:
        await until(lambda: time.now > 5.0, SectionRunner([slow], time))

    asyncio.run(play())
    assert 0 < sent <= 50_000.0 * (1.0 + time.now)


@pytest.mark.parametrize("turns", range(5))
def test_an_end_that_comes_together_with_work_is_not_forgotten(turns: int) -> None:
    async def play() -> bool:
        idle = running(1e9, 0.0)
        idle.section.is_cut = True
        task = asyncio.create_task(SectionRunner([idle], SimulatedTime(0.0)).run())
        await asyncio.sleep(0.01)  # it waits for work
        assert idle.section.on_taken is not None
        idle.section.on_taken()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        ended, _ = await asyncio.wait({task}, timeout=1)
        task.cancel()
        return ended == {task}

    assert asyncio.run(play())
