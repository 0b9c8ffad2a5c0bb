"""Places for sites that have none: cells left, cores right, neighbours near each other; always the same. Pure.

A spring layout (Fruchterman and Reingold, 1991) from a fixed start, in plain arithmetic that every machine rounds
alike, so that a drawing does not change from one run or machine to the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from topologies.spec import Tier

Point = tuple[float, float]

ROUNDS = 60
MOST_FOR_SPRINGS = 400  # every pair is looked at in every round: beyond, sites stay where they start
TIER_PULL = 0.3
MARGIN = 0.05
DIGITS = 4


def place_sites(
    tiers: Mapping[str, Tier], edges: Iterable[tuple[str, str]], given: Mapping[str, Point]
) -> dict[str, Point]:
    """A place in the unit square for each site; those that are ``given`` stay."""
    names = list(tiers)
    start = _start(tiers)
    places = [list(given.get(name, start[name])) for name in names]
    number = {name: i for i, name in enumerate(names)}
    pairs = sorted({(min(number[a], number[b]), max(number[a], number[b])) for a, b in edges})
    free = [i for i, name in enumerate(names) if name not in given]
    has_columns = len(set(tiers.values())) > 1
    columns = [start[name][0] if has_columns else None for name in names]
    if len(names) <= MOST_FOR_SPRINGS:
        _relax(places, pairs, free, columns)
    if not given:
        _fit(places)
    rounded = [(round(x, DIGITS), round(y, DIGITS)) for x, y in places]
    return {name: given.get(name, rounded[i]) for name, i in number.items()}


def _start(tiers: Mapping[str, Tier]) -> dict[str, Point]:
    """Columns by tier; sites of one tier alone in rows and columns."""
    present = [tier for tier in Tier if tier in tiers.values()]
    if len(present) == 1:
        width = math.isqrt(max(len(tiers) - 1, 0)) + 1
        # Every other row is shifted: sites in line would push each other along that line alone.
        return {
            name: ((i % width + 0.5 * (i // width % 2) + 0.3) / (width + 1), (i // width + 0.5) / width)
            for i, name in enumerate(tiers)
        }
    places: dict[str, Point] = {}
    for column, tier in enumerate(present):
        names = [name for name, at in tiers.items() if at is tier]
        x = MARGIN + (1 - 2 * MARGIN) * column / (len(present) - 1)
        places |= {name: (x + 0.02 * (i % 2), (i + 0.5) / len(names)) for i, name in enumerate(names)}
    return places


def _relax(
    places: list[list[float]], pairs: list[tuple[int, int]], free: list[int], columns: list[float | None]
) -> None:
    distance = math.sqrt(1 / max(len(places), 1))
    square = distance * distance
    for step in range(ROUNDS):
        most = 0.1 * (1 - step / ROUNDS)
        force = [[0.0, 0.0] for _ in places]
        for i in free:
            x, y = places[i]
            push_x = push_y = 0.0
            for j, (at_x, at_y) in enumerate(places):
                dx, dy = x - at_x, y - at_y
                apart = dx * dx + dy * dy
                if apart < 1e-9 and i != j:
                    dx, dy, apart = 1e-3 * (i - j), 1e-3, 1e-6
                if i != j:
                    push_x += dx * square / apart
                    push_y += dy * square / apart
            force[i] = [push_x, push_y]
        for i, j in pairs:
            dx, dy = places[j][0] - places[i][0], places[j][1] - places[i][1]
            pull = math.sqrt(dx * dx + dy * dy) / distance
            force[i][0] += dx * pull
            force[i][1] += dy * pull
            force[j][0] -= dx * pull
            force[j][1] -= dy * pull
        for i in free:
            column = columns[i]
            dx, dy = force[i]
            if column is not None:
                dx = TIER_PULL * dx + (column - places[i][0])
            length = math.sqrt(dx * dx + dy * dy)
            factor = min(length, most) / length if length > 0 else 0.0
            places[i][0] = min(1.0, max(0.0, places[i][0] + dx * factor))
            places[i][1] = min(1.0, max(0.0, places[i][1] + dy * factor))


def _fit(places: list[list[float]]) -> None:
    """Stretch the drawing over the square, less a margin."""
    for axis in (0, 1):
        low, high = min(p[axis] for p in places), max(p[axis] for p in places)
        for place in places:
            share = (place[axis] - low) / (high - low) if high - low > 1e-9 else 0.5
            place[axis] = MARGIN + (1 - 2 * MARGIN) * share
