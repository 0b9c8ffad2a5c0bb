"""One experiment on a running network: repetitions of a timeline of faults under traffic, measured and kept."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from scripts.console.progress import Progress
from scripts.errors import CommandError
from scripts.experiments.observe import Look, Observer, key_changes, look_around, silent_spells
from scripts.experiments.report.page import draw_pictures, render, users_of
from scripts.experiments.report.results import Event, ExperimentResult, Picture, ProbeResult, Repetition, write_results
from scripts.experiments.report.statistics import Sample, phases
from scripts.experiments.scripted.asides import Asides
from scripts.experiments.scripted.parts import Parts
from scripts.experiments.scripted.scenario import Scenario
from scripts.experiments.scripted.schedule import Action, Paths, schedule
from scripts.experiments.scripted.steps import LIFT_ALL, Aside, Change
from scripts.experiments.traffic import Series, TrafficRun, all_answer
from scripts.extensions.api import ConnectionLook, ProbeSample, TimelineEvent
from scripts.measure.connection import Connection
from scripts.measure.errors import DemoError
from scripts.measure.probes.probers import Probers
from scripts.measure.slices import create_patiently, delete_slice
from scripts.report.provenance import Provenance
from scripts.testbed.faults import Fault, FaultKind, Faults, surviving_channels
from scripts.testbed.interrupts import deferred
from scripts.testbed.running_system import RunningSystem

log = logging.getLogger(__name__)

RECOVERY_TIMEOUT_S = 25.0
LEAST_SILENCE_S = 1.0  # ACTIVE without a packet for longer than this is worth a word
OVERHEAD_S = 5.0  # of a repetition: making and deleting the slices, recovering
TICK_S = 0.05


@dataclass(frozen=True)
class RunSettings:
    """What the command line may change of a scenario."""

    seed: int
    repetitions: int
    provenance: Provenance
    time_scale: float = 1.0  # of all times in the timeline; tests shorten


@dataclass(frozen=True)
class Arm:
    """One of several that are compared; ``begin`` makes its turn."""

    name: str
    begin: Callable[[], None]


def turns(arms: Sequence[Arm], rounds: int) -> Iterator[tuple[int, Arm | None]]:
    """Whose turn it is in each round; every other round the other way round, so that what drifts hits all alike."""
    for number in range(1, rounds + 1):
        for arm in (arms if number % 2 else arms[::-1]) or (None,):
            yield number, arm


def run_experiment(
    system: RunningSystem,
    scenario: Scenario,
    settings: RunSettings,
    folder: Path,
    progress: Progress,
    arms: Sequence[Arm] = (),
    parts: Parts | None = None,
) -> ExperimentResult:
    """All repetitions, of every arm. What there is is written after each, and when Ctrl-C ends it.

    Ctrl-C then goes on.
    """
    file = scenario.file
    duration_s = file.duration_s * settings.time_scale
    result = ExperimentResult(
        file.name,
        file.title,
        file.look_for,
        settings.seed,
        settings.repetitions,
        scenario.topology,
        duration_s,
        settings.provenance,
    )
    with Probers(system, system.topology.site_names) as probers:
        result.arms, result.units = [arm.name for arm in arms], {} if parts is None else parts.units
        total, present = settings.repetitions * max(1, len(arms)), None
        for number, (round_, arm) in enumerate(turns(arms, settings.repetitions), start=1):
            progress.expect((total - number + 1) * (duration_s + OVERHEAD_S))
            if arm is not None and arm is not present:
                progress.say(f"{number}/{total} {arm.name}")
                arm.begin()
                present = arm
            repetition = Repetition(number, arm="" if arm is None else arm.name, round=round_)
            result.results.append(repetition)
            try:
                _Repetition(system, probers, scenario, settings, repetition, progress, total, parts).run()
            finally:
                with deferred():  # all of it or, killed outright, the last repetition's
                    write_results(result, folder, draw_pictures(result), render(result))
    return result


class _Repetition:
    """One run of the timeline: slices created, faults injected and lifted, slices deleted."""

    def __init__(
        self,
        system: RunningSystem,
        probers: Probers,
        scenario: Scenario,
        settings: RunSettings,
        result: Repetition,
        progress: Progress,
        total: int,
        parts: Parts | None,
    ) -> None:
        self._total, self._parts = total, parts
        self._system, self._probers, self._scenario = system, probers, scenario
        self._settings, self._result, self._progress = settings, result, progress
        self._duration_s = scenario.file.duration_s * settings.time_scale
        self._connections: tuple[Connection, ...] = ()
        self._hit: set[str] = set()
        self._asides = Asides(system, settings.time_scale)

    def run(self) -> None:
        before = extension_refusals(self._system)
        try:
            self._say("making slices")
            made = [create_patiently(self._system, request) for request in self._scenario.requests]
            self._connections = tuple(c for slice_ in made for c in slice_.connections)
            self._views = look_around(self._system) or {}
            self._break_and_watch()
            self._recover()
        except (DemoError, CommandError) as error:
            self._result.violations.append(f"the repetition could not be completed: {error}")
        finally:
            self._clean_up()
        self._result.refusals = dict(extension_refusals(self._system) - before)
        self._result.complete = True

    def _break_and_watch(self) -> None:
        paths = {c.id: c.path for c in self._connections}
        actions = schedule(self._scenario, paths, self._settings.seed, self._result.round)
        with TrafficRun(
            self._system, self._probers, self._connections, self._scenario.file.traffic, self._duration_s
        ) as traffic:
            traffic.wait_for_replies()
            zero = time.monotonic()
            with Observer(self._system, zero) as observer:
                self._picture("before", observer.at(0.0), ())
                try:
                    self._timeline(actions, zero, observer)
                    self._sleep_until(zero + self._duration_s, "watching")
                finally:
                    end_s = time.monotonic() - zero
                    series = traffic.stop(zero)
                    self._asides.finish(series)
                    self._evaluate(series, observer, end_s)
            self._result.findings += traffic.errors

    def _timeline(self, actions: Sequence[Action], zero: float, observer: Observer) -> None:
        scale = self._settings.time_scale
        for action in actions:
            self._sleep_until(zero + action.at_s * scale, "watching")
            if action.aside is not None:
                self._aside(action, action.aside, time.monotonic() - zero)
                continue
            if not action.is_fault and "healed" not in self._result.pictures and self._result.events:
                observer.sample()
                self._picture("healed", observer.at(time.monotonic() - zero), self._system.faults.active())
            looks = observer.at(time.monotonic() - zero)
            now: Paths = {i: look.path for i, look in looks.items()}
            targets = action.resolve(now)
            at_s = time.monotonic() - zero
            note = self._do(action, targets, looks)
            named = targets[0] if len(targets) == 1 else f"{targets[0]} and {len(targets) - 1} more" if targets else ""
            self._result.events.append(Event(action.at_s * scale, at_s, action.do, named, action.is_fault, note))
            self._say(note)
            if action.is_fault:
                self._note_hit(now)
                if "failure" not in self._result.pictures:
                    self._picture("failure", looks, self._system.faults.active())
        if "healed" not in self._result.pictures:
            self._sleep_until(zero + self._duration_s - 0.2, "watching")
            self._picture("healed", observer.at(self._duration_s), self._system.faults.active())

    def _aside(self, action: Action, aside: Aside, at_s: float) -> None:
        note = self._asides.start(aside, at_s)
        self._say(note)
        if isinstance(aside, Change):  # what follows is another phase for its connections
            asked_s = action.at_s * self._settings.time_scale
            self._result.events.append(Event(asked_s, at_s, action.do, aside.target, False, note))

    def _do(self, action: Action, targets: Sequence[str], looks: Mapping[str, Look]) -> str:
        faults, names, parts = self._system.faults, self._scenario.parts, self._parts
        if action.do == LIFT_ALL:
            more = 0 if parts is None else parts.lift_all()
            note = faults.lift_all().note
            return f"{note}, {more} of extensions" if more else note
        if parts is not None and action.do in names.faults:
            return "; ".join(parts.inject(action.do, target) for target in targets)
        if parts is not None and action.do in names.inverses:
            return "; ".join(parts.lift(names.inverses[action.do], target) for target in targets)
        if parts is not None and action.do in names.steps:
            seen = [ConnectionLook(i, look.state, tuple(look.path)) for i, look in looks.items()]
            note, said = parts.run(action.do, seen, targets[0] if targets else "")
            self._result.findings += [f"{note}: {text}" for text in said]
            return note
        if action.is_fault:
            return faults.inject(
                *(
                    Fault(FaultKind(action.do), t, action.direction, action.fraction, impairment=action.impairment)
                    for t in targets
                )
            ).note
        return "; ".join(faults.lift(action.do, target, action.direction).note for target in targets)

    def _note_hit(self, paths: Paths) -> None:
        dead = frozenset() if self._parts is None else self._parts.dead()
        alive = surviving_channels(self._system.topology, self._system.faults.active()) - dead
        self._hit |= {i for i, path in paths.items() if any(channel not in alive for channel in path)}

    def _picture(self, name: str, looks: Mapping[str, Any], active: Faults) -> None:
        alive = surviving_channels(self._system.topology, active)
        broken = [c.id for c in self._system.topology.channels if c.id not in alive]
        used = users_of({i: look.path for i, look in looks.items()})
        self._result.pictures[name] = Picture(used, broken)

    def _evaluate(self, series: Sequence[Series], observer: Observer, end_s: float) -> None:
        result = self._result
        events = [(e.at_s, e.label) for e in result.events]
        for one in series:
            view = self._views.get(one.connection, {})
            found = phases(one.samples, events, end_s) if one.samples else ()
            is_hit = one.connection in self._hit or any(p.lost for p in found[1:])
            result.probes.append(
                ProbeResult(
                    one.connection, one.kind, str(view.get("protection", "")), str(view.get("required", "")), is_hit,
                    one.samples, found, one.mbps, one.error,
                )
            )  # fmt: skip
            changes = observer.changes.get(one.connection, [])
            for start, stop in silent_spells(changes, _lost_runs(one.samples, end_s), LEAST_SILENCE_S, end_s):
                result.findings.append(
                    f"{one.connection} was called ACTIVE from {start:.1f} s to {stop:.1f} s while every {one.kind} "
                    "probe was lost"
                )
        for connection in self._connections:
            changes = observer.changes.get(connection.id, [])
            if not changes:
                continue
            result.findings += [f"{connection.id}: {told}" for told in key_changes(changes)]
            degraded = next((c.look for c in reversed(changes) if c.look.state.lower() == "degraded"), None)
            if degraded is not None:
                result.findings.append(f"{connection.id} was DEGRADED: {degraded.reason or 'without a reason'}")
                if not degraded.reason:
                    result.violations.append(f"{connection.id} was DEGRADED without a reason")
            result.connections.append(
                {
                    "id": connection.id,
                    "protection": str(self._views.get(connection.id, {}).get("protection", "")),
                    "required": connection.required,
                    "path_before": list(changes[0].look.path),
                    "path_after": list(changes[-1].look.path),
                    "states": [
                        {"at_s": round(c.at_s, 3), "state": c.look.state, "path": list(c.look.path),
                         "reason": c.look.reason, "key_source": c.look.key_source,
                         "key_links": list(c.look.relay), "rekey_s": c.look.rekey_s}
                        for c in changes
                    ],
                }
            )  # fmt: skip
        result.violations += [*observer.violations, *self._asides.violations]
        result.findings += self._asides.findings
        if self._parts is not None:
            samples = tuple(
                ProbeSample(one.connection, one.kind, s.at_s, s.took_ms) for one in series for s in one.samples
            )
            timeline = tuple(TimelineEvent(e.at_s, e.action, e.target, e.is_fault) for e in result.events)
            result.metrics, wrong = self._parts.measure(samples, timeline)
            result.findings += wrong

    def _recover(self) -> None:
        """Lift what is left; everything must become ACTIVE and carry packets again."""
        self._say("lifting every fault")
        if self._parts is not None:
            self._parts.lift_all()
        lifted = self._system.faults.lift_all()
        started = time.monotonic()
        if lifted.faults:
            self._result.findings.append(f"after the timeline: {lifted.note}")
        wanted = {c.id for c in self._connections}
        while True:
            views = look_around(self._system) or {}
            states = {i: v["state"].lower() for i, v in views.items()}
            down = sorted(i for i in wanted if states.get(i) != "active")
            down += sorted(i for i in wanted if i not in down and views[i].get("is_on_fallback"))
            silent = [] if down else all_answer(self._probers, self._connections, 2.0)
            active = [] if down or silent else self._active_dark_channels()
            if not down and not silent and not active:
                self._result.recovered_s = time.monotonic() - started
                return
            if time.monotonic() - started > RECOVERY_TIMEOUT_S:
                what = (
                    f"not ACTIVE as asked: {', '.join(down)}"
                    if down
                    else f"ACTIVE but silent: {', '.join(silent)}"
                    if silent
                    else f"dark channels still active: {', '.join(active)}"
                )
                self._result.violations.append(f"{RECOVERY_TIMEOUT_S:.0f} s after every fault was lifted: {what}")
                return
            self._say("waiting for recovery")
            time.sleep(TICK_S)

    def _active_dark_channels(self) -> list[str]:
        status, body = self._system.api("GET", "/v1/topology")
        channels = body["channels"] if status == 200 else ()
        return [c["id"] for c in channels if c.get("is_spare") and c["state"] != "dark"]

    def _clean_up(self) -> None:
        """The next repetition begins with a network without faults and slices."""
        if self._parts is not None:
            self._parts.lift_all()
        self._system.faults.lift_all()
        for request in self._scenario.requests:
            try:
                if self._system.api("GET", f"/v1/slices/{request['name']}")[0] != 404:
                    delete_slice(self._system, str(request["name"]))
            except (DemoError, CommandError) as error:
                log.warning("slice %s: %s", request["name"], error)

    def _sleep_until(self, when: float, what: str) -> None:
        while (left := when - time.monotonic()) > 0:
            self._say(what)
            time.sleep(min(left, TICK_S) if left < 1 else min(left - 0.5, 0.5))

    def _say(self, text: str) -> None:
        self._progress.say(f"{self._result.number}/{self._total} {text}")


def extension_refusals(system: RunningSystem) -> Counter[str]:
    """Answers of extensions that the controller has not used since it started, by code."""
    try:
        status, text = system.api("GET", "/metrics")
    except CommandError:
        return Counter()
    found = re.findall(r'^qslice_events_total{kind="extension",state="([^"]*)"} (\d+)$', str(text), re.M)
    return Counter({code: int(count) for code, count in found}) if status == HTTPStatus.OK else Counter()


def _lost_runs(samples: Sequence[Sample], end_s: float) -> list[tuple[float, float]]:
    """Runs of lost probes: from the first that was lost to the next that got through."""
    runs: list[tuple[float, float]] = []
    began: float | None = None
    for sample in samples:
        if sample.took_ms is None:
            began = sample.at_s if began is None else began
        elif began is not None:
            runs.append((began, sample.at_s))
            began = None
    if began is not None:
        runs.append((began, end_s))
    return runs
