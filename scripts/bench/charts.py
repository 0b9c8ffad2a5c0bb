"""The benchmarks' pictures, as PNG. The only file that imports Matplotlib: it is slow to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.bench.common import percentile
from scripts.bench.provision.fill import Series
from scripts.bench.provision.run import Case
from scripts.bench.qkd.run import RatePoint
from scripts.files.results import new_file

# Okabe and Ito: distinct under colour blindness. Overlapping bars also differ in their hatching.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
BINS = 30
DPI = 150
ROOM_FOR_LEGEND = 1.3
USE_CASES = {"enterprise-app": "Use case 1 (enterprise-app)", "cdn": "Use case 2 (cdn)"}
CONTEXT = (
    "In the form of paper 002, Fig. 6, where each takes 1 to 2 minutes. That is no race: theirs are real optical and "
    "Ethernet switches,\nconfigured one after the other through NETCONF; these are software switches on one machine, "
    "configured in parallel through OpenFlow."
)

mpl.use("Agg")
mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True})


def draw_histograms(cases: Sequence[Case], path: Path) -> None:
    """Paper 002, Fig. 6: for each use case the times of set-up (left) and of tear-down (right)."""
    figure = Figure(figsize=(10, 3.4 * len(cases) + 0.7), layout="constrained")
    panels = figure.subplots(len(cases), 2, squeeze=False)
    letters = iter("abcdefgh")
    for (left, right), case in zip(panels, cases, strict=True):
        title = USE_CASES.get(case.name, case.name)
        _histogram(
            left,
            f"{next(letters)}) {title}: provision, {len(case.runs)} runs",
            [
                ("to all barriers", case.values("to_barriers_ms"), BLUE, ""),
                ("to first packet on every connection", case.values("to_first_packet_ms"), ORANGE, "///"),
            ],
        )
        _histogram(
            right,
            f"{next(letters)}) {title}: deprovision, {len(case.runs)} runs",
            [("to the answer", case.values("teardown_ms"), GREEN, "")],
        )
    figure.supxlabel(CONTEXT, fontsize=8)
    _save(figure, path)


def draw_fill(series: Series, path: Path) -> None:
    """The time to set up each slice over the number of slices that were there already."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    for label, values, colour, mark in (
        ("to first packet on every connection", [one.to_first_packet_ms for one in series.added], ORANGE, "x"),
        ("to all barriers", [one.to_barriers_ms for one in series.added], BLUE, "o"),
    ):
        axes.scatter(range(len(values)), values, s=14, color=colour, marker=mark, label=label)
    axes.set_title("metro-ring, filled with equal slices of five connections each", loc="left")
    axes.set_xlabel("slices installed already")
    axes.set_ylabel("ms from the request")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    _save(figure, path)


def draw_bars(panels: Mapping[str, Mapping[str, Sequence[float]]], unit: str, path: Path) -> None:
    """One panel for each title: a bar for each name, its median, and a line from the least to the greatest value."""
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.2 * columns, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (title, bars) in zip(grid.flat, panels.items(), strict=False):
        medians = {name: percentile(values, 0.5) for name, values in bars.items()}
        places = range(len(bars))
        colours = [ORANGE if name == "ours" else BLUE for name in bars]
        axes.barh(places, list(medians.values()), color=colours, height=0.6)
        for place, values in zip(places, bars.values(), strict=True):
            axes.plot([min(values), max(values)], [place, place], color="black", linewidth=1.5, marker="|")
        for place, (name, values) in zip(places, bars.items(), strict=True):
            axes.text(max(values), place, f"  {medians[name]:.2f}", va="center")
        axes.set_yticks(places, [name.replace("_", " ") for name in bars])
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        axes.set_xlim(0, 1.2 * max((max(values) for values in bars.values()), default=1.0))
        axes.set_title(title, loc="left")
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    _save(figure, path)


def draw_rates(points: Sequence[RatePoint], path: Path) -> None:
    """Secret bits per second and error rate over distance: lines are theory, marks the full simulation."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    km = [point.km for point in points]
    for label, values, colour, style in (
        ("infinitely many decoys and pulses", [p.infinite_decoy_bps for p in points], GREEN, ":"),
        ("vacuum and weak decoy, infinitely many pulses", [p.vacuum_weak_bps for p in points], BLUE, "--"),
        ("finite blocks (Lim et al. 2014)", [p.finite_bps for p in points], ORANGE, "-"),
    ):
        shown = [(x, y) for x, y in zip(km, values, strict=True) if y > 0]
        left.plot(*zip(*shown, strict=True), color=colour, linestyle=style, label=label)
    simulated = [(p.km, p.simulated_bps) for p in points if p.simulated_bps > 0]
    left.plot(*zip(*simulated, strict=True), "kx", label="simulated and distilled")
    left.set_yscale("log")
    left.set_ylabel("secret bit/s")
    left.set_title("a section of default parameters", loc="left")
    right.plot(km, [100 * p.expected_qber for p in points], color=ORANGE, label="theory")
    right.plot(km, [100 * p.measured_qber for p in points], "kx", label="simulated")
    right.set_ylabel("error rate of signals, %")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xlabel("km of fibre, 0.2 dB/km")
        axes.grid(visible=True, alpha=0.3)
        axes.legend(frameon=False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with new_file(path) as new:
        figure.savefig(new, dpi=DPI)


def _histogram(axes: Axes, title: str, series: Sequence[tuple[str, Sequence[float], str, str]]) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel("ms")
    axes.set_ylabel("runs")
    axes.grid(visible=True, axis="y", alpha=0.3)
    top = max((max(values) for _, values, _, _ in series if values), default=1.0)
    for label, values, colour, hatch in series:
        if not values:
            continue
        median = percentile(values, 0.5)
        axes.hist(
            values, bins=BINS, range=(0, top * 1.02), color=colour, hatch=hatch, edgecolor="white", linewidth=0.4,
            alpha=0.85, label=f"{label}: median {median:.1f} ms",
        )  # fmt: skip
        axes.axvline(median, ymax=1 / ROOM_FOR_LEGEND, color=colour, linestyle="--", linewidth=1)
    axes.set_xlim(left=0)
    axes.set_ylim(top=axes.get_ylim()[1] * ROOM_FOR_LEGEND)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="upper right")
