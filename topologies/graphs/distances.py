"""Distances on Earth in km, and coordinates laid out on a drawing's unit square."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from topologies.graphs.network_graph import Position

EARTH_RADIUS_KM = 6371.0088  # the mean radius of IUGG


def is_on_earth(position: Position) -> bool:
    """Whether a position can be longitude and latitude in degrees."""
    x, y = position
    return -180 <= x <= 180 and -90 <= y <= 90


def haversine_km(a: Position, b: Position) -> float:
    """The great circle between two positions (longitude, latitude in degrees)."""
    (lon_a, lat_a), (lon_b, lat_b) = ([math.radians(v) for v in position] for position in (a, b))
    h = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, h)))


def on_unit_square(positions: Sequence[Position], geographic: bool) -> list[Position]:
    """Places in 0..1 with y downwards; a map is cut at the widest gap in longitude, not across the network."""
    xs = [x for x, _ in positions]
    if geographic:
        xs = _uncut(xs)
    return list(zip(_spread(xs), _spread([-y for _, y in positions]), strict=True))


def _uncut(longitudes: list[float]) -> list[float]:
    around = sorted(set(longitudes))
    gaps = [(b - a, b) for a, b in pairwise(around)]
    gaps.append((around[0] + 360 - around[-1], around[0]))
    _, first = max(gaps)
    return [x if x >= first else x + 360 for x in longitudes]


def _spread(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    if high == low:
        return [0.5] * len(values)
    return [round((v - low) / (high - low), 4) for v in values]
