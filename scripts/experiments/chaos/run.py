"""Chaos on a running network: random faults, a tap throughout, and an oracle whenever it is quiet."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from scripts.console.progress import Progress
from scripts.errors import CommandError, DidNotHold
from scripts.experiments.chaos.oracle import Observation, judge
from scripts.experiments.chaos.rules import cookies_of, held_items, intended_items
from scripts.experiments.chaos.steps import ChaosStep, Move, Trouble, chaos_steps
from scripts.experiments.levels import too_weak
from scripts.experiments.traffic import all_answer
from scripts.files.results import write_result
from scripts.measure.capture.channels import ChannelCapture
from scripts.measure.capture.plaintext_monitor import PlaintextMonitor
from scripts.measure.capture.plaintext_search import new_marker
from scripts.measure.connection import Connection
from scripts.measure.errors import MeasurementError
from scripts.measure.places import Places, places_in
from scripts.measure.probes.isolation import check_isolation
from scripts.measure.probes.probers import Probers, new_token
from scripts.measure.protection import protected_if_possible
from scripts.measure.slices import create_patiently
from scripts.report.provenance import Provenance
from scripts.testbed.clients import every_slice
from scripts.testbed.faults import FAULTS
from scripts.testbed.running_system import RunningSystem
from scripts.testbed.taps import Tap
from topologies.spec import EncryptionMode

QUIET_TIMEOUT_S = 30.0  # within which everything must have come right after the last change
QUIET_POLL_S = 0.2

PROBE_TIMEOUT_S = 1.0
MARKER_INTERVAL_S = 0.1
MARKER_BYTES = 200
MARKER_PORT = 5700
ISOLATION_SAMPLE = 5  # connections whose pairs are tried at each quiet moment
CHECK_S, STEP_S = 5.0, 0.8  # until there is something to go by, for the remaining time
DUMPS = ("dump-flows", "dump-groups", "dump-meters")


def chaos_requests(places: Places, encryption: EncryptionMode = EncryptionMode.HOST) -> tuple[dict[str, Any], ...]:
    """Slices of every security level and every protection class, on three compute sites where there are so many.

    Where cards alone seal, 1:1 stands for 1+1, which needs the hosts' tunnels.
    """
    twice = "1+1" if encryption.hosts_seal else "1:1"

    def request(
        name: str, cells: Sequence[str], site: str, core: str, protections: tuple[str, str, str], clear: bool
    ) -> dict[str, Any]:
        level = "none" if clear else "qra"
        control, access, backhaul = protections
        return {
            "name": name, "sNSSAI": {"sst": 1}, "cells": list(cells), "core": core,
            "compute": {"site": site, "vcpus": 2, "memory_gb": 4},
            "connections": {
                "control": {"security": "dh", "bandwidth_mbps": 1, "latency_ms": 30, "protection": control},
                "access": {"security": level, "bandwidth_mbps": 4, "latency_ms": 30, "protection": access,
                           "fallback": [] if clear else ["dh"]},
                "backhaul": {"security": "qkd", "bandwidth_mbps": 4, "latency_ms": 30, "protection": backhaul,
                             "fallback": ["qra"] if clear else [],
                             "revert": {"after_s": 3} if backhaul == "1:1" else "off"},
            },
        }  # fmt: skip

    site, core = places.site, places.core
    return (
        request("chaos-a", places.cells[:2], site(1), core(0), ("restoration", "restoration", twice), clear=False),
        request("chaos-b", places.cells[:1], site(0), core(1), (twice, "1:1", "1:1"), clear=False),
        request("chaos-c", [places.cell(1)], site(2), core(1), ("none", "restoration", "restoration"), clear=True),
    )


@dataclass
class ChaosResult:
    """Steps as they were done, and what was found to be wrong."""

    seed: int
    faults: int
    provenance: Provenance
    _: KW_ONLY
    encryption: EncryptionMode = EncryptionMode.HOST
    mutation: str | None = None  # how the controller is wrong on purpose: the first violation is enough
    unprotected: list[str] = field(default_factory=list)  # what would be protected if the network had two ways
    steps: list[dict[str, Any]] = field(default_factory=list)
    violations: list[dict[str, Any]] = field(default_factory=list)
    tap: dict[str, int] = field(default_factory=dict)
    checks: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # troubles by kind

    def to_dict(self) -> dict[str, Any]:
        return {
            "experiment": "chaos", "seed": self.seed, "mutation": self.mutation, "repetitions": 1,
            "encryption": self.encryption.value,
            "faults": self.faults, "checks": self.checks, "unprotected": self.unprotected,
            "provenance": self.provenance.to_dict(),
            "counts": dict(sorted(self.counts.items())), "tap": self.tap,
            "results": self.steps, "violations": self.violations,
        }  # fmt: skip


def run_chaos(
    system: RunningSystem, kinds: Collection[Trouble], result: ChaosResult, folder: Path, progress: Progress
) -> None:
    """Draw the faults and do them; the results so far are kept whatever ends it."""
    secret, clear = new_marker(), new_marker()
    result.encryption = system.encryption
    taps = taps_of(system)
    monitor = PlaintextMonitor(secret, clear, sealed=[name for name, tap in taps.items() if tap.holder is not None])
    try:
        with Probers(system, system.topology.site_names) as probers:
            wanted = chaos_requests(places_in(system.topology), system.encryption)
            asked = [protected_if_possible(system.topology, r) for r in wanted]
            result.unprotected += [f"{r['name']}/{role}" for r, given_up in asked for role in given_up]
            made = [create_patiently(system, r) for r, _ in asked]
            connections = [c for slice_ in made for c in slice_.connections]
            in_use = {channel for c in connections for channel in c.path}
            steps = chaos_steps(system.topology, result.faults, result.seed, kinds, in_use, system.shelves)
            tap = ChannelCapture(taps, monitor.inspect)
            try:
                with tap:
                    _send_markers(probers, connections, secret, clear)
                    _Chaos(system, probers, connections, monitor, result, progress, folder).run(steps)
            finally:
                result.tap = {**tapped(monitor), "dropped": sum(tap.dropped.values())}
            if not monitor.clear_frames or not (monitor.esp_packets or monitor.line_packets):
                result.violations.append({"step": len(steps), "what": "the tap saw nothing: it proves nothing"})
    finally:
        keep(result, folder)
        system.faults.lift_all()


def tapped(monitor: PlaintextMonitor) -> dict[str, int]:
    """What the tap has seen so far."""
    return {
        "frames": monitor.frames, "line_packets": monitor.line_packets, "esp_packets": monitor.esp_packets,
        "clear_marker_frames": monitor.clear_frames,
    }  # fmt: skip


def keep(result: ChaosResult, folder: Path) -> None:
    """Write what there is, whole or not at all: an interruption must not leave half a file."""
    write_result(folder / "results.json", json.dumps(result.to_dict(), indent=1) + "\n")


class _Chaos:
    def __init__(
        self,
        system: RunningSystem,
        probers: Probers,
        connections: Sequence[Connection],
        monitor: PlaintextMonitor,
        result: ChaosResult,
        progress: Progress,
        folder: Path,
    ) -> None:
        self._folder = folder
        self._system, self._probers, self._connections = system, probers, connections
        self._monitor, self._result, self._progress = monitor, result, progress
        self._sample = random.Random(result.seed)  # noqa: S311 - which pairs to try
        self._tapped = 0

    def run(self, steps: Sequence[ChaosStep]) -> None:
        started = time.monotonic()
        pace = Pace()
        for number, step in enumerate(steps, start=1):
            began = time.monotonic()
            self._progress.expect(pace.expected_s(steps[number - 1 :]))
            self._progress.say(f"{number}/{len(steps)} {step}, {len(self._result.violations)} violations")
            entry: dict[str, Any] = {"step": number, "at_s": round(began - started, 3), "do": str(step)}
            self._result.steps.append(entry)
            if step.trouble is not None and step.is_trouble:
                self._result.counts[step.trouble.value] += 1
            try:
                entry["note"] = self._do(step)
            except CommandError as error:
                entry["note"] = str(error)
                self._violation(number, f"{step}: {error}")
            entry["done_s"] = round(time.monotonic() - began, 3)
            for what in self._too_weak():
                self._violation(number, what)
            if step.is_check:
                wrong, took_s, settling = self._wait_until_right()
                entry["quiet_after_s"] = round(took_s, 3)
                entry["settling"] = settling
                self._result.checks += 1
                for what in wrong:
                    self._violation(number, what)
            for what in self._monitor.violations[self._tapped :]:
                self._violation(number, what)
            self._tapped = len(self._monitor.violations)
            entry["took_s"] = round(time.monotonic() - began, 3)
            pace.took(step, entry["took_s"])
            if step.is_check:
                self._result.tap = tapped(self._monitor)
                keep(self._result, self._folder)
            if self._result.mutation is not None and self._result.violations:
                return
            time.sleep(step.dwell_s)

    def _violation(self, step: int, what: str) -> None:
        faults = [str(f) for f in self._system.faults.active()]
        self._result.violations.append({"step": step, "what": what, "faults": faults})

    def _do(self, step: ChaosStep) -> str:
        if step.move is Move.MEND:
            return self._system.faults.lift_all().note
        if step.move is Move.INJECT:
            return self._system.faults.inject(*step.faults).note
        if step.move is Move.LIFT:
            return self._lift(step)
        for _ in range(step.times):
            self._system.faults.inject(*step.faults)
            time.sleep(step.half_s)
            self._lift(step)
            time.sleep(step.half_s)
        return f"{step.times} times, {step.half_s} s each" if step.times else ""

    def _lift(self, step: ChaosStep) -> str:
        notes = [self._system.faults.lift(FAULTS[f.kind].inverse, f.target, f.direction).note for f in step.faults]
        return "; ".join(notes)

    def _too_weak(self) -> list[str]:
        with contextlib.suppress(CommandError):
            status, slices = every_slice(self._system.api)
            if status == 200:
                views = {f"{s['name']}/{c['name']}": c for s in slices for c in s["connections"]}
                topology, mode = self._system.topology, self._system.encryption
                return [w for i, v in views.items() if (w := too_weak(topology, i, v, mode))]
        return []

    def _wait_until_right(self) -> tuple[list[str], float, list[str]]:
        """What is still wrong after a while of quiet, how long it took until nothing was, and what came right last."""
        started = time.monotonic()
        settling: list[str] = []
        while True:
            try:
                wrong = judge(self._system.topology, self._observe())
            except CommandError as error:
                wrong = [str(error)]
            took_s = time.monotonic() - started
            if not wrong or took_s > QUIET_TIMEOUT_S:
                break
            settling = wrong
            time.sleep(QUIET_POLL_S)
        return [*wrong, *self._leaks()], took_s, settling

    def _observe(self) -> Observation:
        system = self._system
        # One right after the other: a reroute between them looks like a reservation without an owner.
        status, slices = every_slice(system.api)
        if status != 200:
            raise DidNotHold(f"answered {status}: {slices}")
        topology = _answer(system.api("GET", "/v1/topology"))
        active = {
            f"{s['name']}/{c['name']}" for s in slices for c in s["connections"] if c["state"].lower() == "active"
        }
        asked = [c for c in self._connections if c.id in active]  # the others would only cost time
        answering = {c.id for c in asked} - set(all_answer(self._probers, asked, PROBE_TIMEOUT_S))
        dumps = _dumps(system)
        intended = _answer(system.api("GET", "/v1/intended"))["switches"]
        keys = _answer(system.kms.call("GET", "/v1/keys"))
        return Observation(
            slices=slices,
            channels=topology["channels"],
            sections=topology["sections"],
            keys={s["id"]: s["skr_bps"] for s in keys["sections"] if s["state"] == "active"},
            answering=answering,
            cookies={site: cookies_of(flows) for site, (flows, _, _) in dumps.items()},
            held={site: held_items(*texts) for site, texts in dumps.items()},
            intended={site: intended_items(switch) for site, switch in intended.items()},
            faults=system.faults.active(),
            encryption=system.encryption,
            **topology["latency_model"],
            carriers=_carriers(system),
        )

    def _leaks(self) -> list[str]:
        chosen = self._sample.sample(list(self._connections), min(ISOLATION_SAMPLE, len(self._connections)))
        try:
            result = check_isolation(self._system, self._probers, chosen, wait_s=0.3)
        except MeasurementError as error:
            return [f"isolation could not be tried: {error}"]
        return [f"a packet passed between endpoints that share no connection: {leak}" for leak in result.leaks]


def taps_of(system: RunningSystem) -> dict[str, Tap]:
    """The lines between cards, and the channels that no card seals: whatever an eavesdropper can reach."""
    lines = system.line_taps()
    channels = [c for c in system.topology.channels if c.wavelength not in lines]
    return {
        **{f"of wavelength {wavelength}": tap for wavelength, tap in lines.items()},
        **{c.id: Tap(system.channel_interfaces(c.id)[0]) for c in channels},
    }


def _carriers(system: RunningSystem) -> frozenset[str]:
    """Channels that cards seal and whose ports have carrier at both ends, as the kernel says."""
    lines = system.line_taps()
    return frozenset(
        c.id
        for c in system.topology.channels
        if c.wavelength in lines and all(_has_carrier(name) for name in system.channel_interfaces(c.id))
    )


def _has_carrier(interface: str) -> bool:
    try:
        return Path(f"/sys/class/net/{interface}/carrier").read_text(encoding="ascii").strip() == "1"
    except OSError:  # it is down, or gone
        return False


def _send_markers(probers: Probers, connections: Sequence[Connection], secret: bytes, clear: bytes) -> None:
    for connection in connections:
        fill = secret if connection.is_encrypted else clear
        for sender, receiver in (connection.ends, connection.ends[::-1]):
            flow = new_token()
            probers[receiver.host].call("receive", flow=flow, address=receiver.address, port=MARKER_PORT)
            probers[sender.host].call(
                "send", flow=flow, source=sender.address, destination=receiver.address, port=MARKER_PORT,
                interval_s=MARKER_INTERVAL_S, size=MARKER_BYTES, fill=fill.hex(), limit=0,
            )  # fmt: skip


def _dumps(system: RunningSystem) -> dict[str, tuple[str, ...]]:
    """Flows, groups and meters of every switch as text, all asked for side by side."""
    head = ["ovs-ofctl", "-O", "OpenFlow13", "--no-names"]
    running = {
        site: [
            subprocess.Popen([*head, dump, system.topology.bridge(site)], stdout=subprocess.PIPE, text=True)
            for dump in DUMPS
        ]
        for site in system.topology.site_names
    }
    texts = {site: tuple(process.communicate()[0] for process in dumps) for site, dumps in running.items()}
    for site, dumps in running.items():
        if any(process.returncode for process in dumps):
            raise DidNotHold(f"the switch at {site} cannot be read")
    return texts


def _answer(answer: tuple[int, Any]) -> Mapping[str, Any]:
    status, body = answer
    if status != 200 or not isinstance(body, dict):
        raise DidNotHold(f"answered {status}: {body}")
    return body


class Pace:
    """How long steps take, from those that were done; a rough guess before that. By sort: starting a process takes
    many times as long as cutting a channel."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[float, int]] = {}

    def took(self, step: ChaosStep, seconds: float) -> None:
        total_s, number = self._taken.get(_sort(step), (0.0, 0))
        self._taken[_sort(step)] = total_s + seconds, number + 1

    def expected_s(self, steps: Sequence[ChaosStep]) -> float:
        return sum(step.dwell_s + self._mean_s(step) for step in steps)

    def _mean_s(self, step: ChaosStep) -> float:
        total_s, number = self._taken.get(_sort(step), (CHECK_S if step.is_check else STEP_S, 1))
        return total_s / number


def _sort(step: ChaosStep) -> str:
    return f"{step.move.value} {step.faults[0]}" if step.trouble is Trouble.KILL else step.move.value
