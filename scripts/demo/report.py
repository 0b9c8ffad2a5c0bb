"""The demo's report: what was measured and which checks held, as plain values and as ``report.json``.

The field names are a contract that other people's scripts rely on; fields may be added, not renamed. A value that
could not be measured is null, and a check says why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.demo.page import render
from scripts.files.results import make_results_folder, write_result
from scripts.measure.capture.plaintext_search import MarkerResult
from scripts.measure.connection import Connection
from scripts.measure.link_cut import Affected, FailureResult
from scripts.measure.probes.isolation import IsolationResult
from scripts.measure.programs.ping import PingResult
from scripts.measure.rekey_load import LoadResult
from scripts.report.provenance import Provenance
from topologies.spec import Topology


@dataclass(frozen=True)
class Check:
    """One thing that had to hold, and the figures that say whether it did."""

    name: str
    ok: bool
    detail: str


@dataclass
class ConnectionReport:
    """What was measured of one connection; None until it was."""

    connection: Connection
    ping: PingResult | None = None
    iperf_mbps: float | None = None
    marker: MarkerResult | None = None
    load: LoadResult | None = None

    def to_dict(self) -> dict[str, Any]:
        c, ping, marker, load = self.connection, self.ping, self.marker, self.load
        return {
            "name": c.name,
            "src": c.src,
            "dst": c.dst,
            "src_address": c.src_address,
            "dst_address": c.dst_address,
            "required": c.required,
            "key_source": c.key_source,
            "path": list(c.path),
            "reserved_mbps": c.bandwidth_mbps,
            "ping_loss_pct": ping.loss_pct if ping else None,
            "rtt_ms": ping.avg_ms if ping else None,
            "rtt_max_ms": ping.max_ms if ping else None,
            "iperf_mbps": _rounded(self.iperf_mbps, 3),
            "ciphertext_only": marker.ciphertext_only if marker else None,
            "marker": _marker(marker),
            "rekeys": load.rekeys if load else None,
            "rekey_loss": load.lost if load else None,
            "rekey_sent": load.sent if load else None,
        }


@dataclass
class SliceReport:
    """One slice: its times and its connections. ``timings_ms`` is what the controller says of its own steps."""

    name: str
    provision_ms: float | None = None
    first_packet_ms: float | None = None
    deprovision_ms: float | None = None
    timings_ms: dict[str, Any] = field(default_factory=dict)
    connections: list[ConnectionReport] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "provision_ms": _rounded(self.provision_ms),
            "first_packet_ms": _rounded(self.first_packet_ms),
            "deprovision_ms": _rounded(self.deprovision_ms),
            "timings_ms": self.timings_ms,
            "connections": [c.to_dict() for c in self.connections],
        }


@dataclass
class Report:
    """The whole run."""

    topology: Topology
    datapath: str
    provenance: Provenance
    setup_s: float = 0.0
    total_s: float = 0.0
    slowness: float = 1.0
    slices: list[SliceReport] = field(default_factory=list)
    isolation: IsolationResult | None = None
    failure: FailureResult | None = None
    checks: list[Check] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # what this network cannot show, and why

    @property
    def ok(self) -> bool:
        """Every check held, and there was something to check."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "datapath": self.datapath,
            "topology": self.topology.name,
            "setup_s": round(self.setup_s, 2),
            "total_s": round(self.total_s, 2),
            "slowness": self.slowness,
            "remarks": self.remarks,
            "slices": [s.to_dict() for s in self.slices],
            "isolation": _isolation(self.isolation),
            "failure": _failure(self.failure),
            "checks": [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in self.checks],
            "provenance": self.provenance.to_dict(),
            "network": self.topology.to_dict(),
        }


def write_report(report: Report, directory: Path) -> tuple[Path, Path]:
    """Write ``report.json`` and ``report.html``; each appears whole or not at all."""
    make_results_folder("--report", directory)
    document = report.to_dict()
    as_json, as_html = directory / "report.json", directory / "report.html"
    write_result(as_json, json.dumps(document, indent=1) + "\n")
    write_result(as_html, render(document))
    return as_json, as_html


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)


def _marker(result: MarkerResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        "ok": result.ok,
        "sent": result.sent,
        "delivered": result.delivered,
        "detail": result.detail,
        "channels": [
            {"channel": s.channel, "frames": s.frames_seen, "with_marker": s.marker_frames} for s in result.sightings
        ],
        "sample": next((s.sample.hex() for s in result.sightings if s.sample), ""),
    }


def _isolation(result: IsolationResult | None) -> dict[str, Any]:
    if result is None:
        return {"pairs": 0, "reachable": None}
    return {
        "pairs": result.pairs,
        "reachable": result.reachable,
        "attempts": result.attempts,
        "control_pairs": result.control_pairs,
        "control_reachable": result.control_reachable,
        "leaks": list(result.leaks),
    }


def _failure(result: FailureResult | None) -> dict[str, Any]:
    if result is None:
        return {
            "cut": None,
            "connection": None,
            "outage_ms": None,
            "path_before": [],
            "path_after": [],
            "security_kept": None,
        }
    main, outage = result.main, result.main.outage
    return {
        "cut": result.cut,
        "connection": main.before.id,
        "outage_ms": _rounded(outage.outage_ms),
        "path_before": list(main.before.path),
        "path_after": list(main.after.path),
        "security_kept": result.security_kept,
        "lost_packets": outage.lost,
        "sent_packets": outage.sent,
        "interval_ms": _rounded(outage.interval_ms, 4),
        "lost_ms": _rounded(outage.lost_ms),
        "silence_ms": _rounded(outage.silence_ms),
        "affected": [_affected(a) for a in result.affected],
        "samples": {
            "at_ms": [round(s.at_ms, 2) for s in outage.samples],
            "rtt_ms": [_rounded(s.rtt_ms, 3) for s in outage.samples],
        },
    }


def _affected(affected: Affected) -> dict[str, Any]:
    return {
        "connection": affected.before.id,
        "required": affected.before.required,
        "path_before": list(affected.before.path),
        "path_after": list(affected.after.path),
        "key_source_before": affected.key_source_before,
        "key_source_after": affected.key_source_after,
        "outage_ms": _rounded(affected.outage.outage_ms),
        "interval_ms": _rounded(affected.outage.interval_ms, 4),
    }
