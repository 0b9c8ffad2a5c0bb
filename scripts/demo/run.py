"""The main job from a running system to the report: provision, measure, cut, delete, check that nothing remains."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

from scripts.configuration.values import DEFAULTS
from scripts.console.progress import Step, StepList
from scripts.demo.report import Check, ConnectionReport, Report, SliceReport, write_report
from scripts.errors import CommandError
from scripts.measure import slices as provision
from scripts.measure.capture.plaintext_search import MarkerResult, look_for_markers
from scripts.measure.connection import Connection
from scripts.measure.errors import DemoError, MeasurementError
from scripts.measure.link_cut import FailureResult, cut_and_watch
from scripts.measure.probes.isolation import WAIT_S, check_isolation
from scripts.measure.probes.probers import Probers
from scripts.measure.programs.iperf import IperfResult, iperf_together
from scripts.measure.programs.ping import PingResult, ping_all
from scripts.measure.rekey_load import REKEYS, load_across_rekeys
from scripts.measure.system import System
from scripts.report.provenance import Provenance, provenance
from topologies.spec import SecurityClass

log = logging.getLogger(__name__)

SLICES = ("enterprise-app", "cdn")
MAX_OUTAGE_MS = 200.0
MARKER_ATTEMPTS = 3  # a connection that moves while its channels are captured proves nothing
# Of the reserved rate. A meter polices without queueing: TCP takes its drops for congestion and settles near half.
MIN_THROUGHPUT_SHARE = 0.25

# What a measurement may fail with: ours, the tools', the runtime's, and an answer of unexpected shape.
FAILURES = (
    DemoError,
    CommandError,
    HTTPException,
    OSError,
    subprocess.SubprocessError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
)

T = TypeVar("T", PingResult, IperfResult)


def run_demo(
    system: System,
    steps: StepList,
    report_dir: Path,
    *,
    setup_s: float = 0.0,
    requests: Sequence[Mapping[str, Any]] | None = None,
    rekeys: int = REKEYS,
    slowness: float = 1.0,
    remarks: Sequence[str] = (),
    restorable: Collection[str] | None = None,
    sites: Sequence[str] | None = None,
    origin: Provenance | None = None,
) -> Report:
    """Measure everything and write the report into ``report_dir``.

    A measurement that fails becomes a failed check and the rest goes on. ``setup_s`` is what bringing the system up
    took; it is part of the report's total. ``requests`` are the slice requests, by default the two examples;
    ``remarks`` say what of the use cases this network cannot show, and of ``restorable`` channels one is cut (None: any
    in use; without one nothing is). What needs encryption is left out where nothing is encrypted. Connections end at
    ``sites``, by default all. ``origin`` is where the report says that it comes from, by default this QSlice as it is.

    ``slowness`` above 1 is for machines whose processors are computed: so many times thinner are the loads, and longer
    the limits of time. What must hold without exception (losses, ciphertext, isolation) holds there as well.
    """
    started = time.monotonic()
    report = Report(
        system.topology, system.datapath, provenance(DEFAULTS) if origin is None else origin, setup_s=setup_s,
        slowness=slowness, remarks=list(remarks),
    )  # fmt: skip
    demo = _Demo(system, steps, report, rekeys, restorable)
    with Probers(system, system.topology.site_names if sites is None else sites) as probers:
        demo.provision(probers, requests)
        if demo.connections:
            demo.measure_ping()
            demo.measure_markers(probers)
            demo.check_paths()
            demo.measure_isolation(probers)
            demo.measure_throughput()
            if any(c.is_encrypted for c in demo.connections):
                demo.measure_rekeying(probers)
            if restorable is None or restorable:
                demo.measure_failure(probers)
        demo.delete()
    report.total_s = setup_s + time.monotonic() - started
    write_report(report, report_dir)
    return report


class _Demo:
    """The steps, in order; each fills its part of the report and adds its checks."""

    def __init__(
        self, system: System, steps: StepList, report: Report, rekeys: int, restorable: Collection[str] | None = None
    ) -> None:
        self._system = system
        self._steps = steps
        self._report = report
        self._rekeys = rekeys
        self._restorable = restorable
        self._slowness = report.slowness
        self._asked: list[str] = []
        self._requests: list[Mapping[str, Any]] = []

    @property
    def _entries(self) -> list[ConnectionReport]:
        return [entry for s in self._report.slices for entry in s.connections]

    @property
    def connections(self) -> list[Connection]:
        return [entry.connection for entry in self._entries]

    # Steps

    def provision(self, probers: Probers, requests: Sequence[Mapping[str, Any]] | None) -> None:
        for name in SLICES if requests is None else [str(r["name"]) for r in requests]:

            def create(step: Step, name: str = name) -> None:
                request = (
                    provision.load_request(name)
                    if requests is None
                    else next(r for r in requests if str(r["name"]) == name)
                )
                self._asked.append(name)
                made = provision.create_slice(self._system, request, self._slowness)
                self._requests.append(request)
                entry = SliceReport(name, made.provision_ms, timings_ms=made.timings_ms)
                entry.connections = [ConnectionReport(c) for c in made.connections]
                self._report.slices.append(entry)
                entry.first_packet_ms = provision.first_packet_ms(probers, made, self._slowness)
                step.detail = (
                    f"{len(made.connections)} connections, ACTIVE after {made.provision_ms:.0f} ms, "
                    f"a packet through each after {entry.first_packet_ms:.0f} ms"
                )
                self._check(f"provision {name}", True, step.detail)

            self._step(f"provision {name}", f"provision {name}", 3, create)

    def check_paths(self) -> None:
        """No time of its own: what the API said, held against what was asked for."""
        topology = self._system.topology
        low, wrong_key = [], []
        for c in self.connections:
            if not c.path:
                low.append(f"{c.id} has no path")
            for channel in c.path:
                if not topology.has_channel(channel):
                    low.append(f"{c.id} uses an unknown channel {channel}")
                elif topology.channel(channel).security < c.required_class:
                    low.append(f"{c.id} ({c.required}) uses {channel} ({topology.channel(channel).security.label})")
            if set(c.key_source.split("+")) != set(c.required.split("+")) and not _is_stronger(c):
                wrong_key.append(f"{c.id} needs {c.required}, its keys come from {c.key_source}")
        hops = sum(len(c.path) for c in self.connections)
        self._check("path security", not low, "; ".join(low) or f"all {hops} hops have the required class or a better")
        self._check("key source", not wrong_key, "; ".join(wrong_key) or "every key comes from the source asked for")

    def measure_ping(self) -> None:
        def measure(step: Step) -> None:
            results = ping_all(self._system, self.connections, slowness=self._slowness)
            failed = _errors(results)
            for entry in self._entries:
                result = results[entry.connection.id]
                if isinstance(result, PingResult):
                    entry.ping = result
                    if result.received < result.sent:
                        failed.append(f"{entry.connection.id} lost {result.loss_pct:.1f} %")
            sent = sum(r.sent for r in results.values() if isinstance(r, PingResult))
            slowest = max((r.avg_ms or 0.0 for r in results.values() if isinstance(r, PingResult)), default=0.0)
            self._conclude(step, "ping", failed, f"{sent} echo requests, none lost, slowest mean {slowest:.1f} ms")

        self._step("ping every connection", "ping", 2, measure)

    def measure_markers(self, probers: Probers) -> None:
        def measure(step: Step) -> None:
            self._refresh()
            results: dict[str, MarkerResult] = {}
            for _ in range(MARKER_ATTEMPTS):
                found = look_for_markers(self._system, probers, self.connections, slowness=self._slowness)
                # What was readable once stays so, whatever is seen later.
                results = {c.id: results[c.id] if _leaked(c, results) else found[c.id] for c in self.connections}
                if not self._refresh():
                    break
            for entry in self._entries:
                entry.marker = results[entry.connection.id]
            secret = [results[c.id] for c in self.connections if c.is_encrypted]
            clear = [results[c.id] for c in self.connections if not c.is_encrypted]
            frames = sum(s.frames_seen for r in secret for s in r.sightings)
            self._conclude(
                step,
                "ciphertext only",
                _complaints(secret),
                f"{len(secret)} encrypted connections, {frames} frames captured, no marker in any",
            )
            if clear:
                fine = f"the marker of each of {len(clear)} clear connections stands on every channel of its path"
                self._conclude(step, "plaintext is seen where there is some", _complaints(clear), fine)

        self._step("look for plaintext on every channel", "ciphertext only", 2, measure)

    def _refresh(self) -> bool:
        """Take every connection as the API describes it now; whether one has moved meanwhile: a channel that is silent,
        or seems so on a machine that is not run for a while, is avoided, and the old one shows nothing any more.
        """
        now = provision.refresh_connections(self._system, self._requests)
        has_moved = False
        for entry in self._entries:
            has_moved |= entry.connection.path != now[entry.connection.id].path
            entry.connection = now[entry.connection.id]
        return has_moved

    def measure_isolation(self, probers: Probers) -> None:
        def measure(step: Step) -> None:
            result = check_isolation(self._system, probers, self.connections, WAIT_S * self._slowness)
            self._report.isolation = result
            self._conclude(
                step,
                "isolation",
                list(result.leaks[:5]) if result.reachable else [],
                f"{result.pairs} pairs that share no connection, {result.attempts} attempts, none got through",
            )
            self._conclude(
                step,
                "isolation control",
                [f"{pair} was not heard" for pair in result.unheard[:5]],
                f"the same probe got through between all {result.control_pairs} connected pairs",
            )

        self._step("try every pair of endpoints", "isolation", 2, measure)

    def measure_throughput(self) -> None:
        def measure(step: Step) -> None:
            results: dict[str, IperfResult | MeasurementError] = {}
            least = MIN_THROUGHPUT_SHARE / self._slowness
            for together in self._loaded_together():
                results |= iperf_together(self._system, together, slowness=self._slowness)
            failed = _errors(results)
            for entry in self._entries:
                c, result = entry.connection, results[entry.connection.id]
                if isinstance(result, IperfResult):
                    entry.iperf_mbps = result.received_mbps
                    if result.received_mbps < least * c.bandwidth_mbps:
                        failed.append(f"{c.id}: {result.received_mbps:.2f} of {c.bandwidth_mbps:g} Mbit/s reserved")
            total = sum(entry.iperf_mbps or 0.0 for entry in self._entries)
            fine = f"{total:.0f} Mbit/s in all, each at least {least:.2g} of its reservation"
            self._conclude(step, "throughput", failed, fine)

        self._step("iperf3 on every connection", "throughput", 3.0 * len(self._report.slices), measure)

    def _loaded_together(self) -> list[list[Connection]]:
        slices = [[entry.connection for entry in s.connections] for s in self._report.slices]
        return slices if self._slowness == 1 else [[c] for connections in slices for c in connections]

    def measure_rekeying(self, probers: Probers) -> None:
        def measure(step: Step) -> None:
            encrypted = [c for c in self.connections if c.is_encrypted]
            if not encrypted:
                raise MeasurementError("no encrypted connection to rekey")
            results = load_across_rekeys(self._system, probers, encrypted, self._rekeys, slowness=self._slowness)
            for entry in self._entries:
                entry.load = results.get(entry.connection.id)
            few = [f"{r.connection}: {r.rekeys}" for r in results.values() if r.rekeys < self._rekeys]
            lost = [f"{r.connection} lost {r.lost} of {r.sent}" for r in results.values() if r.lost]
            least = min(r.rekeys for r in results.values())
            sent = sum(r.sent for r in results.values())
            self._conclude(step, "rekeys under load", few, f"at least {least} on each of {len(results)} connections")
            self._conclude(step, "no loss across rekeys", lost, f"all {sent} numbered datagrams arrived, both ways")

        self._step(f"{self._rekeys} rekeys under load", "rekeys under load", 3.2 * self._rekeys + 1, measure)

    def measure_failure(self, probers: Probers) -> None:
        def measure(step: Step) -> None:
            result = cut_and_watch(
                self._system,
                probers,
                self.connections,
                lambda: provision.refresh_connections(self._system, self._requests),
                slowness=self._slowness,
                restorable=self._restorable,
            )
            self._report.failure = result
            outage = result.main.outage
            too_long = [_outage_text(result)] if outage.outage_ms >= MAX_OUTAGE_MS * self._slowness else []
            self._conclude(step, "outage", too_long, _outage_text(result))
            fine = f"{len(result.affected)} connections rerouted at their level, their keys from the same source"
            self._conclude(step, "security kept", list(result.shortcomings), fine)

        self._step("cut a channel in use", "outage", 3, measure)

    def delete(self) -> None:
        """Delete every slice that was asked for, those included whose provisioning failed half-way."""
        for name in self._asked:

            def remove(step: Step, name: str = name) -> None:
                entry = next((s for s in self._report.slices if s.name == name), None)
                if entry is None and self._system.api("GET", f"/v1/slices/{name}")[0] == 404:
                    step.detail = "it was never there"
                    return
                took_ms = provision.delete_slice(self._system, name, self._slowness)
                if entry is not None:
                    entry.deprovision_ms = took_ms
                step.detail = f"gone after {took_ms:.0f} ms"
                self._check(f"delete {name}", True, step.detail)

            self._step(f"delete {name}", f"delete {name}", 1, remove)

        def verify(step: Step) -> None:
            remains = provision.what_remains(self._system, [c.id for c in self.connections])
            self._conclude(step, "nothing remains", remains, "no slice, no reservation, no tunnel")

        self._step("see that nothing remains", "nothing remains", 1, verify)

    # How a step becomes checks

    def _step(self, title: str, check: str, expected_s: float, action: Callable[[Step], None]) -> None:
        with self._steps.step(title, expected_s) as step:
            try:
                action(step)
            except FAILURES as error:
                log.debug("%s failed", title, exc_info=True)
                step.ok = False
                step.detail = str(error) or type(error).__name__
                self._check(check, False, step.detail)

    def _check(self, name: str, ok: bool, detail: str) -> None:
        self._report.checks.append(Check(name, ok, detail))

    def _conclude(self, step: Step, name: str, complaints: Sequence[str], fine: str) -> None:
        """Add a check that holds when there are no complaints, and say it in the step's line."""
        detail = "; ".join(complaints) or fine
        self._check(name, not complaints, detail)
        if complaints:
            step.ok = False
        if complaints or not step.detail:
            step.detail = detail


def _is_stronger(connection: Connection) -> bool:
    """Whether the key source, where it is not the one asked for, is at least of a higher class."""
    given = max(SecurityClass.parse(part) for part in connection.key_source.split("+"))
    return given > connection.required_class


def _errors(results: Mapping[str, T | MeasurementError]) -> list[str]:
    return [f"{name}: {result}" for name, result in results.items() if isinstance(result, MeasurementError)]


def _leaked(connection: Connection, results: Mapping[str, MarkerResult]) -> bool:
    return connection.is_encrypted and connection.id in results and results[connection.id].is_readable


def _complaints(results: Iterable[MarkerResult]) -> list[str]:
    return [f"{r.connection}: {r.detail}" for r in results if not r.ok]


def _outage_text(result: FailureResult) -> str:
    outage = result.main.outage
    return (
        f"{outage.outage_ms:.0f} ms on {result.main.before.id} after cutting {result.cut}: "
        f"{outage.lost} of {outage.sent} echo requests lost, one every {outage.interval_ms:.2f} ms"
    )
