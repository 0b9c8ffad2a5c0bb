"""Chaos on a running network: random faults, a tap throughout, and an oracle whenever it is quiet."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.demo.connection import Connection
from scripts.demo.errors import MeasurementError
from scripts.demo.isolation import check_isolation
from scripts.demo.marker import new_marker
from scripts.demo.probers import Probers, new_token
from scripts.demo.provision import create_slice
from scripts.errors import CommandError, DidNotHold
from scripts.experiments.chaos import ChaosStep, Move, chaos_steps
from scripts.experiments.clock import Countdown
from scripts.experiments.observe import too_weak
from scripts.experiments.oracle import Observation, judge
from scripts.experiments.traffic import all_answer
from scripts.experiments.wiretap import Inspector, Wiretap
from scripts.faults import FAULTS, FaultKind
from scripts.system import RunningSystem

QUIET_TIMEOUT_S = 30.0  # within which everything must have come right after the last change
QUIET_POLL_S = 0.5
PROBE_TIMEOUT_S = 1.0
MARKER_INTERVAL_S = 0.1
MARKER_BYTES = 200
MARKER_PORT = 5700
ISOLATION_SAMPLE = 5  # connections whose pairs are tried at each quiet moment
CHECK_S, STEP_S = 5.0, 0.8  # rough durations, for the remaining time

_COOKIE = re.compile(r"cookie=(0x[0-9a-f]+)")


def chaos_requests() -> tuple[dict[str, Any], ...]:
    """Slices for metro-ring: every security level, every protection class that is carried out, three compute sites."""

    def request(name: str, cells: Sequence[str], site: str, core: str, protection: str, clear: bool) -> dict[str, Any]:
        level = "none" if clear else "qra"
        return {
            "name": name, "sNSSAI": {"sst": 1}, "cells": list(cells), "core": core,
            "compute": {"site": site, "vcpus": 2, "memory_gb": 4},
            "connections": {
                "control": {"security": "dh", "bandwidth_mbps": 1, "latency_ms": 30},
                "access": {"security": level, "bandwidth_mbps": 4, "latency_ms": 30, "protection": protection,
                           "fallback": [] if clear else ["dh"]},
                "backhaul": {"security": "qkd", "bandwidth_mbps": 4, "latency_ms": 30, "protection": protection,
                             "fallback": ["qra"] if clear else [],
                             "revert": {"after_s": 3} if protection == "1:1" else "off"},
            },
        }  # fmt: skip

    return (
        request("chaos-a", ("cell1", "cell2"), "metro2", "core1", "restoration", clear=False),
        request("chaos-b", ("cell1",), "metro1", "core2", "1:1", clear=False),
        request("chaos-c", ("cell2",), "metro3", "core2", "restoration", clear=True),
    )


@dataclass
class ChaosResult:
    """Steps as they were done, and what was found to be wrong."""

    seed: int
    faults: int
    mutation: str | None = None  # how the controller is wrong on purpose: the first violation is enough
    steps: list[dict[str, Any]] = field(default_factory=list)
    violations: list[dict[str, Any]] = field(default_factory=list)
    tap: dict[str, int] = field(default_factory=dict)
    checks: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "experiment": "chaos", "seed": self.seed, "mutation": self.mutation,
            "repetitions": 1, "faults": self.faults, "checks": self.checks,
            "tap": self.tap, "results": self.steps, "violations": self.violations,
        }  # fmt: skip


def run_chaos(
    system: RunningSystem, kinds: Collection[FaultKind], result: ChaosResult, folder: Path, countdown: Countdown
) -> None:
    """Draw the faults and do them; the results so far are kept whatever ends it."""
    secret, clear = new_marker(), new_marker()
    inspector = Inspector(secret, clear)
    taps = {c.id: system.channel_interfaces(c.id)[0] for c in system.topology.channels}
    try:
        with Probers(system, system.topology.site_names) as probers:
            made = [create_slice(system, r) for r in chaos_requests()]
            connections = [c for slice_ in made for c in slice_.connections]
            in_use = {channel for c in connections for channel in c.path}
            steps = chaos_steps(system.topology, result.faults, result.seed, kinds, in_use)
            with Wiretap(taps, inspector) as tap:
                _send_markers(probers, connections, secret, clear)
                _Chaos(system, probers, connections, inspector, result, countdown).run(steps)
            result.tap = {
                "frames": inspector.frames, "esp_packets": inspector.esp_packets,
                "clear_marker_frames": inspector.clear_frames, "dropped": tap.dropped,
            }  # fmt: skip
            if not inspector.clear_frames or not inspector.esp_packets:
                result.violations.append({"step": len(steps), "what": "the tap saw nothing: it proves nothing"})
    finally:
        system.faults.lift_all()
        (folder / "results.json").write_text(json.dumps(result.to_dict(), indent=1) + "\n", encoding="utf-8")


class _Chaos:
    def __init__(
        self,
        system: RunningSystem,
        probers: Probers,
        connections: Sequence[Connection],
        inspector: Inspector,
        result: ChaosResult,
        countdown: Countdown,
    ) -> None:
        self._system, self._probers, self._connections = system, probers, connections
        self._inspector, self._result, self._countdown = inspector, result, countdown
        self._sample = random.Random(result.seed)  # noqa: S311 - which pairs to try
        self._tapped = 0

    def run(self, steps: Sequence[ChaosStep]) -> None:
        started = time.monotonic()
        for number, step in enumerate(steps, start=1):
            self._countdown.left(_expected_s(steps[number - 1 :]))
            self._countdown.say(f"{number}/{len(steps)} {step}, {len(self._result.violations)} violations")
            entry: dict[str, Any] = {"step": number, "at_s": round(time.monotonic() - started, 3), "do": str(step)}
            self._result.steps.append(entry)
            try:
                entry["note"] = self._do(step)
            except CommandError as error:
                entry["note"] = str(error)
                self._violation(number, f"{step}: {error}")
            for what in self._too_weak():
                self._violation(number, what)
            if step.move in (Move.CHECK, Move.MEND):
                wrong, took_s, settling = self._wait_until_right()
                entry["quiet_after_s"] = round(took_s, 3)
                entry["settling"] = settling
                self._result.checks += 1
                for what in wrong:
                    self._violation(number, what)
            for what in self._inspector.violations[self._tapped :]:
                self._violation(number, what)
            self._tapped = len(self._inspector.violations)
            if self._result.mutation is not None and self._result.violations:
                return
            time.sleep(step.dwell_s)

    def _violation(self, step: int, what: str) -> None:
        faults = [str(f) for f in self._system.faults.active()]
        self._result.violations.append({"step": step, "what": what, "faults": faults})

    def _do(self, step: ChaosStep) -> str:
        if step.move is Move.MEND:
            return self._system.faults.lift_all().note
        if step.fault is None:
            return ""
        if step.move is Move.INJECT:
            return self._system.faults.inject(step.fault).note
        return self._system.faults.lift(FAULTS[step.fault.kind].inverse, step.fault.target, step.fault.direction).note

    def _too_weak(self) -> list[str]:
        with contextlib.suppress(CommandError):
            status, body = self._system.api("GET", "/v1/slices")
            if status == 200:
                views = {f"{s['name']}/{c['name']}": c for s in body["slices"] for c in s["connections"]}
                return [w for i, v in views.items() if (w := too_weak(self._system.topology, i, v))]
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
        answering = {c.id for c in self._connections} - set(
            all_answer(self._probers, self._connections, PROBE_TIMEOUT_S)
        )
        topology = _answer(system.api("GET", "/v1/topology"))
        keys = _answer(system.kms.call("GET", "/v1/keys"))
        return Observation(
            slices=_answer(system.api("GET", "/v1/slices"))["slices"],
            channels=topology["channels"],
            sections=topology["sections"],
            keys={s["id"]: s["skr_bps"] for s in keys["sections"] if s["state"] == "active"},
            answering=answering,
            cookies={site: _cookies(system.topology.bridge(site)) for site in system.topology.site_names},
            faults=system.faults.active(),
        )

    def _leaks(self) -> list[str]:
        chosen = self._sample.sample(list(self._connections), min(ISOLATION_SAMPLE, len(self._connections)))
        try:
            result = check_isolation(self._system, self._probers, chosen, wait_s=0.3)
        except MeasurementError as error:
            return [f"isolation could not be tried: {error}"]
        return [f"a packet passed between endpoints that share no connection: {leak}" for leak in result.leaks]


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


def _cookies(bridge: str) -> set[int]:
    argv = ["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", bridge]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DidNotHold(f"{bridge}: {done.stderr.strip()}")
    return {int(cookie, 16) for cookie in _COOKIE.findall(done.stdout)}


def _answer(answer: tuple[int, Any]) -> Mapping[str, Any]:
    status, body = answer
    if status != 200 or not isinstance(body, dict):
        raise DidNotHold(f"answered {status}: {body}")
    return body


def _expected_s(steps: Sequence[ChaosStep]) -> float:
    checks = sum(s.move in (Move.CHECK, Move.MEND) for s in steps)
    return sum(s.dwell_s for s in steps) + CHECK_S * checks + STEP_S * (len(steps) - checks)
