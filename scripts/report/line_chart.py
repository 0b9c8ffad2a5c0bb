"""Lines over time as an SVG that stands by itself: one for each name, with its name at its end. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle

WIDTH, HEIGHT = 960.0, 480.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 190.0, 40.0, 48.0
_COLOURS = (
    "#1f77b4",
    "#d62728",
    "#2ca02c",
    "#9467bd",
    "#ff7f0e",
    "#17becf",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
)
_LINE_PX = 14.0
_TICKS = 6

Points = Sequence[tuple[float, float]]


def draw_lines(title: str, x_name: str, y_name: str, lines: Mapping[str, Points], limit: float | None = None) -> str:
    """``limit``: a dashed line across, which none shall be above."""
    points = [point for line in lines.values() for point in line]
    right = max((x for x, _ in points), default=1.0) or 1.0
    heights = [y for _, y in points] + ([] if limit is None else [limit])
    low, high = min(heights, default=0.0), max(heights, default=1.0)
    margin = (high - low) * 0.06 or 1.0
    low, high = low - margin, high + margin

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + x / right * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
        'font-family="system-ui,DejaVu Sans,sans-serif" font-size="12">',
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT:g}" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for n in range(_TICKS + 1):
        x, y = right * n / _TICKS, low + (high - low) * n / _TICKS
        (across, _), (_, down) = place(x, low), place(0, y)
        grid = f"M{across:.1f} {TOP:g}V{HEIGHT - BOTTOM:g}M{LEFT:g} {down:.1f}H{WIDTH - RIGHT:g}"
        parts += [
            f'<path d="{grid}" stroke="#ddd"/>',
            f'<text x="{across:.1f}" y="{HEIGHT - BOTTOM + 16:g}" text-anchor="middle">{x:.3g}</text>',
            f'<text x="{LEFT - 8:g}" y="{down + 4:.1f}" text-anchor="end">{y:.4g}</text>',
        ]
    parts += [
        f'<text x="{WIDTH - RIGHT:g}" y="{HEIGHT - 10:g}" text-anchor="end">{escape(x_name)}</text>',
        f'<text x="8" y="{TOP - 6:g}">{escape(y_name)}</text>',
    ]
    if limit is not None:
        at = place(0, limit)[1]
        parts.append(f'<path d="M{LEFT:g} {at:.1f}H{WIDTH - RIGHT:g}" stroke="#b00" stroke-dasharray="6 4"/>')
    ends = sorted((place(*line[-1])[1], name) for name, line in lines.items() if line)
    label_at = TOP - _LINE_PX
    for (end, name), colour in zip(ends, cycle(_COLOURS)):
        course = "L".join(f"{x:.1f} {y:.1f}" for x, y in (place(*point) for point in lines[name]))
        label_at = max(label_at + _LINE_PX, end)
        parts += [
            f'<path d="M{course}" fill="none" stroke="{colour}" stroke-width="1.6"/>',
            f'<text x="{WIDTH - RIGHT + 8:g}" y="{label_at + 4:.1f}" fill="{colour}">{escape(name)}</text>',
        ]
    return "".join([*parts, "</svg>\n"])
