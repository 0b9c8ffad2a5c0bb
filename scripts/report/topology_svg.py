"""The network as inline SVG: sites, parallel channels as separate curves coloured by class, paths highlighted.

Pure: a topology in, text out. Colours are CSS classes of the page (``html_style.py``), so that one drawing serves
light, dark and print; every class also has its own dash pattern, so that no reader depends on colour.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from html import escape

from scripts.report.crowded_map import (
    MOST_LABELS,
    RADIUS,
    Weights,
    draw_fibre_labels,
    draw_sites,
    make_map,
    mark,
)
from scripts.report.html_style import STANDALONE
from scripts.report.map_labels import text_width
from topologies.spec import Channel, SecurityClass, Tier, Topology

LABEL_HEIGHT = 26.0
CHARACTER_WIDTH = 8.2
LEGEND_HEIGHT = 34.0
MOST_PILLS = 24
PLAIN = "net"  # the class of every drawing


@dataclass(frozen=True)
class Canvas:
    """Size of a drawing in its own units, the margin around the sites, and the distance of parallel channels."""

    width: float
    height: float
    margin_x: float = 60.0
    margin_y: float = 40.0
    spacing: float = 16.0


MAIN = Canvas(1040, 390, margin_x=64, margin_y=52, spacing=19)
SMALL = Canvas(520, 270, margin_x=44, margin_y=40, spacing=15.5)


@dataclass(frozen=True)
class Emphasis:
    """What stands out: channels in use with the names of what uses them, channels that are cut, sites involved."""

    used: Mapping[str, Collection[str]] = field(default_factory=dict)
    cut: Collection[str] = ()
    to_be_cut: Collection[str] = ()
    only: bool = False  # dim whatever is not used


@dataclass(frozen=True)
class Curve:
    """A cubic Bezier curve between two sites."""

    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        (x0, y0), *rest = self.points
        return f"M{x0:.1f} {y0:.1f}C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in rest)

    @property
    def middle(self) -> tuple[float, float]:
        weights = (0.125, 0.375, 0.375, 0.125)
        x = sum(w * p[0] for w, p in zip(weights, self.points, strict=True))
        y = sum(w * p[1] for w, p in zip(weights, self.points, strict=True))
        return x, y


@dataclass(frozen=True)
class _Drawing:
    """What is drawn, its size, and the classes of the style sheet that the whole of it has."""

    width: float
    height: float
    look: str
    elements: str


def draw_topology(
    topology: Topology,
    canvas: Canvas,
    title: str,
    emphasis: Emphasis | None = None,
    weights: Weights | None = None,
) -> str:
    """One ``<svg>`` element. Where names would cover each other, or ``weights`` are asked for, a map with marks."""
    drawn = _draw(topology, canvas, emphasis or Emphasis(), weights)
    return (
        f'<svg viewBox="0 0 {drawn.width:g} {drawn.height:g}" role="img" class="{drawn.look}">'
        f"<title>{escape(title)}</title>{drawn.elements}</svg>"
    )


def standalone(
    topology: Topology, title: str = "", emphasis: Emphasis | None = None, weights: Weights | None = None
) -> str:
    """The network as a file of its own, with a legend, for documents that cannot share the page's style sheet."""
    drawn = _draw(topology, MAIN, emphasis or Emphasis(), weights)
    width, height = drawn.width, drawn.height + LEGEND_HEIGHT
    legend = _legend(topology, drawn.height, drawn.look != PLAIN, weights)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" class="{drawn.look}" '
        f'width="{width:g}" height="{height:g}" xmlns="http://www.w3.org/2000/svg">'
        f"<style>{escape(STANDALONE, quote=False)}</style>"
        f"<title>{escape(title or f'Topology {topology.name}')}</title>{drawn.elements}{legend}</svg>\n"
    )


def _draw(topology: Topology, canvas: Canvas, emphasis: Emphasis, weights: Weights | None) -> _Drawing:
    if weights is not None or _is_crowded(topology, canvas):
        return _draw_crowded(topology, canvas, emphasis, weights)
    places = place_sites(topology, canvas)
    parts = _channels(topology, route_channels(topology, canvas, places), emphasis)
    used_sites = _used_sites(topology, emphasis)
    for site in topology.sites:
        x, y = places[site.name]
        width = _pill_width(site.name)
        dim = " dim" if emphasis.only and site.name not in used_sites else ""
        parts.append(
            f'<g class="site{dim}"><title>{escape(site.name)}, {site.tier.value}</title>'
            f'<rect x="{x - width / 2:.1f}" y="{y - LABEL_HEIGHT / 2:.1f}" width="{width:.1f}" '
            f'height="{LABEL_HEIGHT:g}" rx="{LABEL_HEIGHT / 2:g}"/>'
            f'<text x="{x:.1f}" y="{y + 4.6:.1f}">{escape(site.name)}</text></g>'
        )
    return _Drawing(canvas.width, canvas.height, PLAIN, "".join(parts))


def _draw_crowded(topology: Topology, canvas: Canvas, emphasis: Emphasis, weights: Weights | None) -> _Drawing:
    used_sites = _used_sites(topology, emphasis)
    # On a small drawing, and where more would be a grey haze, only what it is about is named.
    is_small = canvas.width < MAIN.width
    labelled = used_sites if is_small or len(topology.sites) > MOST_LABELS else set(topology.site_names)
    crowded = make_map(
        topology,
        (canvas.width, canvas.height),
        lambda width, height: place_sites(topology, replace(canvas, width=width, height=height)),
        labelled,
        weights,
    )
    curves = {name: Curve((a, a, b, b)) for name, (a, b) in crowded.lines.items()}
    dimmed = set(topology.site_names) - used_sites if emphasis.only else set()
    parts = [
        *_channels(topology, curves, emphasis),
        *draw_fibre_labels(crowded),
        *draw_sites(topology, crowded, dimmed),
    ]
    look = f"{PLAIN} crowded dense" if crowded.is_dense else f"{PLAIN} crowded"
    return _Drawing(crowded.width, crowded.height, look, "".join(parts))


def _is_crowded(topology: Topology, canvas: Canvas) -> bool:
    """Whether names in the middle of their sites would cover each other."""
    if len(topology.sites) > MOST_PILLS:
        return True
    places = list(place_sites(topology, canvas).items())
    return any(
        abs(x - u) < (_pill_width(a) + _pill_width(b)) / 2 + 8 and abs(y - v) < LABEL_HEIGHT + 8
        for n, (a, (x, y)) in enumerate(places)
        for b, (u, v) in places[n + 1 :]
    )


def _pill_width(name: str) -> float:
    return len(name) * CHARACTER_WIDTH + 20


def _used_sites(topology: Topology, emphasis: Emphasis) -> set[str]:
    return {end for c in topology.channels if c.id in emphasis.used for end in c.ends}


def _channels(topology: Topology, curves: Mapping[str, Curve], emphasis: Emphasis) -> list[str]:
    """Curves, and over them the marks of cuts. What is in use is drawn last, over the rest."""
    parts, marks = [], []
    for channel in sorted(topology.channels, key=lambda c: c.id in emphasis.used or c.id in emphasis.cut):
        curve = curves[channel.id]
        parts.append(_channel(channel, curve, emphasis))
        marks.append(_mark(channel, curve, emphasis))
    return parts + [m for m in marks if m]


def _legend(topology: Topology, height: float, marks: bool, weights: Weights | None) -> str:
    """One line: the classes that there are, the tiers' marks, what the numbers are."""
    x, y = 26.0, height + LEGEND_HEIGHT / 2
    parts = []

    def add(sign: str, width: float, text: str) -> None:
        nonlocal x
        parts.append(f'{sign}<text class="legend" x="{x + width + 8:.1f}" y="{y + 4:.1f}">{escape(text)}</text>')
        x += width + 8 + text_width(text) + 22

    for security in SecurityClass:
        if any(c.security is security and not c.dark for c in topology.channels):
            add(f'<path class="ch {security.label}" d="M{x:.1f} {y:.1f}h36"/>', 36, security.label)
    if any(c.dark for c in topology.channels):
        add(f'<path class="ch qra dark" d="M{x:.1f} {y:.1f}h36"/>', 36, "dark")
    for tier in Tier if marks else ():
        if any(site.tier is tier for site in topology.sites):
            r = RADIUS[tier]
            add(f'<g class="site {tier.value}">{mark(tier, x + r, y, r)}</g>', 2 * r, tier.value)
    if weights is not None:
        unit = "Mbit/s of a channel" if weights == "capacity" else "ms one way"
        add("", 0, f"(n): vCPUs; on fibres: {unit}")
    return "".join(parts)


def place_sites(topology: Topology, canvas: Canvas) -> dict[str, tuple[float, float]]:
    """The sites' places, stretched over the canvas; a network whose sites are in a row stands in the middle."""

    def spread(values: list[float], size: float, margin: float) -> list[float]:
        low, high = min(values), max(values)
        if high == low:
            return [size / 2] * len(values)
        return [margin + (v - low) / (high - low) * (size - 2 * margin) for v in values]

    xs = spread([s.x for s in topology.sites], canvas.width, canvas.margin_x)
    ys = spread([s.y for s in topology.sites], canvas.height, canvas.margin_y)
    return {s.name: (x, y) for s, x, y in zip(topology.sites, xs, ys, strict=True)}


def route_channels(topology: Topology, canvas: Canvas, places: Mapping[str, tuple[float, float]]) -> dict[str, Curve]:
    """A curve per channel; the channels between the same two sites lie side by side."""
    bundles: dict[frozenset[str], list[Channel]] = {}
    for channel in topology.channels:
        bundles.setdefault(frozenset(channel.ends), []).append(channel)
    curves = {}
    for bundle in bundles.values():
        (x0, y0), (x1, y1) = places[bundle[0].a], places[bundle[0].b]
        dx, dy = x1 - x0, y1 - y0
        length = math.hypot(dx, dy) or 1.0
        normal = (-dy / length, dx / length)
        # Narrower on short bundles and where there are many, so that neighbours never cross.
        spacing = min(canvas.spacing, length / (1.6 * len(bundle)))
        for n, channel in enumerate(bundle):
            # A cubic whose inner points are this far out has its middle at three quarters of the distance.
            away = (n - (len(bundle) - 1) / 2) * spacing / 0.75
            inner = [(x0 + t * dx + normal[0] * away, y0 + t * dy + normal[1] * away) for t in (0.22, 0.78)]
            curves[channel.id] = Curve(((x0, y0), *inner, (x1, y1)))
    return curves


def _channel(channel: Channel, curve: Curve, emphasis: Emphasis) -> str:
    users = emphasis.used.get(channel.id, ())
    classes = ["ch", channel.security.label]
    if channel.id in emphasis.cut:
        classes.append("cut")
    elif users:
        classes.append("used")
    elif channel.dark:
        classes.append("dark")
    elif emphasis.only:
        classes.append("dim")
    tip = f"{channel.id}: {channel.security.label}, {channel.capacity_mbps:g} Mbit/s, {channel.length_km:g} km"
    if channel.id in emphasis.cut:
        tip += ", cut"
    elif channel.dark:
        tip += ", a dark channel" + (", activated" if users else "")
    if users:
        tip += "; used by " + ", ".join(sorted(users))
    return f'<path class="{" ".join(classes)}" d="{curve.path}"><title>{escape(tip)}</title></path>'


def _mark(channel: Channel, curve: Curve, emphasis: Emphasis) -> str:
    x, y = curve.middle
    if channel.id in emphasis.cut:
        return (
            f'<g class="cross"><circle cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
            f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/></g>'
        )
    if channel.id in emphasis.to_be_cut:
        return f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
    users = emphasis.used.get(channel.id, ())
    if len(users) > 1:
        return (
            f'<g class="count {channel.security.label}"><circle cx="{x:.1f}" cy="{y:.1f}" r="7"/>'
            f'<text x="{x:.1f}" y="{y + 3.8:.1f}">{len(users)}</text></g>'
        )
    return ""
