"""The results of an experiment: values, the JSON of the contract, and CSV. Pure but for :func:`write_results`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from scripts.experiments.report.statistics import Phase, Sample, percentile
from scripts.files.results import write_result
from scripts.report.provenance import Provenance
from topologies.spec import Topology


@dataclass(frozen=True)
class Event:
    """One action as it was carried out: when it was planned and when it was done, seconds from the start."""

    planned_s: float
    at_s: float
    action: str
    target: str
    is_fault: bool
    note: str

    @property
    def label(self) -> str:
        return f"{self.action} {self.target}".strip()


@dataclass
class ProbeResult:
    """One probe of one connection in one repetition."""

    connection: str
    kind: str
    protection: str
    required: str
    hit: bool
    samples: tuple[Sample, ...] = field(default=(), repr=False)
    phases: tuple[Phase, ...] = ()
    mbps: float | None = None
    error: str = ""

    @property
    def sent(self) -> int:
        return len(self.samples)

    @property
    def lost(self) -> int:
        return sum(s.took_ms is None for s in self.samples)

    def to_dict(self) -> dict[str, Any]:
        took = [s.took_ms for s in self.samples if s.took_ms is not None]
        return {
            "connection": self.connection, "probe": self.kind, "protection": self.protection,
            "required": self.required, "hit": self.hit, "sent": self.sent, "lost": self.lost,
            "latency_ms": {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99)},
            "outage_ms": max((p.outage_ms for p in self.phases), default=0.0),
            "phases": [asdict(p) for p in self.phases], "mbps": self.mbps, "error": self.error,
        }  # fmt: skip


@dataclass
class Picture:
    """What a drawing of the network shows: the channels in use by whom, and those that carry nothing."""

    used: dict[str, list[str]]
    broken: list[str]


@dataclass
class Repetition:
    """One run of the timeline."""

    number: int
    complete: bool = False
    events: list[Event] = field(default_factory=list)
    probes: list[ProbeResult] = field(default_factory=list)
    connections: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)
    recovered_s: float | None = None
    findings: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    arm: str = ""
    """Whose turn it was where several are compared."""
    round: int = 0
    """The same of every arm: the same random choices."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Answers of extensions that were not used, by code."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Figures of extensions, by name."""

    @property
    def moves(self) -> int:
        """How many times connections were seen on another path than before."""
        paths = [[state["path"] for state in c["states"] if state["path"]] for c in self.connections]
        return sum(a != b for each in paths for a, b in pairwise(each))

    def to_dict(self) -> dict[str, Any]:
        return {
            "repetition": self.number, "arm": self.arm, "round": self.round, "complete": self.complete,
            "recovered_s": self.recovered_s, "refusals": self.refusals, "metrics": self.metrics,
            "faults": [asdict(e) for e in self.events], "connections": self.connections,
            "probes": [p.to_dict() for p in self.probes], "findings": self.findings,
        }  # fmt: skip


@dataclass
class ExperimentResult:
    """All repetitions so far."""

    name: str
    title: str
    look_for: str
    seed: int
    repetitions: int
    topology: Topology
    duration_s: float
    provenance: Provenance
    notes: list[str] = field(default_factory=list)
    results: list[Repetition] = field(default_factory=list)
    arms: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)  # of the metrics

    @property
    def violations(self) -> list[dict[str, Any]]:
        return [{"repetition": r.number, "what": v} for r in self.results for v in r.violations]

    def to_dict(self) -> dict[str, Any]:
        return {
            "experiment": self.name, "seed": self.seed, "repetitions": self.repetitions,
            "topology": self.topology.name, "provenance": self.provenance.to_dict(), "notes": self.notes,
            "arms": {arm: self.arm(arm) for arm in self.arms}, "units": self.units,
            "results": [r.to_dict() for r in self.results], "violations": self.violations,
        }  # fmt: skip

    def arm(self, name: str) -> dict[str, float | None]:
        """What came of one arm, over all its repetitions."""
        mine = [r for r in self.results if r.arm == name]
        outages = [ms for values in self.outages_by_class(name).values() for ms in values]
        recovered = [r.recovered_s for r in mine if r.recovered_s is not None]
        figures: dict[str, float | None] = {
            "repetitions": len(mine),
            "sent": sum(p.sent for r in mine for p in r.probes),
            "lost": sum(p.lost for r in mine for p in r.probes),
            "outage_ms_p50": percentile(outages, 0.5),
            "outage_ms_max": max(outages, default=None),
            "recovered_s_p50": percentile(recovered, 0.5),
            "moves": sum(r.moves for r in mine),
            "refusals": sum(sum(r.refusals.values()) for r in mine),
            "violations": sum(len(r.violations) for r in mine),
        }
        for metric in self.units:
            figures[metric] = percentile([r.metrics[metric] for r in mine if metric in r.metrics], 0.5)
        return figures

    def outages_by_class(self, arm: str | None = None) -> dict[str, list[float]]:
        """Outages in ms by protection class: one for each probe of a hit connection and fault; of one arm, or all."""
        found: dict[str, list[float]] = {}
        for repetition in self.results:
            if arm not in (None, repetition.arm):
                continue
            faults = {e.label for e in repetition.events if e.is_fault}
            for probe in repetition.probes:
                if probe.hit:
                    outages = [p.outage_ms for p in probe.phases if p.after in faults]
                    found.setdefault(probe.protection, []).extend(outages)
        return found


def samples_csv(result: ExperimentResult) -> str:
    """Every probe: when it left and how long it took; an empty time is a loss."""
    rows = [
        (r.number, p.connection, p.kind, f"{s.at_s:.6f}", "" if s.took_ms is None else f"{s.took_ms:.4f}", r.arm)
        for r in result.results
        for p in r.probes
        for s in p.samples
    ]
    return _csv(("repetition", "connection", "probe", "at_s", "took_ms", "arm"), rows)


def phases_csv(result: ExperimentResult) -> str:
    """Every phase of every probe."""
    rows = [
        (r.number, p.connection, p.kind, p.protection, p.required, int(p.hit), x.after, f"{x.from_s:.3f}",
         f"{x.to_s:.3f}", x.sent, x.lost, f"{x.outage_ms:.1f}", r.arm)
        for r in result.results for p in r.probes for x in p.phases
    ]  # fmt: skip
    names = ("repetition", "connection", "probe", "protection", "required", "hit", "after", "from_s", "to_s", "sent")
    return _csv((*names, "lost", "outage_ms", "arm"), rows)


def write_results(result: ExperimentResult, folder: Path, pictures: dict[str, str], page: str) -> None:
    """Everything there is so far; files are replaced whole, so that an interruption leaves the last state."""
    files = {
        "results.json": json.dumps(result.to_dict(), indent=1) + "\n",
        "samples.csv": samples_csv(result),
        "phases.csv": phases_csv(result),
        "report.html": page,
        **{f"{name}.svg": text for name, text in pictures.items()},
    }
    for name, text in files.items():
        write_result(folder / name, text)


def _csv(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()
