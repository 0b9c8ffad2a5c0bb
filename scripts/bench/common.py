"""What every benchmark shares: the report's shape (contracts: "Benchmarks"), percentiles, a bar that says how long."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.files.results import write_result
from scripts.setup.machine import describe_machine, describe_versions

SPREAD = ("p50", "p90", "p99", "min", "max")


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the least value that at least ``share`` (0 to 1) of all do not exceed."""
    if not values:
        raise ValueError("no values")
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], not {share}")
    # What binary fractions add to 0.07 * 100 must not cost a rank.
    rank = math.ceil(round(share * len(values), 9))
    return sorted(values)[max(rank, 1) - 1]


def summary(prefix: str, values: Sequence[float]) -> dict[str, float]:
    """``PREFIX.p50``, ``.p90``, ``.p99``, ``.min`` and ``.max``; nothing when there are no values."""
    if not values:
        return {}
    figures = {f"{prefix}.p{int(100 * share)}": percentile(values, share) for share in (0.5, 0.9, 0.99)}
    return {**figures, f"{prefix}.min": min(values), f"{prefix}.max": max(values)}


def report(
    name: str, figures: Mapping[str, float], notes: Sequence[str], distributions: Iterable[str] = ()
) -> dict[str, Any]:
    """The document that ``bench NAME --json`` prints; ``distributions`` are packages whose version matters too."""
    versions = describe_versions()
    for distribution in distributions:
        try:
            versions[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}
    return {
        "bench": name,
        "machine": describe_machine(),
        "versions": versions,
        "figures": rounded,
        "notes": list(notes),
    }


def table(figures: Mapping[str, float]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns and rows for a person: the spread of one figure (``NAME.p50`` and so on) in one row."""
    rows: dict[str, dict[str, float]] = {}
    for name, value in figures.items():
        stem, _, last = name.rpartition(".")
        if last in SPREAD and stem:
            rows.setdefault(stem, {})[last] = value
        else:
            rows[name] = {"value": value}
    columns = [column for column in ("value", *SPREAD) if any(column in row for row in rows.values())]
    return ("figure", *columns), [(name, *(row.get(column) for column in columns)) for name, row in rows.items()]


def load_note() -> str:
    """How busy the machine is: figures of a loaded machine say little, and a reader must see it."""
    return f"load average before the measurement {os.getloadavg()[0]:.2f} on {len(os.sched_getaffinity(0))} processors"


def write_json(path: Path, document: Any) -> None:
    """A file that programs and people read."""
    write_result(path, json.dumps(document, indent=2) + "\n")
