"""How a key crosses the QKD sections of a link: which sections, and each in which direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kms.sources.qkd.section import Section


@dataclass(frozen=True)
class Traversal:
    """One section crossed once; ``is_forward`` from its Alice to its Bob."""

    section: Section
    is_forward: bool


def crossing_directions(chain: Sequence[tuple[str, str]], start: str, end: str) -> tuple[bool, ...] | None:
    """For sections in a row, given by their two nodes: whether each is crossed from its first node to its second.

    None when the sections are not a row. ``start`` and ``end`` are the link's sites; they decide where both
    directions would do, if they are nodes themselves (a site's QKD room need not be named like the site).
    """
    possible: list[tuple[bool, ...]] = []
    for first in (True, False):
        directions = [first]
        node = chain[0][1] if first else chain[0][0]
        for a, b in chain[1:]:
            if node not in (a, b):
                break
            directions.append(node == a)
            node = b if node == a else a
        else:
            possible.append(tuple(directions))
    if not possible:
        return None
    return max(possible, key=lambda directions: _ends_named(chain, directions, start, end))


def _ends_named(chain: Sequence[tuple[str, str]], directions: tuple[bool, ...], start: str, end: str) -> int:
    first = chain[0][0] if directions[0] else chain[0][1]
    last = chain[-1][1] if directions[-1] else chain[-1][0]
    return (first == start) + (last == end)
