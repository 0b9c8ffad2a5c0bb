"""``bench provision --slices``: how the time to set up a slice grows with what is installed already.

Equal slices are put on a network, ``metro-ring`` unless told otherwise, where the orchestrator chooses the compute site
of each, until the next one does not fit. They stay while more are added; at the end they are deleted one after the
other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from scripts.bench.common import percentile, summary
from scripts.bench.provision.run import BARRIERS, MS, first_arrival
from scripts.console.progress import Progress
from scripts.measure.connection import connections_of
from scripts.measure.errors import ApiError, MeasurementError
from scripts.measure.places import Places, places_in
from scripts.measure.probes.probers import Probers
from scripts.measure.system import System

TOPOLOGY = "metro-ring"
MOST = 1000  # more than fit: what --slices without a number stands for
ENDS = 10  # slices at either end of the series that are compared
# Small enough that about a hundred fit. Keys are changed once a minute: with the usual three seconds, a hundred slices
# would keep two processors busy with nothing but keys, and the series would show that instead.
REKEY_S = 60
NOTES = (
    "equal slices of five connections, compute site chosen by the orchestrator; all stay while more are added",
    f"first_{ENDS} and last_{ENDS}: medians of the first and the last slices of the series; p50_ms is to_first_packet",
    f"keys are changed every {REKEY_S} s, so that the series shows the installed slices and not their rekeying",
)


@dataclass(frozen=True)
class Added:
    """One slice of the series. Milliseconds from its request on."""

    to_barriers_ms: float
    to_answer_ms: float
    to_first_packet_ms: float


@dataclass
class Series:
    """Slices in the order in which they were added; ``refusal`` is why the next one was not."""

    added: list[Added] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    refusal: str = ""
    refusal_ms: float | None = None
    teardown_ms: list[float] = field(default_factory=list)


def small_slice(number: int, places: Places) -> dict[str, Any]:
    """The request of the series' ``number``-th slice."""
    return {
        "name": f"fill-{number:04d}",
        "sNSSAI": {"sst": 1, "sd": f"{number:06X}"},
        "cells": list(places.cells[:2]),
        "compute": {"site": "auto", "vcpus": 1, "memory_gb": 1},
        "core": places.core(0),
        "connections": {
            "control": {"security": "dh", "bandwidth_mbps": 1, "latency_ms": 20, "rekey_s": REKEY_S},
            "access": {"security": "qra", "bandwidth_mbps": 4, "latency_ms": 10, "rekey_s": REKEY_S},
            "backhaul": {"security": "qkd", "bandwidth_mbps": 4, "latency_ms": 15, "rekey_s": REKEY_S},
        },
    }


def fill(system: System, limit: int) -> Series:
    """Add slices until one does not fit or ``limit`` are there, then take all away."""
    series, places = Series(), places_in(system.topology)
    names: list[str] = []
    with (
        Probers(system, system.topology.site_names) as probers,
        Progress("filling the network", total=limit) as progress,
    ):
        for number in range(1, limit + 1):
            request = small_slice(number, places)
            started = time.monotonic()
            status, answer = system.api("POST", "/v1/slices", request)
            took_ms = (time.monotonic() - started) * MS
            if status == 422:
                reasons = answer.get("reasons") or [{}]
                series.refusal = str(reasons[0].get("constraint") or answer.get("detail") or answer.get("title"))
                series.refusal_ms = took_ms
                break
            if status != 201:
                series.failures.append(f"{request['name']}: HTTP {status}: {answer}")
                break
            names.append(request["name"])
            try:
                arrived = first_arrival(probers, connections_of(answer, request))
            except MeasurementError as error:
                series.failures.append(str(error))
            else:
                barriers_ms = float(answer["timings_ms"][BARRIERS])
                series.added.append(Added(barriers_ms, took_ms, (arrived - started) * MS))
            progress.advance()
    with Progress("taking the slices away", total=len(names)) as progress:
        for name in names:
            started = time.monotonic()
            status, answer = system.api("DELETE", f"/v1/slices/{name}")
            if status not in (200, 204):
                raise ApiError(f"deleting slice {name}: HTTP {status}: {answer}")
            series.teardown_ms.append((time.monotonic() - started) * MS)
            progress.advance()
    return series


def figures(series: Series) -> dict[str, float]:
    """``fill.*``: how many fitted, and the first ones beside the last ones."""
    found: dict[str, float] = {"fill.slices": len(series.added), "fill.failures": len(series.failures)}
    for what in ("to_barriers_ms", "to_answer_ms", "to_first_packet_ms"):
        values = [float(getattr(one, what)) for one in series.added]
        found |= summary(f"fill.{what}", values)
        found |= _ends(f"fill.{what}.p50", values)
    found |= _ends("fill.p50_ms", [one.to_first_packet_ms for one in series.added])
    found |= summary("fill.teardown_ms", series.teardown_ms)
    if series.refusal_ms is not None:
        found["fill.refusal_ms"] = series.refusal_ms
    return found


def as_list(series: Series) -> list[dict[str, float]]:
    """Every single slice, for the results file."""
    return [asdict(one) for one in series.added]


def _ends(prefix: str, values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {
        f"{prefix}_first_{ENDS}": percentile(values[:ENDS], 0.5),
        f"{prefix}_last_{ENDS}": percentile(values[-ENDS:], 0.5),
    }
