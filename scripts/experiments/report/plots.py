"""Figures of an experiment as SVG: probes over time with the faults marked, and outages by protection class. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from scripts.experiments.report.results import Event, ProbeResult
from scripts.experiments.report.statistics import distribution
from scripts.report.html_style import LIGHT

WIDTH, LEFT, RIGHT = 1040.0, 190.0, 20.0
LANE, LANE_GAP, TOP, BOTTOM = 46.0, 12.0, 46.0, 44.0
MAX_DOTS = 1500
CLASS_DASH = {"none": "2 5", "restoration": "", "1:1": "9 4", "1+1": "14 3 2 3"}
CLASS_COLOUR = {"none": "var(--none)", "restoration": "var(--dh)", "1:1": "var(--qra)", "1+1": "var(--qkd)"}
CSS = """
.x text{font:12px system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--soft)}
.x .name{fill:var(--ink);font-weight:600}.x .grid{stroke:var(--line);fill:none}
.x .dots{stroke:var(--qra);stroke-width:2.4;stroke-linecap:round;fill:none}
.x .lost{stroke:var(--bad);stroke-width:1.4;fill:none}
.x .fault{stroke:var(--bad);stroke-dasharray:5 4;fill:none}.x .lift{stroke:var(--good);stroke-dasharray:2 4;fill:none}
.x .faulttext{fill:var(--bad);font-weight:600}.x .lifttext{fill:var(--good);font-weight:600}
.x .step{fill:none;stroke-width:2.4}
"""


def draw_timeline(probes: Sequence[ProbeResult], events: Sequence[Event], end_s: float) -> str:
    """A lane per probe: a dot per answer (higher is slower, logarithmic), a red tick per loss; faults as lines."""
    lanes = [p for p in probes if p.samples]
    height = TOP + len(lanes) * (LANE + LANE_GAP) + BOTTOM
    bottom = height - BOTTOM
    took = [s.took_ms for p in lanes for s in p.samples if s.took_ms]
    floor, ceiling = (min(took), max(took)) if took else (0.1, 10.0)
    ceiling = max(ceiling, floor * 1.01)

    def x(at: float) -> float:
        return LEFT + at / end_s * (WIDTH - LEFT - RIGHT)

    parts = [_open(height, "Probes over time; lost ones are red, faults are dashed lines")]
    for tick in _ticks(end_s):
        parts.append(f'<path class="grid" d="M{x(tick):.1f} {TOP:g}V{bottom:.1f}"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT:g}" y="{bottom + 36:.1f}" text-anchor="end">seconds</text>')
    parts.append(f'<text x="{LEFT:g}" y="{bottom + 36:.1f}">each lane: {floor:.2g} to {ceiling:.3g} ms</text>')
    for n, probe in enumerate(lanes):
        low = TOP + n * (LANE + LANE_GAP) + LANE
        dots, lost = [], []
        thin = max(1, len(probe.samples) // MAX_DOTS)
        for k, sample in enumerate(probe.samples):
            if sample.took_ms is None:
                lost.append(f"M{x(sample.at_s):.1f} {low:.1f}v-9")
            elif k % thin == 0:
                share = math.log(max(sample.took_ms, floor) / floor) / math.log(ceiling / floor)
                dots.append(f"M{x(sample.at_s):.1f} {low - 10 - share * (LANE - 12):.1f}h0")
        parts.append(f'<path class="grid" d="M{LEFT:g} {low:.1f}H{WIDTH - RIGHT:g}"/>')
        parts.append(f'<text class="name" x="8" y="{low - 22:.1f}">{escape(probe.connection)}</text>')
        summary = f"{probe.kind}, {probe.protection}, lost {probe.lost} of {probe.sent}"
        parts.append(f'<text x="8" y="{low - 7:.1f}">{escape(summary)}</text>')
        parts.append(f'<path class="dots" d="{"".join(dots)}"/>' if dots else "")
        parts.append(f'<path class="lost" d="{"".join(lost)}"/>' if lost else "")
    last_x, row = -math.inf, 0
    for event in events:
        kind, at = ("fault" if event.is_fault else "lift"), x(event.at_s)
        row = (row + 1) % 3 if at - last_x < 170 else 0
        last_x = at
        parts.append(f'<path class="{kind}" d="M{at:.1f} {TOP - 6:g}V{bottom:.1f}"/>')
        anchor = "end" if at > WIDTH - 200 else "start"
        parts.append(
            f'<text class="{kind}text" x="{at:.1f}" y="{12 + 13 * row}" text-anchor="{anchor}">'
            f"{escape(event.label)}</text>"
        )
    parts.append("</svg>")
    return "".join(parts)


def draw_distribution(outages: Mapping[str, Sequence[float]]) -> str:
    """The share of outages that were at most so long, by protection class; the axis is logarithmic from 1 ms."""
    height, top, bottom, left = 300.0, 20.0, 250.0, 64.0
    longest = max((v for values in outages.values() for v in values), default=1.0)
    ceiling = 10.0 ** max(1, math.ceil(math.log10(max(longest, 1.0) * 1.01)))

    def x(value: float) -> float:
        return left + math.log(max(value, 1.0)) / math.log(ceiling) * (WIDTH - left - 200)

    def y(share: float) -> float:
        return bottom - share * (bottom - top)

    parts = [_open(height, "Distribution of outages by protection class")]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<path class="grid" d="M{left:g} {y(share):.1f}H{x(ceiling):.1f}"/>')
        parts.append(f'<text x="{left - 8:g}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for decade in range(round(math.log10(ceiling)) + 1):
        value = 10.0**decade
        parts.append(f'<path class="grid" d="M{x(value):.1f} {top:g}V{bottom:g}"/>')
        text = "none, or up to 1" if decade == 0 else f"{value:g}"
        parts.append(f'<text x="{x(value):.1f}" y="{bottom + 18:g}" text-anchor="middle">{text}</text>')
    parts.append(f'<text x="{x(ceiling):.1f}" y="{bottom + 38:g}" text-anchor="end">outage in ms</text>')
    for n, (name, values) in enumerate(sorted(outages.items())):
        colour, dash = CLASS_COLOUR.get(name, "var(--ink)"), CLASS_DASH.get(name, "")
        style = f'style="stroke:{colour};stroke-dasharray:{dash or "none"}"'
        if values:
            path, before = f"M{left:g} {y(0):.1f}", 0.0
            for value, share in distribution(values):
                path += f"L{x(value):.1f} {y(before):.1f}L{x(value):.1f} {y(share):.1f}"
                before = share
            parts.append(f'<path class="step" {style} d="{path}H{x(ceiling):.1f}"/>')
        at = top + 14 + 22 * n
        parts.append(f'<path class="step" {style} d="M{WIDTH - 180:g} {at - 4:.1f}h36"/>')
        parts.append(f'<text class="name" x="{WIDTH - 138:g}" y="{at:.1f}">{escape(name)} ({len(values)})</text>')
    parts.append("</svg>")
    return "".join(parts)


def as_file(svg: str) -> str:
    """A figure that stands alone: with its own colours and its own card."""
    style = "svg{" + LIGHT.replace("\n", "") + ";background:var(--card)}" + CSS
    head, rest = svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{escape(style, quote=False)}</style>{rest}\n'


def _open(height: float, title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" class="x"><title>{escape(title)}</title>'


def _ticks(end: float) -> list[float]:
    rough = max(end / 10, 1e-3)
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * s for s in (1, 2, 5, 10) if scale * s >= rough)
    return [n * step for n in range(math.floor(end / step) + 1)]
