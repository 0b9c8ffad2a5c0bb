"""The outage as inline SVG: round-trip time of every echo request around the cut, lost ones marked. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 1040.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 34.0, 66.0
BEFORE_MS, AFTER_MS = 200.0, 400.0
STEPS = (1.0, 2.0, 5.0)


def draw_outage(at_ms: Sequence[float], rtt_ms: Sequence[float | None], outage_ms: float) -> str:
    """One ``<svg>`` element; times are relative to the cut, a lost request has no round-trip time."""
    lost = [at for at, rtt in zip(at_ms, rtt_ms, strict=True) if rtt is None]
    low = max(min(at_ms), min([-BEFORE_MS, *(t - 50 for t in lost)]))
    high = min(max(at_ms), max([AFTER_MS, *(t + 200 for t in lost)]))
    shown = [(at, rtt) for at, rtt in zip(at_ms, rtt_ms, strict=True) if low <= at <= high and rtt]
    floor, ceiling = _decade_bounds([rtt for _, rtt in shown])

    def x(at: float) -> float:
        return LEFT + (at - low) / ((high - low) or 1) * (WIDTH - LEFT - RIGHT)

    def y(rtt: float) -> float:
        share = math.log(max(rtt, floor) / floor) / math.log(ceiling / floor)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    bottom = HEIGHT - BOTTOM
    parts = [f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" class="plot">']
    parts.append("<title>Round-trip time of each echo request around the cut; lost requests are marked</title>")
    if lost:
        left, right = x(min(lost)), max(x(max(lost)), x(min(lost)) + 1)
        parts.append(
            f'<rect class="out" x="{left:.1f}" y="{TOP:g}" width="{right - left:.1f}" height="{bottom - TOP:.1f}"/>'
        )
    for tick in _log_ticks(floor, ceiling):
        parts.append(f'<path class="grid" d="M{LEFT:g} {y(tick):.1f}H{WIDTH - RIGHT:g}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 8:g}" y="{y(tick) + 4:.1f}">{tick:g}</text>')
    for tick in _ticks(low, high):
        parts.append(f'<path class="grid" d="M{x(tick):.1f} {bottom:.1f}v5"/>')
        parts.append(f'<text class="tick mid" x="{x(tick):.1f}" y="{HEIGHT - 26:g}">{tick:g}</text>')
    parts.append(f'<path class="axis" d="M{LEFT:g} {bottom:.1f}H{WIDTH - RIGHT:g}"/>')
    dots = "".join(f"M{x(at):.1f} {y(rtt):.1f}h0" for at, rtt in shown)
    parts.append(f'<path class="dots" d="{dots}"/>' if dots else "")
    ticks = "".join(f"M{x(at):.1f} {bottom + 8:.1f}v10" for at in lost if low <= at <= high)
    parts.append(f'<path class="lost" d="{ticks}"/>' if ticks else "")
    parts.append(f'<path class="cutline" d="M{x(0):.1f} {TOP - 8:g}V{bottom + 20:.1f}"/>')
    parts.append(
        f'<text class="cuttext" x="{x(0) + 6:.1f}" y="{TOP - 10:g}">channel cut, out for {outage_ms:.0f} ms</text>'
    )
    parts.append(f'<text class="tick" x="{LEFT:g}" y="14">round-trip time in ms (logarithmic)</text>')
    parts.append(f'<text class="tick end" x="{WIDTH - RIGHT:g}" y="{HEIGHT - 8:g}">ms after the cut</text>')
    if lost:
        parts.append(f'<text class="losttext" x="{LEFT - 8:g}" y="{bottom + 17:.1f}">lost</text>')
    parts.append("</svg>")
    return "".join(parts)


def _decade_bounds(values: Sequence[float]) -> tuple[float, float]:
    """The tightest 1-2-5 steps around the values, so that a logarithmic axis ends on round figures."""
    low, high = (min(values), max(values)) if values else (0.1, 10.0)
    floor = max(t for t in _log_ticks(low / 10, low) if t <= low) if low > 0 else 0.1
    ceiling = min(t for t in _log_ticks(high, high * 10) if t >= high)
    return floor, ceiling if ceiling > floor else floor * 10


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    ticks = (round(step * 10.0**decade, 9) for decade in decades for step in STEPS)
    return [t for t in ticks if low * 0.999 <= t <= high * 1.001]


def _ticks(low: float, high: float) -> list[float]:
    """Round figures, six to twelve of them."""
    rough = (high - low) / 8 or 1.0
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * s for s in (*STEPS, 10.0) if scale * s >= rough)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
