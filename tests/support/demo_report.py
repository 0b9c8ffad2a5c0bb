"""A report as a full run on ukqntel would leave it, with made-up figures; deterministic."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

from scripts.demo.report import Check, ConnectionReport, Report, SliceReport
from scripts.measure.capture.plaintext_search import ChannelSighting, MarkerResult
from scripts.measure.connection import Connection
from scripts.measure.link_cut import Affected, FailureResult
from scripts.measure.probes.isolation import IsolationResult
from scripts.measure.probes.outage import measure_outage
from scripts.measure.programs.ping import PingResult
from scripts.measure.rekey_load import LoadResult
from tests.support.origin import ORIGIN
from topologies.catalog import ukqntel

CHANNEL_OF = {"none": "ch1", "dh": "ch2", "qra": "ch3", "qkd": "ch4"}
ROUTE = ("cell1", "agg1", "metro1", "core1")
CUT_AT = 100.0


def example_connections() -> list[Connection]:
    made: list[Connection] = []

    def add(slice_name: str, name: str, src: str, dst: str, level: str, mbps: float) -> None:
        inner = ROUTE[ROUTE.index("agg1" if src.startswith("cell") else src) :]
        route = [src, *inner] if src.startswith("cell") else list(inner)
        route = route[: route.index(dst) + 1]
        path = tuple(f"{a}-{b}-{CHANNEL_OF[level]}" for a, b in itertools.pairwise(route))
        k = 2 * len(made)
        made.append(
            Connection(slice_name, name, src, dst, f"10.200.0.{k}", f"10.200.0.{k + 1}", level, level, path, mbps)
        )

    for slice_name, compute, access in (("enterprise-app", "metro1", "qra"), ("cdn", "agg1", "none")):
        for cell in ("cell1", "cell2"):
            add(slice_name, f"{cell}-control", cell, "core1", "dh", 1)
            add(slice_name, f"{cell}-compute", cell, compute, access, 10)
        add(slice_name, "compute-core", compute, "core1", "qkd", 20)
    return made


def example_report(ok: bool = True, measured: bool = True) -> Report:
    """``ok`` False adds a failed check; ``measured`` False leaves everything but the provisioning out."""
    rng = random.Random(7)
    topology = ukqntel()
    connections = example_connections()
    report = Report(topology, "netdev", ORIGIN, setup_s=9.41, total_s=58.2)
    for name in ("enterprise-app", "cdn"):
        entry = SliceReport(name, 412.0, 431.5, 120.25)
        entry.connections = [ConnectionReport(c) for c in connections if c.slice == name]
        report.slices.append(entry)
    report.checks = [Check("provision enterprise-app", True, "5 connections"), Check("ping", True, "250 echo requests")]
    if not ok:
        report.checks.append(Check("isolation", False, "cell1/10.200.0.0 to core1/10.200.0.11 <as routed> & more"))
    if not measured:
        return report
    for measured_one in (e for s in report.slices for e in s.connections):
        c = measured_one.connection
        measured_one.ping = PingResult(25, 25, 0.8, 1.2 + rng.random(), 4.0)
        measured_one.iperf_mbps = c.bandwidth_mbps * (0.8 + 0.15 * rng.random())
        marker = b"\x90\x15\x18\xfd\x8d\xa0\xff\x93\0\0\0\x04" + b"QSLICE-PLAINTEXT-9f39c7f3df058148-" * 4
        sample = rng.randbytes(96) if c.is_encrypted else marker[:96]
        sightings = tuple(ChannelSighting(ch, 20, 0 if c.is_encrypted else 20, sample) for ch in c.path)
        measured_one.marker = MarkerResult(c.id, 20, 20, sightings, c.is_encrypted, True, "as it should be")
        if c.is_encrypted:
            measured_one.load = LoadResult(c.id, 5, 6200, 0, 0, 200)
    report.isolation = IsolationResult(294, 0, 20, 20, 882)
    report.failure = example_failure(connections, rng)
    return report


def example_failure(connections: list[Connection], rng: random.Random) -> FailureResult:
    main = next(c for c in connections if c.id == "cdn/compute-core")
    cut = "metro1-core1-ch4"
    other = next(c for c in connections if c.id == "enterprise-app/compute-core")

    def affected(c: Connection, interval_s: float) -> Affected:
        after = replace(c, path=tuple(ch.replace("core1-ch4", "core1-ch5") for ch in c.path))
        sent = [CUT_AT - 0.6 + n * interval_s for n in range(int(1.6 / interval_s))]
        rtt = {n: 0.0009 + rng.expovariate(2500) for n in range(len(sent))}
        replies = {n: at + rtt[n] for n, at in enumerate(sent) if not CUT_AT <= at < CUT_AT + 0.0434}
        return Affected(c, after, "qkd", "qkd", measure_outage(sent, replies, CUT_AT))

    hit = (affected(main, 0.001), affected(other, 0.01))
    return FailureResult(cut, hit[0], hit, ())
