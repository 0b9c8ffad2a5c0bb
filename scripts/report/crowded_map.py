"""A network of many sites as SVG: marks by tier, labels beside them, a fibre's channels as one ribbon. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from html import escape
from typing import Literal

from scripts.report.map_labels import LINE, Box, Label, Occupied, Point, place_labels, push_apart, text_width
from topologies.spec import Channel, Tier, Topology

# Of the drawing: for each site, for each that is named, and for each unit of its name's width.
AREA_OF_BARE, AREA_OF_LABEL, AREA_OF_TEXT = 2600.0, 3500.0, 110.0
ASPECT = 1.5
APART = 34.0  # sites, where there is room
MOST_ATTEMPTS = 8
RADIUS = {Tier.CELL: 3.2, Tier.AGGREGATION: 4.2, Tier.METRO: 5.2, Tier.CORE: 6.0}
MOST_LABELS = 400
RIBBON_STEP, RIBBON_GAP = 2.5, 6.0
DENSE_STEP, DENSE_SHARE = 1.2, 0.3  # where ribbons would cover more of the drawing than that, they are narrower
WITH_WEIGHTS = 2.0  # times the area

Weights = Literal["capacity", "latency"]


@dataclass(frozen=True)
class CrowdedMap:
    """Where everything is: sites, labels of sites and fibres, the line of each channel."""

    width: float
    height: float
    places: Mapping[str, Point]
    texts: Mapping[str, str]
    labels: Mapping[str, Label]
    lines: Mapping[str, tuple[Point, Point]]
    fibre_labels: tuple[tuple[str, Box], ...]
    is_dense: bool


def make_map(
    topology: Topology,
    size: tuple[float, float],
    place: Callable[[float, float], Mapping[str, Point]],
    labelled: Collection[str],
    weights: Weights | None = None,
) -> CrowdedMap:
    """The map on a drawing of that size, or a larger one, until there is room for every label.

    ``place`` says where the sites are on a drawing of a width and a height.
    """
    area = AREA_OF_BARE * len(topology.sites)
    area += sum(AREA_OF_LABEL + AREA_OF_TEXT * text_width(name) for name in labelled)
    area *= WITH_WEIGHTS if weights is not None else 1
    for attempt in range(MOST_ATTEMPTS):
        width = round(max(size[0], math.sqrt(area * ASPECT)))
        height = round(max(size[1], area / width))
        found = lay_out(topology, width, height, place(width, height), labelled, weights, APART * 1.2**attempt)
        if len(found.labels) == len(labelled):
            break
        area = 1.3 * width * height
    return found


def lay_out(
    topology: Topology,
    width: float,
    height: float,
    places: Mapping[str, Point],
    labelled: Collection[str],
    weights: Weights | None = None,
    most_apart: float = APART,
) -> CrowdedMap:
    """The map, its sites stretched over ``places`` of a drawing of that size."""
    margin = 26.0
    within = Box(margin, margin, width - margin, height - margin)
    apart = min(most_apart, 0.62 * math.sqrt(width * height / len(topology.sites)))
    places = push_apart(places, apart, within)
    covered = sum(math.dist(*(places[end] for end in channel.ends)) * RIBBON_STEP for channel in topology.channels)
    is_dense = covered > DENSE_SHARE * width * height
    lines, fibres = _ribbons(topology, places, DENSE_STEP if is_dense else RIBBON_STEP)
    occupied = Occupied()
    for site in topology.sites:
        (x, y), r = places[site.name], RADIUS[site.tier] + 1
        occupied.add(Box(x - r, y - r, x + r, y + r))
    texts = {site.name: site.name for site in topology.sites if site.name in labelled}
    fibre_labels: tuple[tuple[str, Box], ...] = ()
    if weights is not None:
        texts = {name: f"{name} ({topology.site(name).vcpus})" for name in texts}
        fibre_labels = _fibre_labels(fibres, places, weights, occupied)
    around = [(places[a], places[b]) for a, b in dict.fromkeys(bundle[0].ends for bundle in fibres)]
    inside = Box(2, 2, width - 2, height - 2)
    labels: dict[str, Label] = {}
    for tier in reversed(Tier):  # the more important first, with their own distance from the mark
        names = {s.name: texts[s.name] for s in topology.sites if s.tier is tier and s.name in texts}
        labels |= place_labels(names, places, RADIUS[tier], inside, around, occupied)
    return CrowdedMap(width, height, places, texts, labels, lines, fibre_labels, is_dense)


def draw_sites(topology: Topology, crowded: CrowdedMap, dimmed: Collection[str]) -> list[str]:
    """The sites' marks and labels as SVG elements."""
    parts = []
    for site in topology.sites:
        (x, y), r = crowded.places[site.name], RADIUS[site.tier]
        label = crowded.labels.get(site.name)
        text = lead = ""
        if label is not None:
            box = label.box
            text = f'<text x="{box.x0 + 2:.1f}" y="{box.y1 - 3.4:.1f}">{escape(crowded.texts[site.name])}</text>'
            if label.is_led:
                to_x, to_y = min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)
                lead = f'<path class="lead" d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}"/>'
        dim = " dim" if site.name in dimmed else ""
        parts.append(
            f'<g class="site {site.tier.value}{dim}"><title>{escape(site.name)}, {site.tier.value}</title>'
            f"{lead}{mark(site.tier, x, y, r)}{text}</g>"
        )
    return parts


def draw_fibre_labels(crowded: CrowdedMap) -> list[str]:
    """What fibres weigh."""
    return [
        f'<text class="weight" x="{box.x0 + 2:.1f}" y="{box.y1 - 3.4:.1f}">{escape(text)}</text>'
        for text, box in crowded.fibre_labels
    ]


def mark(tier: Tier, x: float, y: float, r: float) -> str:
    """The sign of a tier: core sites are square, cells small."""
    if tier is Tier.CORE:
        return f'<rect class="mark" x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}"/>'
    return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"/>'


def _ribbons(
    topology: Topology, places: Mapping[str, Point], step: float
) -> tuple[dict[str, tuple[Point, Point]], list[list[Channel]]]:
    """A straight line for each channel; those of one fibre close together, those of another fibre beside them."""
    adjacencies: dict[frozenset[str], dict[frozenset[str], list[Channel]]] = {}
    for channel in topology.channels:
        fibre = channel.risk_groups - {channel.wavelength}
        adjacencies.setdefault(frozenset(channel.ends), {}).setdefault(fibre, []).append(channel)
    lines: dict[str, tuple[Point, Point]] = {}
    for ends, fibres in adjacencies.items():
        a, b = sorted(ends)
        (x0, y0), (x1, y1) = places[a], places[b]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        normal = ((y0 - y1) / length, (x1 - x0) / length)
        offsets: list[float] = []
        at = 0.0
        for bundle in fibres.values():
            offsets += [at + step * n for n in range(len(bundle))]
            at = offsets[-1] + RIBBON_GAP
        middle = (offsets[0] + offsets[-1]) / 2
        for channel, offset in zip((c for bundle in fibres.values() for c in bundle), offsets, strict=True):
            dx, dy = normal[0] * (offset - middle), normal[1] * (offset - middle)
            lines[channel.id] = ((x0 + dx, y0 + dy), (x1 + dx, y1 + dy))
    return lines, [bundle for fibres in adjacencies.values() for bundle in fibres.values()]


def _fibre_labels(
    fibres: list[list[Channel]], places: Mapping[str, Point], weights: Weights, occupied: Occupied
) -> tuple[tuple[str, Box], ...]:
    """What each fibre weighs, on the fibre, at the first place from its middle that is free."""
    found = []
    for bundle in fibres:
        (x0, y0), (x1, y1) = (places[end] for end in bundle[0].ends)
        text = f"{bundle[0].capacity_mbps:g}" if weights == "capacity" else f"{bundle[0].delay_us / 1000:.2g}"
        width = text_width(text) + 4
        for share in (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74):
            x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
            box = Box(x - width / 2, y - LINE / 2, x + width / 2, y + LINE / 2)
            if occupied.is_free(box):
                occupied.add(box)
                found.append((text, box))
                break
    return tuple(found)
