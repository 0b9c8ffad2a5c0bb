"""Places on a crowded map: sites pushed apart, and labels beside them that cover neither each other nor a site. Pure.

All lengths are units of the drawing.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]
Segment = tuple[Point, Point]

CELL = 40.0
LINE = 14.0
CHARACTER = 6.9  # of 11 px DejaVu Sans, the widest font that the style sheet names
ROUNDS = 40
# Right, left, above, below, then the corners: (where the box lies in x, in y), as shares of its size.
SIDES = ((0.0, -0.5), (-1.0, -0.5), (-0.5, -1.0), (-0.5, 0.0), (0.0, -1.0), (0.0, 0.0), (-1.0, -1.0), (-1.0, 0.0))
MOST_RINGS = 14


@dataclass(frozen=True)
class Box:
    """A rectangle by its corners."""

    x0: float
    y0: float
    x1: float
    y1: float

    def meets(self, other: Box) -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def is_within(self, other: Box) -> bool:
        return self.x0 >= other.x0 and self.y0 >= other.y0 and self.x1 <= other.x1 and self.y1 <= other.y1

    def is_crossed_by(self, segment: Segment) -> bool:
        """Whether a line runs through it (Liang and Barsky, 1984)."""
        (x, y), (x1, y1) = segment
        dx, dy = x1 - x, y1 - y
        enter, leave = 0.0, 1.0
        for step, room in ((-dx, x - self.x0), (dx, self.x1 - x), (-dy, y - self.y0), (dy, self.y1 - y)):
            if step == 0:
                if room < 0:
                    return False
            elif step < 0:
                enter = max(enter, room / step)
            else:
                leave = min(leave, room / step)
        return enter <= leave

    @property
    def cells(self) -> Iterator[tuple[int, int]]:
        for column in range(math.floor(self.x0 / CELL), math.floor(self.x1 / CELL) + 1):
            for row in range(math.floor(self.y0 / CELL), math.floor(self.y1 / CELL) + 1):
                yield column, row


@dataclass(frozen=True)
class Label:
    """Where a text stands, and whether a line has to lead to it."""

    box: Box
    is_led: bool


@dataclass
class Occupied:
    """Boxes that are taken, found by where they are."""

    _cells: dict[tuple[int, int], list[Box]] = field(default_factory=dict)

    def add(self, box: Box) -> None:
        for cell in box.cells:
            self._cells.setdefault(cell, []).append(box)

    def is_free(self, box: Box) -> bool:
        return not any(box.meets(other) for cell in box.cells for other in self._cells.get(cell, ()))


def text_width(text: str) -> float:
    """The width of a label; characters of East Asia are twice as wide."""
    return CHARACTER * sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def push_apart(places: Mapping[str, Point], apart: float, within: Box) -> dict[str, Point]:
    """The same places, moved as little as makes each ``apart`` from all others, as far as there is room."""
    names = list(places)
    found = [places[name] for name in names]
    for _ in range(ROUNDS):
        cells: dict[tuple[int, int], list[int]] = {}
        for i, (x, y) in enumerate(found):
            cells.setdefault((math.floor(x / apart), math.floor(y / apart)), []).append(i)
        moves: dict[int, list[float]] = {}
        for i, (x, y) in enumerate(found):
            column, row = math.floor(x / apart), math.floor(y / apart)
            for j in (j for dc in (-1, 0, 1) for dr in (-1, 0, 1) for j in cells.get((column + dc, row + dr), ())):
                if j <= i:
                    continue
                dx, dy = found[j][0] - x, found[j][1] - y
                distance = math.hypot(dx, dy)
                if distance >= apart:
                    continue
                if distance < 1e-6:
                    dx, dy, distance = 1.0, (j - i) % 3 - 1.0, math.hypot(1.0, (j - i) % 3 - 1.0)
                    gap = apart / 2
                else:
                    gap = (apart - distance) / 2
                for n, sign in ((i, -1), (j, 1)):
                    move = moves.setdefault(n, [0.0, 0.0])
                    move[0] += sign * dx / distance * gap
                    move[1] += sign * dy / distance * gap
        if not moves:
            break
        for n, (dx, dy) in moves.items():
            x, y = found[n][0] + dx, found[n][1] + dy
            found[n] = (min(within.x1, max(within.x0, x)), min(within.y1, max(within.y0, y)))
    return dict(zip(names, found, strict=True))


def place_labels(
    texts: Mapping[str, str],
    places: Mapping[str, Point],
    radius: float,
    within: Box,
    lines: Sequence[Segment],
    occupied: Occupied,
) -> dict[str, Label]:
    """A place for each text beside its site, on no other label and no site, across as few lines as can be.

    ``occupied`` has the sites already, and gets the labels. A text for which there is no room is left out.
    """
    by_cell = _by_cell(lines)
    labels = {}
    # Those with most around them choose first.
    order = sorted(texts, key=lambda name: (-_neighbours(places[name], places), name))
    for name in order:
        label = _best(places[name], text_width(texts[name]) + 4, radius, within, by_cell, occupied)
        if label is not None:
            occupied.add(label.box)
            labels[name] = label
    return labels


def _best(
    place: Point,
    width: float,
    radius: float,
    within: Box,
    lines: Mapping[tuple[int, int], Sequence[Segment]],
    occupied: Occupied,
) -> Label | None:
    """Of the nearest ring around the site that has room, the side that crosses fewest lines."""
    for ring in range(MOST_RINGS):
        gap = radius + 2 + ring * LINE * 0.8
        found: list[tuple[int, int, Box]] = []
        for preference, (share_x, share_y) in enumerate(SIDES):
            x = place[0] + share_x * width + gap * (0 if share_x == -0.5 else 1 if share_x == 0 else -1)
            y = place[1] + share_y * LINE + gap * (0 if share_y == -0.5 else 1 if share_y == 0 else -1)
            box = Box(x, y, x + width, y + LINE)
            if box.is_within(within) and occupied.is_free(box):
                near = {segment for cell in box.cells for segment in lines.get(cell, ())}
                found.append((sum(box.is_crossed_by(segment) for segment in near), preference, box))
        if found:
            return Label(min(found, key=lambda entry: entry[:2])[2], is_led=ring > 0)
    return None


def _by_cell(lines: Iterable[Segment]) -> dict[tuple[int, int], list[Segment]]:
    """The lines by the cells that they run through."""
    cells: dict[tuple[int, int], list[Segment]] = {}
    for segment in lines:
        (x0, y0), (x1, y1) = segment
        steps = max(1, math.ceil(math.hypot(x1 - x0, y1 - y0) / (CELL / 2)))
        met = {
            (math.floor((x0 + (x1 - x0) * n / steps) / CELL), math.floor((y0 + (y1 - y0) * n / steps) / CELL))
            for n in range(steps + 1)
        }
        for cell in met:
            cells.setdefault(cell, []).append(segment)
    return cells


def _neighbours(place: Point, places: Mapping[str, Point]) -> int:
    return sum(abs(x - place[0]) < 2 * CELL and abs(y - place[1]) < CELL for x, y in places.values())
